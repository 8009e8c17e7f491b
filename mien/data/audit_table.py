"""The findings of an audit as plain text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from mien.data.dataset import SPLITS
from mien.text_table import aligned

if TYPE_CHECKING:
    from mien.data.audit import Audit, VoteAgreement

# Votes for one other expression, and none for the label: the annotators clearly disagree.
DECISIVE = 5


def audit_table(audit: Audit) -> str:
    """The findings as plain text of at most 100 columns."""
    used = [split for split in SPLITS if audit.size(split)]
    lines = [f"{audit.source}  (fingerprint {audit.fingerprint})", ""]
    lines += [*_counts(audit, used), "", "equal pixels", *_equal(audit), *_near(audit)]
    if audit.vote_agreement is not None:
        lines += ["", *_votes(audit, audit.vote_agreement, used)]
    if audit.num_left_out:
        lines += [
            "",
            f"{_count(audit.num_left_out)} rows or pictures could not be read and were skipped",
        ]
    return "\n".join(line.rstrip() for line in lines).rstrip()


def _counts(audit: Audit, used: Sequence[str]) -> list[str]:
    """Labelled rows by class, and other counts by split."""
    totals = [int(audit.counts[SPLITS.index(split)].sum()) for split in used]
    # A column of counts and one of shares for each split.
    rows = [["labelled rows", *(cell for split in used for cell in (split, ""))]]

    def add(name: str, counts: Sequence[int], shares: Sequence[str] = ()) -> None:
        cells = zip(counts, shares or [""] * len(counts), strict=True)
        rows.append([name, *(cell for n, share in cells for cell in (_count(n), share))])

    for index, name in enumerate(audit.label_set):
        counts = [int(audit.counts[SPLITS.index(split), index]) for split in used]
        shares = [n / total if total else None for n, total in zip(counts, totals, strict=True)]
        add("  " + name, counts, [_rate(share) for share in shares])
    add("  all", totals)
    unlabelled = [audit.size(split) - n for split, n in zip(used, totals, strict=True)]
    if any(unlabelled):
        add("  without a label", unlabelled)
    add("different pictures", [audit.distinct[SPLITS.index(split)] for split in used])
    add("blank pictures", [audit.within(audit.blanks, split) for split in used])
    if audit.no_faces is not None:
        no_faces = [audit.within(audit.no_faces, split) for split in used]
        add("no face, the annotators say", no_faces)
    return aligned(rows)


def _equal(audit: Audit) -> Iterator[str]:
    for (split, other), shared in audit.shared_rows.items():
        yield f"  {_count(len(shared)):>7}  {split} rows that also occur in {other}"
    rows = sum(map(len, audit.conflicts))
    yield (
        f"  {_count(len(audit.conflicts)):>7}  groups of equal pictures with different labels "
        f"({_count(rows)} rows)"
    )


def _near(audit: Audit) -> Iterator[str]:
    if audit.near is None:
        return
    yield ""
    yield "nearly equal pictures (shifted, saved again, stamped or mirrored; without equal ones)"
    yield (
        f"  {_count(len(audit.near)):>7}  pairs, {_count(int(audit.near.mirrored.sum()))} of them "
        f"mirrored, {_count(len(audit.near_conflicts()))} with different labels"
    )
    for (split, other), number in audit.near_shared_rows.items():
        yield f"  {_count(number):>7}  {split} rows with a near duplicate in {other}"


def _votes(audit: Audit, agreement: VoteAgreement, used: Sequence[str]) -> Iterator[str]:
    parts = [audit.agreement(split) for split in used]
    with_votes = [_count(int(part["n"] or 0)) for part in parts]
    rows = [["the annotators (FER+)", *used], ["  rows with a vote for a label", *with_votes]]
    for name, words in (
        ("agrees", "  label is the annotators' choice"),
        ("among_top", "  the same, or tied with it"),
        ("among_two", "  label is among their first two"),
    ):
        rows.append([words, *(_rate(part[name]) for part in parts)])
    yield from aligned(rows)
    yield ""
    rows = [["label (down), votes (across)", *audit.label_set]]
    for name, line in zip(audit.label_set, agreement.preferred.tolist(), strict=True):
        total = sum(line)
        rows.append(["  " + name, *(_rate(value / total if total else None) for value in line)])
    yield from aligned(rows)
    yield (
        f"  {_count(len(agreement.decisive)):>7}  rows without a vote for their label and "
        f"{DECISIVE} or more for another"
    )


def _count(number: int) -> str:
    return f"{number:,}"


def _rate(rate: float | None) -> str:
    return "n/a" if rate is None else f"{100 * rate:.1f} %"
