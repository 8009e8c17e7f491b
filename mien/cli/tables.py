"""The output of commands as text: tables and sentences from the values of `--json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien.errors import printable
from mien.labels import VOTES_HEAD
from mien.text_table import aligned

if TYPE_CHECKING:
    from mien.bundle import Bundle
    from mien.results import Face, Frame
    from mien.training.recipe import Recipe
    from mien.training.runs import Run


def summary_table(runs: Sequence[Run]) -> str:
    """A table of networks: parameters, multiply-adds, seconds per epoch, peak memory, accuracy."""
    rows = [
        (
            "network",
            "parameters",
            "multiply-adds",
            "s per epoch",
            "peak MB",
            "epochs",
            "best",
            "validation accuracy",
        )
    ]
    for run in runs:
        facts = run.facts
        best = facts["history"][facts["best_epoch"] - 1]
        is_average = "averaged" in facts  # nothing was trained
        num_validation = facts.get("num_validation") or facts["data"].get("num_validation", "n/a")
        rows.append(
            (
                printable(run.folder.resolve().name),
                f"{facts['parameters']:,}",
                f"{facts['multiply_adds'] / 1e6:.1f} M",
                "n/a" if is_average else f"{facts['seconds_per_epoch']:.1f}",
                str(facts["peak_memory_mb"] or "n/a"),
                "n/a" if is_average else str(facts["epochs"]),
                "n/a" if is_average else str(facts["best_epoch"]),
                f"{best['val_accuracy']:.1%} (n = {num_validation})",
            )
        )
    return "\n".join(aligned(rows))


def recipe_table(recipes: Sequence[Recipe]) -> str:
    """A table with a line for each recipe."""
    rows = [("recipe", "convolutions (filters)", "dense", "epochs", "batch", "learning rate")]
    for recipe in recipes:
        blocks = " | ".join(" ".join(map(str, block)) for block in recipe.blocks)
        rows.append(
            (
                recipe.name,
                blocks,
                str(recipe.dense),
                f"<= {recipe.max_epochs}",
                str(recipe.batch_size),
                f"{recipe.learning_rate:g}",
            )
        )
    return "\n".join(aligned(rows))


def count_table(facts: Mapping[str, Any]) -> str:
    """The counts of `mien.data.source.count`, by class and split."""
    counts: Mapping[str, Mapping[str, int]] = facts["counts"]
    rows = [("class", *counts, "all")]
    for label in facts["labels"]:
        numbers = [counts[split][label] for split in counts]
        rows.append((label, *map(str, numbers), str(sum(numbers))))
    totals = [sum(counts[split].values()) for split in counts]
    rows.append(("all", *map(str, totals), str(sum(totals))))
    lines = [f"Data: {facts['source']} (fingerprint {facts['fingerprint']})", "", *aligned(rows)]
    if facts["num_unlabelled"]:
        lines.append(f"{facts['num_unlabelled']} rows have no label")
    return "\n".join([*lines, *facts["notes"]])


def bundle_table(bundle: Bundle, where: str | Path) -> str:
    """A description of a bundle, and its scores."""
    head = bundle.heads[0]
    rows = [
        ("bundle", printable(str(where))),
        ("digest", bundle.digest[:16]),
        ("network", f"{len(bundle.model) / 1e6:.1f} MB, {bundle.precision}"),
        ("labels", ", ".join(head.labels)),
        ("temperature", f"{head.temperature:.3f}"),
    ]
    if "max_difference" in bundle.parity:
        rows.append(("largest difference to Keras", f"{bundle.parity['max_difference']:.1e}"))
    if trained_on := (bundle.training.get("data") or {}).get("num_training"):
        rows.append(("trained on", f"{trained_on:,} faces"))
    for split, scores in bundle.metrics.items():
        rows.append(
            (f"accuracy on {split}", f"{scores['accuracy']['value']:.1%} (n = {scores['n']})")
        )
        if "best" in scores:
            rows.append(("  in 14 views", f"{scores['best']['accuracy']['value']:.1%}"))
        if votes := scores.get("heads", {}).get(VOTES_HEAD):
            rows.append(("  FER+ majority", f"{votes['accuracy']['value']:.1%} (n = {votes['n']})"))
    return "\n".join(aligned(rows, num_left=2))


def describe(frame: Frame) -> str:
    """A frame as text: a line for each face, or one line if there is none."""
    from mien.predict import caption

    # A file name must not send control codes to the terminal.
    source = "".join(c if c.isprintable() else "?" for c in frame.source)
    place = source if frame.time_s is None else f"{source} {frame.time_s:.3f} s"
    if frame.error is not None:
        return f"{place}: not read: {frame.error.removeprefix(frame.source + ': ')}"
    note = f" ({frame.note})" if frame.note else ""
    if not frame.faces:
        return f"{place}: no face{note}"
    has_several = len(frame.faces) > 1
    return "\n".join(
        f"{place}: {f'face {number}: ' if has_several and face.track is None else ''}"
        f"{caption(face)}{_box(face)}"
        + (f" (uncertain: {face.reason})" if face.uncertain else "")
        + note
        for number, face in enumerate(frame.faces)
    )


def persons_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The persons of one video, from `mien.video.summary`, with their most frequent expression."""
    first_row = rows[0]
    if first_row["track"] is None and not first_row["faces"]:
        return f"{printable(first_row['source'])}: nobody" + _left_out(first_row)
    lines = [("person", "seen", "mostly", "of the time", "valence", "uncertain")]
    for row in rows:
        shares = {
            name.removeprefix("share_"): share
            for name, share in row.items()
            if name.startswith("share_") and share is not None
        }
        longest_label = max(shares, key=lambda name: shares[name]) if shares else "n/a"
        seen_s, valence = row["seen_s"], row["mean_valence"]
        lines.append(
            (
                "all" if row["track"] is None else str(row["track"]),
                f"{row['faces']:,} faces" if seen_s is None else f"{seen_s:.1f} s",
                longest_label,
                f"{shares[longest_label]:.0%}" if shares else "n/a",
                "n/a" if valence is None else f"{valence:+.2f}",
                "n/a" if row["uncertain"] is None else f"{row['uncertain']:.0%}",
            )
        )
    return "\n".join([f"{printable(first_row['source'])}{_left_out(first_row)}", *aligned(lines)])


def _left_out(row: Mapping[str, Any]) -> str:
    number = row["faces_left_out"]
    return (
        f" (without {number:,} faces that were seen too briefly or are perhaps none)"
        if number
        else ""
    )


def _box(face: Face) -> str:
    x0, y0, x1, y1 = (round(value) for value in face.box)
    return f", at {x0},{y0} to {x1},{y1}"
