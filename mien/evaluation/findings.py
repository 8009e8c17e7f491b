"""Describe an evaluation: the verdict, the sentences of the report, the table in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mien.evaluation.phrasing import (
    count,
    decimal,
    interval,
    listed,
    percent,
    plural,
)
from mien.evaluation.sentences import (
    Truth,
    comparison,
    confidence,
    curves,
    ferplus,
    gap,
    leaks,
    maps,
    other_data,
    without_twins,
    worst,
)
from mien.text_table import aligned

FEW = 200  # rows; the report warns about splits with fewer
NAMED = 4  # equally good or bad classes that are named; more are counted


def sentences(truth: Truth) -> dict[str, Any]:
    """All sentences about an evaluation.

    Returns:
        `verdict`, `ferplus`, `comparisons` and `splits`: lists of sentences; `other_data`: a
        sentence or empty; `maps` as from `sentences.maps`, or None; the others: network -> text.
    """
    networks, yardstick, study = truth["networks"], truth["yardstick"], truth["study_split"]
    return {
        "verdict": _verdict(truth),
        "other_data": other_data(networks),
        "gaps": {n["name"]: gap(n, yardstick) for n in networks},
        "confidence": {n["name"]: confidence(n, yardstick) for n in networks},
        "leaks": {n["name"]: leaks(n) for n in networks},
        "curves": {n["name"]: curves(n) for n in networks},
        "ferplus": [sentence for n in networks for sentence in ferplus(n)],
        "worst": {n["name"]: worst(n, study) for n in networks},
        "comparisons": [comparison(c) for c in truth["comparisons"]],
        "splits": _splits(truth),
        "maps": maps(truth["maps"]) if truth["maps"] else None,
    }


def _verdict(truth: Truth) -> list[str]:
    networks = truth["networks"]
    name = truth["best"]["name"]
    other = [sentence] if (sentence := other_data(networks)) else []
    if name is None:
        split = truth["yardstick"]
        judged = [n for n in networks if n["splits"][split]]
        reached = [
            f"On {split}, {n['name']} reaches {_reached(n['splits'][split])}." for n in judged
        ]
        return [truth["best"]["rule"], *other, *reached]
    best = next(n for n in networks if n["name"] == name)
    validation = best["splits"]["validation"]
    equal = [
        n["name"]
        for n in networks
        if n["splits"]["validation"]
        and n["splits"]["validation"]["accuracy"]["value"] == validation["accuracy"]["value"]
    ]
    reached_there = _reached(validation)
    if len(equal) > 1:
        first = (
            f"Of {len(networks)} networks, {listed(equal)} are equally accurate on validation: "
            f"{reached_there}. "
        )
        first += f"The best of them, by its loss there, is {name}."
    elif len(networks) > 1:
        first = f"Of {len(networks)} networks, {name} is the best on validation: {reached_there}."
    else:
        first = f"On validation, {name} reaches {reached_there}."
    verdict = [first, *other]
    verdict += _about_test(truth, best)
    rivals = [
        c
        for c in truth["comparisons"]
        if c["split"] == "validation" and name in (c["first"], c["second"])
    ]
    if rivals:
        verdict.append(comparison(min(rivals, key=lambda c: abs(c["difference"]))))
    verdict += _by_class(name, validation["per_class"])
    baseline = validation["baseline"]
    better = validation["accuracy"]["value"] > baseline["accuracy"]
    verdict.append(
        f"Always answering {baseline['label']!r} would be right on {percent(baseline['accuracy'])} "
        f"of the validation faces{'' if better else f'; {name} is no better'}."
    )
    return verdict


def _about_test(truth: Truth, best: Truth) -> list[str]:
    """The accuracy of the best network on the test split, and how far it can be trusted."""
    name, test = best["name"], best["splits"]["test"]
    if not test:
        why = (
            f"{name} made no predictions for the test"
            if truth["data"]["totals"]["test"]
            else "The data has no test"
        )
        return [f"{why} pictures, so every figure here comes from pictures used for choosing."]
    reached = _reached(test)
    if best.get("same_data") is False:
        return [f"On test, {name} reaches {reached}, if it never saw these pictures."]
    sentences = [f"On the test pictures, used for no choice, {name} reaches {reached}."]
    if best.get("same_test") is False and test["twins"]["n"]:
        sentences.append(
            f"Their twins in training were not left out: {'; '.join(without_twins(best, 'test'))}"
        )
    return sentences


def _by_class(name: str, per_class: Sequence[Truth]) -> list[str]:
    """The classes with the best and the worst F1; classes with the same printed F1 together."""
    f1 = {c["label"]: decimal(c["f1"]["value"], 2) for c in per_class if c["n"]}
    if len(f1) < 2:
        return []
    if len(set(f1.values())) == 1:
        return [f"On validation, {name} recognises all classes alike (F1 {min(f1.values())})."]

    def classes_with(value: str) -> str:
        labels = [label for label, own in f1.items() if own == value]
        named = listed(labels) if len(labels) <= NAMED else f"{len(labels)} classes"
        return f"{named} {{}} (F1 {value}{' each' if len(labels) > 1 else ''})"

    best, worst = classes_with(max(f1.values())), classes_with(min(f1.values()))
    return [f"On validation, {name} recognises {best.format('best')}, and {worst.format('worst')}."]


def _reached(scores: Truth) -> str:
    bounds = interval(scores["accuracy"], dash=" to ")
    bounds = f" (95 % interval {bounds})" if bounds else ""
    return (
        f"{percent(scores['accuracy']['value'])} of {plural(scores['n'], 'face')} named as their "
        f"label says{bounds}"
    )


def _splits(truth: Truth) -> list[str]:
    """What the scores of each split can and cannot show."""
    totals, networks = truth["data"]["totals"], truth["networks"]
    others = [n["name"] for n in networks if n.get("same_data") is False]
    own = [n["name"] for n in networks if n.get("same_data") is not False]
    learners = "the networks" if not others else listed(own)
    if own:
        sentences = [
            f"Training: the pictures {learners} learned from; the figure shows how much was "
            "memorised."
        ]
    else:
        sentences = [
            "Training: of this data, not of what the networks were trained on; the figure shows "
            "nothing about learning."
        ]
    epoch = "the epoch to keep and the best network" if own else "the best network"
    sentences.append(
        f"Validation: used to choose {epoch}, so its figures are slightly too good."
        if totals["validation"]
        else "Validation: n/a, the data has none."
    )
    quote = (
        "the figure to quote"
        if own
        else "the figure to quote only if these pictures were never learned from"
    )
    sentences.append(
        f"Test: used for no choice; {quote}." if totals["test"] else "Test: n/a, the data has none."
    )
    if others:
        was, it = ("was", "it") if len(others) == 1 else ("were", "they")
        sentences.append(
            f"Other data: {listed(others)} {was} trained on it, and may have learned from pictures "
            f"of any split here; no figure shows what {it} can do on unseen pictures."
        )
    sentences += [
        f"Only {plural(totals[split], f'{split} picture')}: the intervals are wide."
        for split in truth["measured"]
        if totals[split] < FEW
    ]
    if truth["data"]["source"].startswith("drawn faces"):
        sentences.append(
            "These faces are drawn by a program: the figures say nothing about photographs."
        )
    return sentences


def audit_sentences(audit: Truth) -> list[str]:
    """Summarise `Audit.to_dict()` in a few sentences, for the report's notes about the data."""
    sentences = []
    near, conflicts = audit["near_duplicates"], audit["label_conflicts"]
    if near is not None:
        beside = [
            f"{count(x['rows'])} {x['split']}"
            for x in near["rows_also_in"]
            if x["also_in"] == "training" and x["rows"]
        ]
        sentences.append(
            f"Audit: {plural(near['pairs'], 'pair')} of nearly equal pictures, "
            f"{count(near['pairs_with_different_labels'])} of them with different labels"
            + (
                f"; {listed(beside)} pictures have a near duplicate in training, which is kept."
                if beside
                else "."
            )
        )
    sentences.append(
        f"Audit: {plural(conflicts['groups'], 'group')} of equal pictures with different labels "
        f"({plural(conflicts['rows'], 'row')})."
    )
    sentences.append(f"Audit: {plural(audit['blanks']['rows'], 'blank picture')}.")
    if audit["no_faces"] is not None:
        sentences.append(
            f"Audit: {plural(sum(audit['no_faces'].values()), 'picture')} without a face, "
            "according to the annotators."
        )
    return sentences


def table(truth: Truth) -> str:
    """A table of the networks in plain text, with 95 % intervals of the accuracy.

    `*` marks the best network, `!` those that were trained on other data.
    """
    yardstick = truth["yardstick"]
    scores_of = ("training", "validation", "test", f"macro-F1 {yardstick}", "ECE")
    rows = [["network", *scores_of, "parameters", "s/epoch", "MB"]]
    for n in truth["networks"]:
        marks = " *" * (n["name"] == truth["best"]["name"]) + " !" * (n.get("same_data") is False)
        cells = [n["name"] + marks]
        for split in ("training", "validation", "test"):
            scores = n["splits"][split]
            bounds = (
                interval(scores["accuracy"], dash="-") if scores and split != "training" else ""
            )
            cell = percent(scores["accuracy"]["value"]) if scores else "n/a"
            cells.append(f"{cell} ({bounds})" if bounds else cell)
        held, info = n["splits"][yardstick], n["info"]
        cells += [
            decimal(held["macro_f1"]["value"] if held else None),
            decimal(held["ece"] if held else None),
        ]
        cells += [count(info.get("parameters")), decimal(info.get("seconds_per_epoch"), 1)]
        cells.append(count(info.get("peak_memory_mb")))
        rows.append(cells)
    lines = aligned(rows)
    lines.insert(1, "-" * max(len(line) for line in lines))
    if truth["best"]["name"] is not None:
        lines.append("* best on validation, which chose it; brackets: 95 % interval")
    lines += truth["words"].get("weighted", []) + truth["words"].get("further", [])
    for n in truth["networks"]:
        lines += [*without_twins(n), *ferplus(n)]
    if sentence := other_data(truth["networks"]):
        lines.append(f"! {sentence[0].lower()}{sentence[1:]}")
    return "\n".join(lines)
