"""The output of commands as text: tables and sentences from the facts of `--json`."""

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
    """A table of networks: parameters, multiply-adds, seconds for each epoch, peak memory."""
    rows = [
        (
            "network",
            "parameters",
            "multiply-adds",
            "s an epoch",
            "peak MB",
            "epochs",
            "best",
            "validation accuracy",
        )
    ]
    for run in runs:
        facts = run.facts
        best = facts["history"][facts["best_epoch"] - 1]
        averaged = "averaged" in facts  # nothing was trained
        judged_on = facts.get("num_validation") or facts["data"].get("num_validation", "n/a")
        rows.append(
            (
                printable(run.folder.resolve().name),
                f"{facts['parameters']:,}",
                f"{facts['multiply_adds'] / 1e6:.1f} M",
                "n/a" if averaged else f"{facts['seconds_per_epoch']:.1f}",
                str(facts["peak_memory_mb"] or "n/a"),
                "n/a" if averaged else str(facts["epochs"]),
                "n/a" if averaged else str(facts["best_epoch"]),
                f"{best['val_accuracy']:.1%} (n = {judged_on})",
            )
        )
    return "\n".join(aligned(rows))


def recipe_table(recipes: Sequence[Recipe]) -> str:
    """The recipes, a line each."""
    rows = [("recipe", "convolutions (filters)", "dense", "epochs", "batch", "learning rate")]
    for one in recipes:
        blocks = " | ".join(" ".join(map(str, block)) for block in one.blocks)
        rows.append(
            (
                one.name,
                blocks,
                str(one.dense),
                f"<= {one.max_epochs}",
                str(one.batch_size),
                f"{one.learning_rate:g}",
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
    """A frame for the terminal: a line a face."""
    from mien.predict import caption

    source = "".join(
        c if c.isprintable() else "?" for c in frame.source
    )  # a name must not command the terminal
    place = source if frame.time_s is None else f"{source} {frame.time_s:.3f} s"
    if frame.error is not None:
        return f"{place}: not read: {frame.error.removeprefix(frame.source + ': ')}"
    note = f" ({frame.note})" if frame.note else ""
    if not frame.faces:
        return f"{place}: no face{note}"
    several = len(frame.faces) > 1
    return "\n".join(
        f"{place}: {f'face {number}: ' if several and face.track is None else ''}"
        f"{caption(face)}{_box(face)}"
        + (f" (uncertain: {face.reason})" if face.uncertain else "")
        + note
        for number, face in enumerate(frame.faces)
    )


def persons_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The persons of one video, from `mien.video.summary`, with their longest expression."""
    first = rows[0]
    if first["track"] is None and not first["faces"]:
        return f"{printable(first['source'])}: nobody" + _left_out(first)
    lines = [("person", "seen", "mostly", "of the time", "valence", "uncertain")]
    for row in rows:
        shares = {
            name.removeprefix("share_"): share
            for name, share in row.items()
            if name.startswith("share_") and share is not None
        }
        most = max(shares, key=lambda name: shares[name]) if shares else "n/a"
        seen, valence = row["seen_s"], row["mean_valence"]
        lines.append(
            (
                "all" if row["track"] is None else str(row["track"]),
                f"{row['faces']:,} faces" if seen is None else f"{seen:.1f} s",
                most,
                f"{shares[most]:.0%}" if shares else "n/a",
                "n/a" if valence is None else f"{valence:+.2f}",
                "n/a" if row["uncertain"] is None else f"{row['uncertain']:.0%}",
            )
        )
    return "\n".join([f"{printable(first['source'])}{_left_out(first)}", *aligned(lines)])


def _left_out(row: Mapping[str, Any]) -> str:
    number = row["faces_left_out"]
    return (
        f" ({number:,} faces of nobody, seen in a few frames or perhaps no face)" if number else ""
    )


def _box(face: Face) -> str:
    x0, y0, x1, y1 = (round(value) for value in face.box)
    return f", at {x0},{y0} to {x1},{y1}"
