"""Sentences and the terminal's table, computed from the numbers of an evaluation.

Every word that judges has its threshold here, so that two reports with the same numbers say the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ALIKE = 0.03  # training minus held-out accuracy up to here: "alike"
STRONG = 0.10  # from here on: "overfits strongly"; between the two: "overfits somewhat"
LEARNED = 0.05  # training accuracy less than this above the most frequent label's share: "has learned little"
CHANCE = 0.05  # McNemar p below this: "unlikely to be chance"
CALIBRATED = 0.02  # mean confidence minus accuracy within this: "about as sure as it is right"
FEW = 200  # rows in a split; with fewer the report warns

Truth = Mapping[str, Any]


def percent(rate: float | None) -> str:
    """0.6234 -> `62.3 %`; None -> `n/a`."""
    return "n/a" if rate is None else f"{100 * rate:.1f} %"


def points(difference: float | None) -> str:
    return "n/a" if difference is None else f"{100 * difference:.1f} points"


def decimal(value: float | None, digits: int = 3) -> str:
    return "n/a" if value is None else f"{value:.{digits}f}"


def count(value: float | None) -> str:
    """28709 -> `28,709`."""
    return "n/a" if value is None else f"{value:,.0f}"


def short(value: float | None) -> str:
    """117_000_000 -> `117 M`."""
    if value is None:
        return "n/a"
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g}"


def interval(estimate: Mapping[str, float | None] | None, *, rate: bool = True, dash: str = "\u2013") -> str:
    """`65.4-68.4` for rates (in percent), `0.912-0.987` otherwise; empty without an interval."""
    if estimate is None or estimate["low"] is None or estimate["high"] is None:
        return ""
    low, high = estimate["low"], estimate["high"]
    return f"{100 * low:.1f}{dash}{100 * high:.1f}" if rate else f"{low:.3f}{dash}{high:.3f}"


def p_value(p: float | None) -> str:
    return "p n/a" if p is None else "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def sentences(truth: Truth) -> dict[str, Any]:
    """verdict: a list of sentences; gaps and confidence: network -> sentence; lessons about the splits: a list."""
    return {
        "verdict": _verdict(truth),
        "gaps": {n["name"]: gap(n, truth["yardstick"]) for n in truth["networks"]},
        "confidence": {n["name"]: confidence(n, truth["yardstick"]) for n in truth["networks"]},
        "leaks": {n["name"]: leaks(n) for n in truth["networks"]},
        "comparisons": [comparison(c) for c in truth["comparisons"]],
        "splits": _splits(truth),
    }


def leaks(network: Truth) -> str:
    """Whether the network was trained on pictures that also occur in another split."""
    name, data, recipe = network["name"], network["info"].get("data"), network["info"].get("recipe")
    if not data or not recipe or "num_left_out_as_leaks" not in data or "keep_leaks" not in recipe:
        return f"{name}: whether it was trained on twins is not known."
    if recipe["keep_leaks"]:
        return f"{name}: was trained on all training rows, twins of validation and test pictures among them."
    left_out = data["num_left_out_as_leaks"]
    if not left_out:
        return f"{name}: none of its training rows has a twin in validation or test."
    return f"{name}: {count(left_out)} training rows with a twin in validation or test were left out of its training."


def gap(network: Truth, split: str) -> str:
    """How training accuracy compares with that on `split`, in words."""
    name, trained, held = network["name"], network["splits"]["training"], network["splits"][split]
    if not trained or not held or split == "training":
        missing = "training" if not trained else "validation or test"
        return f"{name}: the gap is not known, since there are no predictions for {missing} pictures."
    a, b = trained["accuracy"]["value"], held["accuracy"]["value"]
    size = a - b
    if size > STRONG:
        judgement = "it overfits strongly: it knows much of its training pictures by heart"
    elif size > ALIKE:
        judgement = "it overfits somewhat"
    elif size >= -ALIKE:
        judgement = "it fits pictures it has seen and pictures it has not seen alike"
    else:
        judgement = "it does better on pictures it has not seen, which is unusual: look at how the splits were made"
    if a < trained["baseline"]["accuracy"] + LEARNED:
        judgement += (
            f"; and it has learned little, for always answering {trained['baseline']['label']!r} "
            f"would be right on {percent(trained['baseline']['accuracy'])} of the training pictures"
        )
    return f"{name}: {percent(a)} on training against {percent(b)} on {split}, a gap of {points(size)}: {judgement}."


def confidence(network: Truth, split: str) -> str:
    """Whether a network is as sure as it is right."""
    held = network["splits"][split]
    if not held:
        return f"{network['name']}: no predictions for {split} pictures."
    over = held["confidence"] - held["accuracy"]["value"]
    if abs(over) <= CALIBRATED:
        judgement = "about as sure as it is right"
    else:
        judgement = f"{'too sure' if over > 0 else 'not sure enough'} by {points(abs(over))}"
    return (
        f"{network['name']}: on {split} its mean confidence is {percent(held['confidence'])} and it is right on "
        f"{percent(held['accuracy']['value'])}: {judgement} (calibration error {decimal(held['ece'])})."
    )


def comparison(c: Truth) -> str:
    """One McNemar test in words."""
    ahead, behind, alone, other = c["first"], c["second"], c["only_first"], c["only_second"]
    if other > alone:
        ahead, behind, alone, other = behind, ahead, other, alone
    judgement = "unlikely to be chance" if c["p_value"] < CHANCE else "may well be chance"
    if alone == other:
        return f"On {c['split']}, {ahead} and {behind} are right equally often ({count(alone)} faces each alone)."
    return (
        f"On {c['split']}, {ahead} is {points(abs(c['difference']))} ahead of {behind}: of {count(c['n'])} faces it "
        f"alone is right on {count(alone)}, {behind} alone on {count(other)} ({p_value(c['p_value'])}): {judgement}."
    )


def _verdict(truth: Truth) -> list[str]:
    networks = truth["networks"]
    name = truth["best"]["name"]
    told: list[str] = []
    if name is None:
        split = truth["yardstick"]
        reached = [f"{n['name']} on {split}: {_reached(n['splits'][split])}." for n in networks if n["splits"][split]]
        return [truth["best"]["rule"], *reached]
    best = next(n for n in networks if n["name"] == name)
    validation, test = best["splits"]["validation"], best["splits"]["test"]
    if len(networks) > 1:
        told.append(f"Of {len(networks)} networks {name} is the best on validation: {_reached(validation)}.")
    else:
        told.append(f"{name} on validation: {_reached(validation)}.")
    if test:
        told.append(f"On the test pictures, which chose nothing, {name} reaches {_reached(test)}.")
    elif truth["data"]["totals"]["test"]:
        told.append("It made no predictions for the test pictures, so no figure here is free of choosing.")
    else:
        told.append("The data has no test pictures, so no figure here is free of choosing.")
    rivals = [c for c in truth["comparisons"] if c["split"] == "validation" and name in (c["first"], c["second"])]
    if rivals:
        told.append(comparison(min(rivals, key=lambda c: abs(c["difference"]))))
    classes = [c for c in validation["per_class"] if c["n"]]
    if len(classes) > 1:
        easy, hard = (f(classes, key=lambda c: c["f1"]["value"]) for f in (max, min))
        told.append(
            f"It recognises {easy['label']} best (F1 {decimal(easy['f1']['value'], 2)}) and {hard['label']} worst "
            f"(F1 {decimal(hard['f1']['value'], 2)})."
        )
    told.append(
        f"Always answering {validation['baseline']['label']!r} would be right on "
        f"{percent(validation['baseline']['accuracy'])}."
    )
    return told


def _reached(scores: Truth) -> str:
    bounds = interval(scores["accuracy"], dash=" to ")
    bounds = f" (95 % interval {bounds})" if bounds else ""
    return f"{percent(scores['accuracy']['value'])} of {count(scores['n'])} faces named as their label says{bounds}"


def _splits(truth: Truth) -> list[str]:
    """What each split's figures can and cannot prove."""
    totals = truth["data"]["totals"]
    told = ["Training: the pictures the networks learned from; the figure shows how much was learned by heart."]
    told.append(
        "Validation: used to choose the epoch to keep and the best network, so its figures flatter a little."
        if totals["validation"]
        else "Validation: n/a, the data has none."
    )
    told.append("Test: chose nothing; the figure to quote." if totals["test"] else "Test: n/a, the data has none.")
    told += [
        f"Only {count(totals[split])} {split} pictures: mind the width of the intervals."
        for split in truth["measured"]
        if totals[split] < FEW
    ]
    if truth["data"]["source"].startswith("drawn faces"):
        told.append("These faces are drawn by a program: the figures say nothing about photographs.")
    return told


def table(truth: Truth) -> str:
    """The networks side by side in plain text, accuracy with its 95 % interval; `*` marks the best on validation."""
    yardstick = truth["yardstick"]
    head = ["network", "training", "validation", "test", f"macro-F1 {yardstick}", "ECE", "parameters", "s/epoch", "MB"]
    rows = [head]
    for n in truth["networks"]:
        cells = [n["name"] + (" *" if n["name"] == truth["best"]["name"] else "")]
        for split in ("training", "validation", "test"):
            scores = n["splits"][split]
            bounds = interval(scores["accuracy"], dash="-") if scores and split != "training" else ""
            cell = percent(scores["accuracy"]["value"]) if scores else "n/a"
            cells.append(f"{cell} ({bounds})" if bounds else cell)
        held, info = n["splits"][yardstick], n["info"]
        cells += [decimal(held["macro_f1"]["value"] if held else None), decimal(held["ece"] if held else None)]
        cells += [count(info.get("parameters")), decimal(info.get("seconds_per_epoch"), 1)]
        cells.append(count(info.get("peak_memory_mb")))
        rows.append(cells)
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
    lines.insert(1, "-" * max(len(line) for line in lines))
    if truth["best"]["name"] is not None:
        lines.append("* best on validation, which chose it; brackets: 95 % interval")
    return "\n".join(lines)
