"""FER+ annotator votes, joined to the rows of FER2013.

FER+ (Barsoum et al. 2016, https://arxiv.org/abs/1608.01041; MIT licence) asked ten people about
each picture. Its file, `fer2013new.csv`, has one line for each row of fer2013.csv, in the same
order:

    Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF

The image name is empty for pictures that FER+ dropped, and unreliable elsewhere. So rows are joined
by their order within each Usage. The join is refused if counts, Usages or the votes themselves show
that the two files do not belong together.
"""

from __future__ import annotations

import csv
import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np

from mien.data.csv_formats import damage, plain_name
from mien.data.dataset import SPLITS, UNLABELLED, USAGE, Dataset
from mien.errors import DataError
from mien.labels import FERPLUS, FERPLUS_VOTES, LabelSet, canonical

FILE_NAMES = ("ferplus_votes.csv", "fer2013new.csv")
MAX_VOTES = 10  # for each picture
# FER+ agrees with 64.5 % of FER2013's labels; votes that belong to other rows agree with a fifth.
_MIN_AGREEMENT = 0.35
_MIN_ROWS = 1000
_FIX = (
    "name the FER+ file of this very fer2013.csv, with its rows in the same order, or read "
    "without votes"
)


def votes_beside(files: list[Path]) -> Path | None:
    """A FER+ file in the folder of the csv."""
    for name in FILE_NAMES:
        path = files[0].parent / name
        if path.is_file():
            return path
    return None


def read_votes(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read a FER+ file, plain or .gz.

    Returns:
        splits uint8 (M,), positions in `SPLITS`, and votes uint8 (M, 10) in the order of
        `FERPLUS_VOTES`.

    Raises:
        DataError: naming the row, if the file is not FER+'s.
    """
    splits: list[int] = []
    votes: list[list[int]] = []
    usages = {usage: SPLITS.index(split) for usage, split in USAGE.items()}
    with damage(str(path)):
        with open(path, "rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with (gzip.open if packed else open)(path, "rt", encoding="utf-8-sig", newline="") as text:
            try:
                lines = list(csv.reader(text))
            except (UnicodeDecodeError, csv.Error) as error:
                raise DataError(
                    path,
                    got=f"a file that is not csv in UTF-8 ({error})",
                    expected="FER+'s votes",
                    fix=_FIX,
                ) from error
    header = [_column(name) for name in lines[0]] if lines else []
    missing = [name for name in ("usage", *FERPLUS_VOTES) if name not in header]
    if missing:
        raise DataError(
            path,
            row=1,
            got="the columns "
            + (", ".join(map(repr, lines[0]))[:300] if lines else "of an empty file"),
            expected="Usage and " + ", ".join(FERPLUS_VOTES) + f" (missing: {', '.join(missing)})",
            fix=_FIX,
        )
    columns = [header.index(name) for name in FERPLUS_VOTES]
    for number, line in enumerate(lines[1:], start=2):
        if not line:
            continue
        if len(line) != len(header):
            raise DataError(
                path, row=number, got=f"{len(line)} fields", expected=f"{len(header)}", fix=_FIX
            )
        usage = line[header.index("usage")].strip()
        if usage not in usages:
            raise DataError(
                path,
                row=number,
                got=f"the Usage {usage!r}",
                expected=" or ".join(USAGE),
                fix=_FIX,
            )
        values = [line[column].strip() for column in columns]
        for name, value in zip(FERPLUS_VOTES, values, strict=True):
            if not (
                value.isascii() and value.isdigit() and len(value) < 4 and int(value) <= MAX_VOTES
            ):
                raise DataError(
                    path,
                    row=number,
                    got=f"{value!r} votes for {name}",
                    expected=f"a whole number from 0 to {MAX_VOTES}",
                    fix=_FIX,
                )
        splits.append(usages[usage])
        votes.append([int(value) for value in values])
    return np.array(splits, np.uint8), np.array(votes, np.uint8).reshape(-1, len(FERPLUS_VOTES))


def join_votes(dataset: Dataset, path: Path) -> Dataset:
    """The data set with the votes of a FER+ file.

    Splits that only one of the two files has are not joined: their rows get zeros, and a note says
    so.

    Raises:
        DataError: if the files do not belong together.
    """
    vote_splits, votes = read_votes(path)
    labelled = np.flatnonzero(dataset.labels != UNLABELLED)
    common = np.intersect1d(np.unique(dataset.splits[labelled]), np.unique(vote_splits))
    common_rows = labelled[np.isin(dataset.splits[labelled], common)]
    vote_rows = _match_rows(dataset, common_rows, vote_splits, common)
    if vote_rows is None:
        left_out = [item for item in dataset.left_out if item.row is not None]
        raise DataError(
            path,
            got=f"votes for {_counts_text(vote_splits)}",
            expected=f"{_counts_text(dataset.splits[labelled])}, as in {dataset.source}"
            + (f" ({len(left_out):,} of its rows were left out)" if left_out else ""),
            fix=_FIX,
        )
    differs = np.flatnonzero(vote_splits[vote_rows] != dataset.splits[common_rows])
    if len(differs):
        first, row = differs[0], common_rows[differs[0]]
        raise DataError(
            path,
            got=(
                f"Usages in another order: {SPLITS[vote_splits[vote_rows[first]]]} in line "
                f"{vote_rows[first] + 2:,}"
            ),
            expected=(
                f"{SPLITS[dataset.splits[row]]}, as in row {dataset.rows[row]:,} of the data"
            ),
            fix=_FIX,
        )
    joined = np.zeros((len(dataset), len(FERPLUS_VOTES)), np.uint8)
    joined[common_rows] = votes[vote_rows]
    agreement = _agreement(dataset, joined, common_rows)
    if agreement is not None and agreement < _MIN_AGREEMENT:
        raise DataError(
            path,
            got=f"votes whose plurality equals the label of only {agreement:.1%} of the rows",
            expected="about 65 %, as for votes of the same rows (by chance it is about 20 %)",
            fix=_FIX,
        )
    note = (
        f"FER+ votes from {path.name} were joined to {len(common_rows):,} of {len(dataset):,} rows"
    )
    note += "; the others have none." if len(common_rows) < len(dataset) else "."
    return replace(dataset, votes=joined).with_notes(note)


def _match_rows(
    dataset: Dataset, common_rows: np.ndarray, vote_splits: np.ndarray, common: np.ndarray
) -> np.ndarray | None:
    """The row of votes for each of the common rows; None if the counts differ.

    In a single file, row n has the n-th votes. In `train.csv` and `test.csv`, which number their
    own rows and are a split each, row n has the n-th votes of that split.

    Raises:
        DataError: if two files both have rows of one split.
    """
    # A row that was left out still has a line of votes.
    left_out = [
        (_split_of_file(item.where), item.row) for item in dataset.left_out if item.row is not None
    ]
    skipped_splits, skipped_lines = np.array(left_out, np.int64).reshape(-1, 2).T
    all_lines = np.concatenate([dataset.rows, skipped_lines])
    two_files = len(np.unique(all_lines)) < len(all_lines)
    vote_rows = np.zeros(len(common_rows), np.int64)
    for group in common[:, None] if two_files else [common]:
        in_group = np.isin(dataset.splits[common_rows], group)
        skipped = skipped_lines[np.isin(skipped_splits, group)] if two_files else skipped_lines
        lines = np.sort(np.concatenate([dataset.rows[common_rows[in_group]], skipped]))
        group_votes = np.flatnonzero(np.isin(vote_splits, group))
        if len(np.unique(lines)) < len(lines):
            raise DataError(
                dataset.source,
                got=(
                    "two files that both have rows of one Usage, so it is unknown which votes "
                    "belong to which"
                ),
                expected="one csv, or train.csv and test.csv with a different Usage each",
                fix="write all rows into one csv, or read without votes",
            )
        if len(lines) != len(group_votes):
            return None
        vote_rows[in_group] = group_votes[
            np.searchsorted(lines, dataset.rows[common_rows[in_group]])
        ]
    return vote_rows if len(common) else None


def _split_of_file(where: str) -> int:
    return SPLITS.index("test" if plain_name(where).endswith("test.csv") else "training")


def plurality(votes: np.ndarray, label_set: LabelSet) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The annotators' choice among the labels of a set. Votes for others, such as `unknown`, do not
    count.

    Args:
        votes: uint8 (N, 10), in the order of `FERPLUS_VOTES`.

    Returns:
        ballots int64 (N, K), the votes for each label; choice int64 (N,), the label with the most
        votes (the first in the set's order if several have as many, -1 if none has a vote); tied
        bool (N,), whether another label has as many votes as the choice.
    """
    ballots = np.zeros((len(votes), len(label_set)), np.int64)
    for index, name in enumerate(label_set):
        if name in FERPLUS_VOTES:
            ballots[:, index] = votes[:, FERPLUS_VOTES.index(name)]
    most = ballots.max(1, keepdims=True)
    tied = (most[:, 0] > 0) & ((ballots == most).sum(1) > 1)
    return ballots, np.where(most[:, 0] > 0, ballots.argmax(1), -1), tied


def vote_shares(votes: np.ndarray) -> np.ndarray:
    """The distribution of the annotators' votes over FER+'s eight expressions.

    Single votes are dropped, as by FER+'s authors (Barsoum et al. 2016), and so are votes for
    `unknown` and `not_a_face`.

    Args:
        votes: uint8 (N, 10), in the order of `FERPLUS_VOTES`.

    Returns:
        float32 (N, 8) in the order of `labels.FERPLUS`; a row sums to 1, or is 0 if no votes are
        left.
    """
    counted = np.where(votes > 1, votes, 0)[
        :, [FERPLUS_VOTES.index(name) for name in FERPLUS]
    ].astype(np.float32)
    return np.asarray(counted / np.maximum(counted.sum(axis=1, keepdims=True), 1))


def majority(votes: np.ndarray) -> np.ndarray:
    """int64 (N,): the winner by FER+'s majority protocol, a position in `labels.FERPLUS`, or -1.

    Single votes are dropped; the winner has more than half of the rest, and is an expression.
    """
    counted = np.where(votes > 1, votes, 0).astype(np.int64)
    best = counted.argmax(axis=1)
    wins = 2 * counted.max(axis=1) > counted.sum(axis=1)
    places = np.array(
        [FERPLUS.names.index(name) if name in FERPLUS else -1 for name in FERPLUS_VOTES]
    )
    return np.where(wins, places[best], -1)


def _agreement(dataset: Dataset, votes: np.ndarray, rows: np.ndarray) -> float | None:
    """Share of the rows whose label has the most votes, among labels that votes can be for; None
    if there are too few rows.
    """
    known = [
        FERPLUS_VOTES.index(name) if name in FERPLUS_VOTES else -1 for name in dataset.label_set
    ]
    columns = np.array(known)[dataset.labels[rows]]
    rows, columns = rows[columns >= 0], columns[columns >= 0]
    if len(rows) < _MIN_ROWS:
        return None
    own = votes[rows, columns]
    return float(np.mean((own > 0) & (own == votes[rows].max(axis=1))))


def _column(name: str) -> str:
    plain = canonical(name)
    return "not_a_face" if plain == "nf" else plain


def _counts_text(splits: np.ndarray) -> str:
    counts = [(usage, int(np.sum(splits == SPLITS.index(split)))) for usage, split in USAGE.items()]
    return ", ".join(f"{count:,} {usage} rows" for usage, count in counts if count) or "no rows"
