"""What is in a data set, and what is wrong with it: counts, duplicates, leaks, blanks, doubtful
labels.

`audit` computes everything once; `Audit.table` and `Audit.to_dict` say it, `write_sheets` shows it.
docs/data.md gives each definition and what it finds in FER2013.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mien.data.dataset import SPLITS, UNLABELLED, Dataset, twins
from mien.data.near_duplicates import NearPairs
from mien.data.near_duplicates import near_duplicates as find_near
from mien.data.votes import plurality
from mien.errors import writing
from mien.labels import FERPLUS_VOTES, LabelSet
from mien.vision.contact_sheet import contact_sheet

_BLANK_RANGE = (
    16  # gray levels between darkest and brightest pixel; in FER2013 nothing lies between 5 and 48
)
_NO_FACE_VOTES = 5  # of ten: half of the annotators or more
_DECISIVE = (
    5  # votes for one other expression, and none for the label: the annotators clearly disagree
)


@dataclass(frozen=True, eq=False)
class VoteAgreement:
    """FER2013's labels against FER+'s ten votes a picture.

    The annotators' choice is the expression of the label set with the most votes; of equal ones the
    first in the label set's order. Labelled rows with no vote for any of them are not counted.

    Attributes:
        counted: bool (N,), the rows that are counted.
        choice: int64 (N,), the annotators' choice; -1 where not counted.
        tied: bool (N,), counted rows where another expression has as many votes as the choice.
        agrees: bool (N,), label and choice are the same.
        among_top: bool (N,), the label has the most votes, alone or tied with others.
        among_two: bool (N,), the label is the choice or the runner-up (chosen alike) and has a
            vote.
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
        conflicts: groups of rows with equal pixels and different labels, int64 arrays, the first
            row's order.
        blanks: int64, rows without a picture: darkest and brightest pixel differ by less than 16
            gray levels.
        near: near duplicates among the different pictures (each the first row that shows it); None
            if not looked for.
        near_shared_rows: as `shared_rows`, for pictures that nearly equal one in split b, exact
            ones left out.
        no_faces: int64, rows that 5 or more of the annotators call no face; None without votes.
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
        """The findings as plain values for JSON; with `rows`, also the source rows behind each
        count.

        Rates are in [0, 1], or None where nothing was counted.
        """
        names = self.label_set.names
        found: dict[str, Any] = {
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
            "rows_also_in": _listed({pair: len(rows) for pair, rows in self.shared_rows.items()}),
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
            found["near_duplicates"] = {
                "pairs": len(self.near),
                "mirrored_pairs": int(self.near.mirrored.sum()),
                "pictures": len(np.unique(self.near.pairs)),
                "pairs_with_different_labels": len(self.near_conflicts()),
                "rows_also_in": _listed(self.near_shared_rows),
            }
        if self.no_faces is not None:
            found["no_faces"] = {split: self._within(self.no_faces, split) for split in SPLITS}
        if self.vote_agreement is not None:
            found["vote_agreement"] = {
                "agreement": {split: self.agreement(split) for split in SPLITS},
                "preferred": {
                    name: dict(zip(names, line, strict=True))
                    for name, line in zip(
                        names, self.vote_agreement.preferred.tolist(), strict=True
                    )
                },
                "decisive_disagreements": {"rows": len(self.vote_agreement.decisive)},
            }
        if rows:
            for entry, shared in zip(found["rows_also_in"], self.shared_rows.values(), strict=True):
                entry["source_rows"] = self.rows[shared].tolist()
            found["label_conflicts"]["source_rows"] = [
                self.rows[group].tolist() for group in self.conflicts
            ]
            found["blanks"]["source_rows"] = self.rows[self.blanks].tolist()
            if self.near is not None:
                found["near_duplicates"]["source_rows"] = self.rows[self.near.pairs].tolist()
                found["near_duplicates"]["scores"] = [
                    round(float(score), 4) for score in self.near.scores
                ]
            if self.no_faces is not None:
                found["no_faces"]["source_rows"] = self.rows[self.no_faces].tolist()
            if self.vote_agreement is not None:
                found["vote_agreement"]["decisive_disagreements"]["source_rows"] = self.rows[
                    self.vote_agreement.decisive
                ].tolist()
        return found

    def near_conflicts(self) -> np.ndarray:
        """int64 (C,): positions in `near` of the pairs with two different labels."""
        if self.near is None:
            return np.empty(0, np.int64)
        labels = self.labels[self.near.pairs]
        return np.flatnonzero((labels[:, 0] != labels[:, 1]) & (labels != UNLABELLED).all(1))

    def agreement(self, split: str) -> dict[str, float | int | None]:
        """How often label and annotators agree in one split: n, and rates in [0, 1] (None where n is 0)."""
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

    def _within(self, index: np.ndarray, split: str) -> int:
        return int(np.sum(self.splits[index] == SPLITS.index(split)))

    def table(self) -> str:
        """The findings as plain text of at most 100 columns."""
        used = [split for split in SPLITS if self.size(split)]
        lines = [f"{self.source}  (fingerprint {self.fingerprint})", ""]
        lines.append(_row("labelled rows", used, 20))
        totals = [int(self.counts[SPLITS.index(split)].sum()) for split in used]
        for index, name in enumerate(self.label_set):
            counts = [int(self.counts[SPLITS.index(split), index]) for split in used]
            shares = [
                _rate(count / total if total else None)
                for count, total in zip(counts, totals, strict=True)
            ]
            cells = [
                f"{_count(count)} {share:>8}" for count, share in zip(counts, shares, strict=True)
            ]
            lines.append(_row("  " + name, cells, 20))
        numbers = {"  all": totals}
        if any(self.size(split) > total for split, total in zip(used, totals, strict=True)):
            numbers["  without a label"] = [
                self.size(split) - n for split, n in zip(used, totals, strict=True)
            ]
        numbers["different pictures"] = [self.distinct[SPLITS.index(split)] for split in used]
        numbers["blank pictures"] = [self._within(self.blanks, split) for split in used]
        if self.no_faces is not None:
            numbers["no face, say the annotators"] = [
                self._within(self.no_faces, split) for split in used
            ]
        # Under the counts, whose shares take the last nine columns.
        lines += [
            _row(name, [_count(value) + " " * 9 for value in values], 20)
            for name, values in numbers.items()
        ]
        lines += ["", "equal pixels"]
        for (one, other), shared in self.shared_rows.items():
            lines.append(f"  {_count(len(shared)):>7}  {one} rows that also occur in {other}")
        rows = sum(map(len, self.conflicts))
        lines.append(
            f"  {_count(len(self.conflicts)):>7}  groups of equal pictures with different labels ({_count(rows)} rows)"
        )
        if self.near is not None:
            lines += [
                "",
                "nearly equal pictures (shifted, re-saved, stamped or mirrored; equal ones not counted)",
            ]
            lines.append(
                f"  {_count(len(self.near)):>7}  pairs, {_count(int(self.near.mirrored.sum()))} of them mirrored, "
                f"{_count(len(self.near_conflicts()))} with different labels"
            )
            for (one, other), number in self.near_shared_rows.items():
                lines.append(f"  {_count(number):>7}  {one} rows with a near duplicate in {other}")
        if self.vote_agreement is not None:
            lines += ["", _row("the annotators (FER+)", used)]
            parts = [self.agreement(split) for split in used]
            lines.append(
                _row(
                    "  rows with a vote for a label",
                    [_count(int(part["n"] or 0)) for part in parts],
                )
            )
            for name, words in (
                ("agrees", "  label is the annotators' choice"),
                ("among_top", "  the same, ties counted for it"),
                ("among_two", "  label is among its first two"),
            ):
                lines.append(_row(words, [_rate(part[name]) for part in parts]))
            lines += ["", _row("label (down), votes (across)", self.label_set, 9)]
            for name, line in zip(
                self.label_set, self.vote_agreement.preferred.tolist(), strict=True
            ):
                total = sum(line)
                lines.append(
                    _row(
                        "  " + name, [_rate(value / total if total else None) for value in line], 9
                    )
                )
            lines.append(
                f"  {_count(len(self.vote_agreement.decisive)):>7}  rows whose label got no vote, another {_DECISIVE} or more"
            )
        if self.num_left_out:
            lines += [
                "",
                f"{_count(self.num_left_out)} rows or pictures could not be read and were left out, as asked",
            ]
        return "\n".join(line.rstrip() for line in lines).rstrip()


def audit(dataset: Dataset, *, near_duplicates: bool = True) -> Audit:
    """Look through a data set: seconds for the whole of FER2013 with near duplicates, one second
    without.

    Args:
        dataset: Any; its pixels are read once more if it is a memory map.
        near_duplicates: Also compare every picture with every other.
    """
    digests, where = dataset.digests, [dataset.mask(split) for split in SPLITS]
    _, first, group = np.unique(digests, return_index=True, return_inverse=True)
    present = np.zeros(
        (len(SPLITS), len(first)), bool
    )  # which different picture occurs in which split
    for position, rows in enumerate(where):
        present[position, group[rows]] = True
    used = [position for position in range(len(SPLITS)) if where[position].any()]
    pairs_of_splits = [(a, b) for a in used for b in used if a != b]
    near, near_shared = None, {}
    if near_duplicates:
        shown = np.sort(first)
        near = find_near(dataset.images[shown])
        near = dataclasses.replace(near, pairs=shown[near.pairs].reshape(-1, 2))
        left, right = group[near.pairs].reshape(-1, 2).T
        for a, b in pairs_of_splits:
            beside = np.zeros(len(first), bool)
            beside[left[present[b, right]]] = True
            beside[right[present[b, left]]] = True
            near_shared[SPLITS[a], SPLITS[b]] = int(
                np.sum(where[a] & (beside & ~present[b])[group])
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
            (SPLITS[a], SPLITS[b]): np.flatnonzero(where[a] & present[b, group])
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
    """Labelled rows of the same picture under different labels, one array a picture, in the order
    of the data.
    """
    rows = np.flatnonzero(labels != UNLABELLED)
    rows = rows[np.argsort(group[rows], kind="stable")]
    parts = np.split(rows, np.flatnonzero(np.diff(group[rows])) + 1)
    doubtful = [part for part in parts if len(part) and (labels[part] != labels[part[0]]).any()]
    return tuple(sorted(doubtful, key=lambda part: int(part[0])))


def _vote_agreement(labels: np.ndarray, votes: np.ndarray, label_set: LabelSet) -> VoteAgreement:
    ballots, choice, tied = plurality(votes, label_set)
    counted = (labels != UNLABELLED) & (choice >= 0)
    second = np.argsort(-ballots, axis=1, kind="stable")[
        :, 1
    ]  # stable: of equal ones the first in the set's order
    most = ballots.max(1)
    own = np.take_along_axis(ballots, np.maximum(labels, 0)[:, None], 1)[:, 0]
    preferred = np.zeros((len(label_set), len(label_set)), np.int64)
    np.add.at(preferred, (labels[counted], choice[counted]), 1)
    decisive = np.flatnonzero(counted & (own == 0) & (most >= _DECISIVE))
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


def _listed(shared: Mapping[tuple[str, str], int]) -> list[dict[str, str | int]]:
    return [
        {"split": one, "also_in": other, "rows": number} for (one, other), number in shared.items()
    ]


def _row(name: str, cells: Iterable[str], width: int = 12) -> str:
    return f"{name:<31}" + "".join(f"{cell:>{width}}" for cell in cells)


def _count(number: int) -> str:
    return f"{number:,}"


def _rate(rate: float | None) -> str:
    return "n/a" if rate is None else f"{100 * rate:.1f} %"


_SHOWN = 48  # faces on one sheet


def write_sheets(audit: Audit, dataset: Dataset, folder: str | os.PathLike[str]) -> list[Path]:
    """Draw what was found as contact sheets (PNG), leaving out what was not found.

    Args:
        audit: Of this data set.
        dataset: The pictures.
        folder: Made if it is not there; sheets of the same names are replaced.

    Returns:
        The files, in the order in which to look at them.

    Raises:
        RunError: if the folder cannot be written.
    """
    from PIL import Image

    names = (*dataset.label_set.names, "no label")  # position -1 is UNLABELLED

    def label(row: int) -> str:
        return (
            f"{SPLITS[dataset.splits[row]][:5]} {dataset.rows[row]}\n{names[dataset.labels[row]]}"
        )

    sheets: list[
        tuple[str, str, np.ndarray, list[str], int]
    ] = []  # file, title, rows, captions, how many together

    def add(
        file: str,
        title: str,
        rows: Iterable[int],
        captions: list[str] | None = None,
        together: int = 1,
    ) -> None:
        chosen = np.fromiter(rows, np.int64)
        if len(chosen):
            sheets.append(
                (file, title, chosen, captions or [label(row) for row in chosen], together)
            )

    add("samples", "Samples of each label (training)", _samples(dataset))
    add(
        "label-conflicts",
        "Equal pictures with different labels, side by side",
        [
            row
            for group in audit.conflicts[: _SHOWN // 2]
            for row in _two_labels(group, dataset.labels)
        ],
        together=2,
    )
    add(
        "leaks",
        "Evaluation pictures that also occur in training, side by side",
        _leaks(dataset),
        together=2,
    )
    if audit.near is not None:
        spread = np.unique(
            np.linspace(0, max(len(audit.near) - 1, 0), _SHOWN // 2).astype(np.int64)
        )
        spread = spread[: len(audit.near)]
        captions = [
            f"{label(row)}\n{audit.near.scores[pair]:.2f}{' mirrored' if audit.near.mirrored[pair] else ''}"
            for pair in spread
            for row in audit.near.pairs[pair]
        ]
        add(
            "near-duplicates",
            "Nearly equal pictures, surest first",
            audit.near.pairs[spread].ravel(),
            captions,
            2,
        )
    add("blanks", "Blank pictures", audit.blanks[:_SHOWN])
    if audit.no_faces is not None:
        add("no-faces", "No face, say the annotators", audit.no_faces[:_SHOWN])
    if audit.vote_agreement is not None:
        chosen = _by_label(audit.vote_agreement.decisive, dataset.labels, len(dataset.label_set))
        captions = [
            f"{label(row)}\nvotes: {names[audit.vote_agreement.choice[row]]}" for row in chosen
        ]
        add("votes-disagree", "The annotators clearly disagree with the label", chosen, captions)
    target, written = Path(folder), []
    with writing(target):
        target.mkdir(parents=True, exist_ok=True)
        for file, title, rows, captions, together in sheets:
            sheet = contact_sheet(
                dataset.images[rows], captions, columns=8, together=together, title=title
            )
            path = target / f"{file}.png"
            Image.fromarray(sheet).save(path)
            written.append(path)
    return written


def _by_label(rows: np.ndarray, labels: np.ndarray, num_labels: int) -> np.ndarray:
    """The first rows of each label: 8 a label, a row of the sheet."""
    return np.concatenate([rows[labels[rows] == index][:8] for index in range(num_labels)])


def _samples(dataset: Dataset) -> np.ndarray:
    rows = np.random.default_rng(0).permutation(np.flatnonzero(dataset.mask("training")))
    return _by_label(rows, dataset.labels, len(dataset.label_set))


def _two_labels(group: np.ndarray, labels: np.ndarray) -> tuple[int, int]:
    """The first row of the group, and the first with another label."""
    return int(group[0]), int(group[labels[group] != labels[group[0]]][0])


def _leaks(dataset: Dataset) -> np.ndarray:
    """The first evaluation rows with a twin in training, each followed by that twin."""
    training = np.flatnonzero(dataset.mask("training"))
    known, first = np.unique(dataset.digests[training], return_index=True)
    chosen = np.flatnonzero(twins(dataset))[: _SHOWN // 2]
    same = (
        training[first[np.searchsorted(known, dataset.digests[chosen])]] if len(chosen) else chosen
    )
    return np.stack([chosen, same], 1).ravel()
