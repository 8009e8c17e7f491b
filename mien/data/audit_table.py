"""The findings of an audit as plain text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from mien.data.dataset import SPLITS

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


def _counts(audit: Audit, used: Sequence[str]) -> Iterator[str]:
    """Labelled rows by class, and other counts by split."""
    yield _row("labelled rows", used, 20)
    totals = [int(audit.counts[SPLITS.index(split)].sum()) for split in used]
    for index, name in enumerate(audit.label_set):
        counts = [int(audit.counts[SPLITS.index(split), index]) for split in used]
        shares = [
            _rate(n / total if total else None) for n, total in zip(counts, totals, strict=True)
        ]
        cells = [f"{_count(n)} {share:>8}" for n, share in zip(counts, shares, strict=True)]
        yield _row("  " + name, cells, 20)
    numbers = {"  all": totals}
    if any(audit.size(split) > total for split, total in zip(used, totals, strict=True)):
        numbers["  without a label"] = [
            audit.size(split) - n for split, n in zip(used, totals, strict=True)
        ]
    numbers["different pictures"] = [audit.distinct[SPLITS.index(split)] for split in used]
    numbers["blank pictures"] = [audit.within(audit.blanks, split) for split in used]
    if audit.no_faces is not None:
        numbers["no face, the annotators say"] = [
            audit.within(audit.no_faces, split) for split in used
        ]
    # Under the counts, whose shares take the last nine columns.
    for name, values in numbers.items():
        yield _row(name, [_count(value) + " " * 9 for value in values], 20)


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
    yield _row("the annotators (FER+)", used)
    parts = [audit.agreement(split) for split in used]
    yield _row("  rows with a vote for a label", [_count(int(part["n"] or 0)) for part in parts])
    for name, words in (
        ("agrees", "  label is the annotators' choice"),
        ("among_top", "  the same, or tied with it"),
        ("among_two", "  label is among their first two"),
    ):
        yield _row(words, [_rate(part[name]) for part in parts])
    yield ""
    yield _row("label (down), votes (across)", audit.label_set, 9)
    for name, line in zip(audit.label_set, agreement.preferred.tolist(), strict=True):
        total = sum(line)
        yield _row("  " + name, [_rate(value / total if total else None) for value in line], 9)
    yield (
        f"  {_count(len(agreement.decisive)):>7}  rows without a vote for their label and "
        f"{DECISIVE} or more for another"
    )


def _row(name: str, cells: Iterable[str], width: int = 12) -> str:
    return f"{name:<31}" + "".join(f"{cell:>{width}}" for cell in cells)


def _count(number: int) -> str:
    return f"{number:,}"


def _rate(rate: float | None) -> str:
    return "n/a" if rate is None else f"{100 * rate:.1f} %"
