"""Audit a data set: counts, duplicates, leaks between splits, blank pictures, doubtful labels.

`audit` computes everything once. `Audit.table` and `Audit.to_dict` report it, and
`mien.data.audit_sheets` draws it. docs/data.md defines each finding and says what FER2013 has.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mien.constants import FACE_SIDE
from mien.data.audit_table import DECISIVE, audit_table
from mien.data.dataset import SPLITS, UNLABELLED, Dataset
from mien.data.near_duplicates import NearPairs
from mien.data.near_duplicates import near_duplicates as find_near
from mien.data.votes import plurality
from mien.labels import FERPLUS_VOTES, LabelSet

# Gray levels between darkest and brightest pixel; in FER2013 nothing lies between 5 and 48.
_BLANK_RANGE = 16
_NO_FACE_VOTES = 5  # of ten: half of the annotators or more


@dataclass(frozen=True, eq=False)
class VoteAgreement:
    """FER2013's labels against FER+'s ten votes a picture.

    The annotators' choice is the label with the most votes; of several with the same number, the
    first in the label set's order. Labelled rows without a vote for any label are not counted.

    Attributes:
        counted: bool (N,), the rows that are counted.
        choice: int64 (N,), the annotators' choice; -1 where not counted.
        tied: bool (N,), counted rows where another expression has as many votes as the choice.
        agrees: bool (N,), label and choice are the same.
        among_top: bool (N,), the label has the most votes, alone or tied with others.
        among_two: bool (N,), the label is the choice or the runner-up, and has a vote.
        preferred: int64 (K, K), counted rows by label (down) and choice (across).
        decisive: int64 (D,), rows whose label got no vote and whose choice got 5 or more, the
            clearest first.
    """

    counted: np.ndarray
    choice: np.ndarray
    tied: np.ndarray
    agrees: np.ndarray
    among_top: np.ndarray
    among_two: np.ndarray
    preferred: np.ndarray
    decisive: np.ndarray


@dataclass(frozen=True, eq=False)
class Audit:
    """Findings about one `Dataset`; index arrays are positions in it.

    Attributes:
        source, fingerprint, rows, splits, labels, label_set: as in the data set.
        counts: int64 (3, K), labelled rows by split and class.
        distinct: different pictures in each split (order of `SPLITS`).
        shared_rows: `(a, b)` -> int64, rows of split a whose pixels also occur in split b.
        conflicts: groups of rows with equal pixels and different labels, int64 arrays, sorted by
            their first rows.
        blanks: int64, rows without a picture: darkest and brightest pixel differ by less than 16
            gray levels.
        near: near duplicates among the different pictures (each represented by its first row);
            None if they were not looked for.
        near_shared_rows: as `shared_rows`, for near duplicates; exact duplicates are not counted.
        no_faces: int64, rows that 5 or more annotators say show no face; None without votes.
        vote_agreement: agreement with the annotators; None without votes.
        num_left_out: rows that the reader was told to skip.
    """

    source: str
    fingerprint: str
    rows: np.ndarray
    splits: np.ndarray
    labels: np.ndarray
    label_set: LabelSet
    counts: np.ndarray
    distinct: tuple[int, ...]
    shared_rows: Mapping[tuple[str, str], np.ndarray]
    conflicts: tuple[np.ndarray, ...]
    blanks: np.ndarray
    near: NearPairs | None
    near_shared_rows: Mapping[tuple[str, str], int]
    no_faces: np.ndarray | None
    vote_agreement: VoteAgreement | None
    num_left_out: int

    def size(self, split: str) -> int:
        """Rows of a split, unlabelled ones included."""
        return int(np.sum(self.splits == SPLITS.index(split)))

    def to_dict(self, *, rows: bool = False) -> dict[str, Any]:
        """The findings as plain values for JSON; `rows` adds the source rows behind each count.

        Rates are in [0, 1], or None where nothing was counted.
        """
        names = self.label_set.names
        facts: dict[str, Any] = {
            "source": self.source,
            "fingerprint": self.fingerprint,
            "left_out": self.num_left_out,
            "splits": {
                split: {
                    "rows": self.size(split),
                    "unlabelled": self.size(split) - int(self.counts[position].sum()),
                    "distinct": self.distinct[position],
                    "labels": dict(zip(names, self.counts[position].tolist(), strict=True)),
                }
                for position, split in enumerate(SPLITS)
            },
            "rows_also_in": _overlaps({pair: len(rows) for pair, rows in self.shared_rows.items()}),
            "label_conflicts": {
                "groups": len(self.conflicts),
                "rows": sum(map(len, self.conflicts)),
            },
            "blanks": {"rows": len(self.blanks)},
            "near_duplicates": None,
            "no_faces": None,
            "vote_agreement": None,
        }
        if self.near is not None:
            facts["near_duplicates"] = {
                "pairs": len(self.near),
                "mirrored_pairs": int(self.near.mirrored.sum()),
                "pictures": len(np.unique(self.near.pairs)),
                "pairs_with_different_labels": len(self.near_conflicts()),
                "rows_also_in": _overlaps(self.near_shared_rows),
            }
        if self.no_faces is not None:
            facts["no_faces"] = {split: self.within(self.no_faces, split) for split in SPLITS}
        if self.vote_agreement is not None:
            preferred = self.vote_agreement.preferred.tolist()
            facts["vote_agreement"] = {
                "agreement": {split: self.agreement(split) for split in SPLITS},
                "preferred": {
                    name: dict(zip(names, line, strict=True))
                    for name, line in zip(names, preferred, strict=True)
                },
                "decisive_disagreements": {"rows": len(self.vote_agreement.decisive)},
            }
        if rows:
            self._add_source_rows(facts)
        return facts

    def _add_source_rows(self, facts: dict[str, Any]) -> None:
        for entry, shared in zip(facts["rows_also_in"], self.shared_rows.values(), strict=True):
            entry["source_rows"] = self.rows[shared].tolist()
        facts["label_conflicts"]["source_rows"] = [
            self.rows[group].tolist() for group in self.conflicts
        ]
        facts["blanks"]["source_rows"] = self.rows[self.blanks].tolist()
        if self.near is not None:
            facts["near_duplicates"]["source_rows"] = self.rows[self.near.pairs].tolist()
            facts["near_duplicates"]["scores"] = [
                round(float(score), 4) for score in self.near.scores
            ]
        if self.no_faces is not None:
            facts["no_faces"]["source_rows"] = self.rows[self.no_faces].tolist()
        if self.vote_agreement is not None:
            facts["vote_agreement"]["decisive_disagreements"]["source_rows"] = self.rows[
                self.vote_agreement.decisive
            ].tolist()

    def near_conflicts(self) -> np.ndarray:
        """int64 (C,): positions in `near` of the pairs with two different labels."""
        if self.near is None:
            return np.empty(0, np.int64)
        labels = self.labels[self.near.pairs]
        return np.flatnonzero((labels[:, 0] != labels[:, 1]) & (labels != UNLABELLED).all(1))

    def agreement(self, split: str) -> dict[str, float | int | None]:
        """How often label and annotators agree in one split: n, and rates (None where n is 0)."""
        names = ("agrees", "among_top", "among_two", "tied")
        if self.vote_agreement is None:
            return {"n": 0, **dict.fromkeys(names)}
        here = self.vote_agreement.counted & (self.splits == SPLITS.index(split))
        n = int(here.sum())
        return {
            "n": n,
            **{
                name: float(getattr(self.vote_agreement, name)[here].mean()) if n else None
                for name in names
            },
        }

    def within(self, index: np.ndarray, split: str) -> int:
        """How many of these positions lie in a split."""
        return int(np.sum(self.splits[index] == SPLITS.index(split)))

    def table(self) -> str:
        """The findings as plain text of at most 100 columns."""
        return audit_table(self)


def audit(dataset: Dataset, *, near_duplicates: bool = True) -> Audit:
    """Audit a data set: FER2013 takes some seconds with near duplicates, one second without.

    Args:
        dataset: Any data set; the pixels of a memory map are read once more.
        near_duplicates: Also compare every picture with every other.
    """
    digests, masks = dataset.digests, [dataset.mask(split) for split in SPLITS]
    _, first, group = np.unique(digests, return_index=True, return_inverse=True)
    # Which of the different pictures occur in which split.
    present = np.zeros((len(SPLITS), len(first)), bool)
    for position, rows in enumerate(masks):
        present[position, group[rows]] = True
    used = [position for position in range(len(SPLITS)) if masks[position].any()]
    pairs_of_splits = [(a, b) for a in used for b in used if a != b]
    near, near_shared = None, {}
    if near_duplicates:
        representatives = np.sort(first)
        near = find_near(dataset.resized(FACE_SIDE).images[representatives])
        near = dataclasses.replace(near, pairs=representatives[near.pairs].reshape(-1, 2))
        left, right = group[near.pairs].reshape(-1, 2).T
        for a, b in pairs_of_splits:
            beside = np.zeros(len(first), bool)
            beside[left[present[b, right]]] = True
            beside[right[present[b, left]]] = True
            near_shared[SPLITS[a], SPLITS[b]] = int(
                np.sum(masks[a] & (beside & ~present[b])[group])
            )
    votes = dataset.votes
    return Audit(
        source=dataset.source,
        fingerprint=dataset.fingerprint,
        rows=dataset.rows,
        splits=dataset.splits,
        labels=dataset.labels,
        label_set=dataset.label_set,
        counts=dataset.counts(),
        distinct=tuple(int(n) for n in present.sum(1)),
        shared_rows={
            (SPLITS[a], SPLITS[b]): np.flatnonzero(masks[a] & present[b, group])
            for a, b in pairs_of_splits
        },
        conflicts=_conflicts(dataset.labels, group),
        blanks=_blanks(dataset.images),
        near=near,
        near_shared_rows=near_shared,
        no_faces=None
        if votes is None
        else np.flatnonzero(votes[:, FERPLUS_VOTES.index("not_a_face")] >= _NO_FACE_VOTES),
        vote_agreement=None
        if votes is None
        else _vote_agreement(dataset.labels, votes, dataset.label_set),
        num_left_out=len(dataset.left_out),
    )


def _blanks(images: np.ndarray) -> np.ndarray:
    flat = images.reshape(len(images), -1)
    return np.flatnonzero(flat.max(1).astype(np.int64) - flat.min(1) < _BLANK_RANGE)


def _conflicts(labels: np.ndarray, group: np.ndarray) -> tuple[np.ndarray, ...]:
    """Rows of the same picture with different labels: an array for each picture, in data order."""
    rows = np.flatnonzero(labels != UNLABELLED)
    rows = rows[np.argsort(group[rows], kind="stable")]
    parts = np.split(rows, np.flatnonzero(np.diff(group[rows])) + 1)
    doubtful = [part for part in parts if len(part) and (labels[part] != labels[part[0]]).any()]
    return tuple(sorted(doubtful, key=lambda part: int(part[0])))


def _vote_agreement(labels: np.ndarray, votes: np.ndarray, label_set: LabelSet) -> VoteAgreement:
    ballots, choice, tied = plurality(votes, label_set)
    counted = (labels != UNLABELLED) & (choice >= 0)
    # Stable: of equal counts the first in the set's order.
    second = np.argsort(-ballots, axis=1, kind="stable")[:, 1]
    most = ballots.max(1)
    own = np.take_along_axis(ballots, np.maximum(labels, 0)[:, None], 1)[:, 0]
    preferred = np.zeros((len(label_set), len(label_set)), np.int64)
    np.add.at(preferred, (labels[counted], choice[counted]), 1)
    decisive = np.flatnonzero(counted & (own == 0) & (most >= DECISIVE))
    return VoteAgreement(
        counted=counted,
        choice=np.where(counted, choice, -1),
        tied=counted & tied,
        agrees=counted & (choice == labels),
        among_top=counted & (own == most),
        among_two=counted & (own > 0) & ((choice == labels) | (second == labels)),
        preferred=preferred,
        decisive=decisive[np.argsort(-most[decisive], kind="stable")],
    )


def _overlaps(shared: Mapping[tuple[str, str], int]) -> list[dict[str, str | int]]:
    return [
        {"split": split, "also_in": other, "rows": number}
        for (split, other), number in shared.items()
    ]
