"""Sentences and the terminal's table, computed from the numbers of an evaluation.

Every word that judges has its threshold here, so that two reports with the same numbers say the
same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

ALIKE = 0.03  # training minus held-out accuracy up to here: "alike"
STRONG = 0.10  # from here on: "overfits strongly"; between the two: "overfits somewhat"
# training accuracy less than this above the most frequent label's share: "has learned little"
LEARNED = 0.05
CHANCE = 0.05  # McNemar p below this: "unlikely to be chance"
CALIBRATED = 0.02  # mean confidence minus accuracy within this: "about as sure as it is right"
FEW = 200  # rows in a split; with fewer the report warns
# mean fall of the probability in the strongest ninth of a picture; below: "no place matters by
# itself"
FAINT = 0.01
BESIDE = 0.9  # of the strongest ninth's fall: from here on another ninth is named beside it
PLACES = 3  # ninths named together; with more "no place stands out"
NAMED = 4  # classes equally good or bad; more are counted, not named

_NINTHS = (
    *("upper left", "upper middle", "upper right"),
    *("middle left", "centre", "middle right"),
    *("lower left", "lower middle", "lower right"),
)
Truth = Mapping[str, Any]


def percent(rate: float | None) -> str:
    """0.6234 -> `62.3 %`; None -> `n/a`."""
    return "n/a" if rate is None else f"{100 * rate:.1f} %"


def points(difference: float | None) -> str:
    return "n/a" if difference is None else f"{100 * difference:z.1f} points"


def decimal(value: float | None, digits: int = 3) -> str:
    return "n/a" if value is None else f"{value:z.{digits}f}"


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


def interval(
    estimate: Mapping[str, float | None] | None, *, rate: bool = True, dash: str = "\u2013"
) -> str:
    """`65.4-68.4` for rates (in percent), `0.912-0.987` otherwise; empty without an interval."""
    if estimate is None or estimate["low"] is None or estimate["high"] is None:
        return ""
    low, high = estimate["low"], estimate["high"]
    return f"{100 * low:z.1f}{dash}{100 * high:z.1f}" if rate else f"{low:z.3f}{dash}{high:z.3f}"


def p_value(p: float | None) -> str:
    return "p n/a" if p is None else "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([*([", ".join(names[:-1])] if names[:-1] else []), *names[-1:]])


def sentence(text: str) -> str:
    """With a capital at its beginning and a full stop at its end."""
    return (
        text[:1].upper()
        + text[1:]
        + ("" if text.endswith((".", "!", "?", ":")) or not text else ".")
    )


def plural(number: int, what: str) -> str:
    """`1 pair`, `2 pairs`."""
    return f"{count(number)} {what}{'' if number == 1 else 's'}"


def sentences(truth: Truth) -> dict[str, Any]:
    """verdict, comparisons, lessons about the splits: lists; other_data: one sentence or empty; the
    rest by network.
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


def other_data(networks: Sequence[Truth]) -> str:
    """Which networks were trained on other data than is judged; empty where none is known to be."""
    others = [n for n in networks if n.get("same_data") is False]
    if not others:
        return ""
    by_data: dict[
        str, list[str]
    ] = {}  # the answers of one bundle, and members of a mean, share their data
    for n in others:
        seen = listed(
            list(
                dict.fromkeys(
                    f"{d['source']} (fingerprint {d['fingerprint']})" for d in n["other_data"]
                )
            )
        )
        by_data.setdefault(seen, []).append(n["name"])
    named = [
        f"{listed(ns)} {'was' if len(ns) == 1 else 'were'} trained on {seen}"
        for seen, ns in by_data.items()
    ]
    they, their = ("it has", "its") if len(others) == 1 else ("they have", "their")
    return (
        f"Other data: {listed(named)}, not on the data judged here: whether {they} seen these pictures is not known, "
        f"so {their} figures prove nothing about unseen pictures."
    )


def leaks(network: Truth) -> str:
    """Whether the network, or what it began with or was taught by, saw pictures that also occur in
    another split.
    """
    told = _own_leaks(network)
    for one in network.get("inherited", ()):
        if one["keep_leaks"]:
            told += f" It {one['how']} {one['name']}, which was trained on twins of validation and test pictures too."
        elif one["same_data"] is not True:
            on = f"which was trained on {one['source']}" if one["source"] else "of unknown origin"
            told += f" It {one['how']} {one['name']}, {on}: whether that has seen these pictures is not known."
    return told


def _own_leaks(network: Truth) -> str:
    name, data, recipe = network["name"], network["info"].get("data"), network["info"].get("recipe")
    if network.get("same_data") is False:
        return f"{name}: was trained on other data, so whether it has seen twins, or these very pictures, is not known."
    if not data or not recipe or "num_left_out_as_leaks" not in data or "keep_leaks" not in recipe:
        return f"{name}: whether it was trained on twins is not known."
    if recipe["keep_leaks"]:
        return f"{name}: was trained on all training rows, twins of validation and test pictures among them."
    left_out = data["num_left_out_as_leaks"]
    if network.get("same_test") is False:
        return (
            f"{name}: was trained on these training pictures when its data had other test pictures, or none, "
            f"so twins of the test pictures judged here may be among what it learned; {count(left_out)} training "
            f"{'row' if left_out == 1 else 'rows'} with a twin in validation or its own test were left out."
        )
    if not left_out:
        return f"{name}: none of its training rows has a twin in validation or test."
    was = (
        "row with a twin in validation or test was"
        if left_out == 1
        else "rows with a twin in validation or test were"
    )
    return f"{name}: {count(left_out)} training {was} left out of its training."


def ferplus(network: Truth) -> list[str]:
    """What the head that learned the votes scores by FER+'s protocol; empty without such a head, or
    votes.
    """
    found = []
    for split, scores in network["splits"].items():
        if scores and scores.get("ferplus") and split != "training":
            f = scores["ferplus"]
            found.append(
                f"{network['name']}: by FER+'s majority protocol its vote head is right on "
                f"{percent(f['accuracy']['value'])} ({interval(f['accuracy'], dash='-')}) of {count(f['n'])} {split} "
                f"faces, calibration error {decimal(f['ece'])}."
            )
    return found


def without_twins(network: Truth, *splits: str) -> list[str]:
    """Accuracy on faces whose pixels do not occur in training, beside the official one; of all
    splits by default.
    """
    return [
        f"{network['name']}: {split} {percent(s['accuracy']['value'])} of all {count(s['n'])}, "
        f"{percent(s['twins']['accuracy_without']['value'])} of the {count(s['twins']['n_without'])} "
        "whose pixels do not occur in training."
        for split, s in network["splits"].items()
        if s and split != "training" and s["twins"]["n"] and split in (splits or network["splits"])
    ]


def gap(network: Truth, split: str) -> str:
    """How training accuracy compares with that on `split`, in words."""
    name, trained, held = network["name"], network["splits"]["training"], network["splits"][split]
    if not trained or not held or split == "training":
        missing = "training" if not trained else "validation or test"
        return (
            f"{name}: the gap is not known, since there are no predictions for {missing} pictures."
        )
    a, b = trained["accuracy"]["value"], held["accuracy"]["value"]
    figures = f"{name}: {percent(a)} on training against {percent(b)} on {split}"
    if network.get("same_data") is False:
        return (
            f"{figures}; it was trained on other data, so which of these pictures it has seen, and whether it "
            "overfits, is not known."
        )
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
    return f"{figures}, a gap of {points(size)}: {judgement}."


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
    loss = _paired_loss(c)
    if alone == other:
        on = (
            "on the same faces"
            if not alone
            else f"equally often: each alone on {plural(alone, 'face')}"
        )
        return f"On {c['split']}, {ahead} and {behind} are right {on}, of {count(c['n'])}.{loss}"
    judgement = "unlikely to be chance" if c["p_value"] < CHANCE else "may well be chance"
    return (
        f"On {c['split']}, {ahead} is {points(abs(c['difference']))} ahead of {behind}: of {plural(c['n'], 'face')} "
        f"{ahead} alone is right on {count(alone)}, {behind} alone on {count(other)} ({p_value(c['p_value'])}): "
        f"{judgement}.{loss}"
    )


def _paired_loss(c: Truth) -> str:
    """Whose loss is lower; empty where no interval was wanted or the losses are equal."""
    loss = c["loss_difference"]
    if loss["low"] is None:
        return ""
    lower, sign = (c["second"], 1) if loss["value"] > 0 else (c["first"], -1)
    low, high = sorted((sign * loss["low"], sign * loss["high"]))
    judgement = "unlikely to be chance" if low > 0 else "may well be chance"
    return (
        f" The loss of {lower} is lower by {decimal(abs(loss['value']))} "
        f"({decimal(low)} to {decimal(high)}): {judgement}."
    )


def curves(network: Truth) -> str:
    """What the learning curves show, and why training and validation are not measured alike."""
    recipe = network["info"].get("recipe")
    known = ("augment", "block_dropout", "dense_dropout", "label_smoothing", "class_weights")
    if not isinstance(recipe, Mapping) or not set(known) <= set(recipe):
        under = [
            "whatever training alters, such as augmentation, dropout, label smoothing or class weights"
        ]
    else:
        under = ["augmentation"] if recipe["augment"] else []
        under += ["dropout"] if recipe["block_dropout"] or recipe["dense_dropout"] else []
        under += ["label smoothing"] if recipe["label_smoothing"] else []
        under += ["class weights"] if recipe["class_weights"] != "none" else []
    how = f"under {listed(under)}" if under else "with weights that still change"
    return (
        f"Learning curves; the upright line is the epoch that was kept. The training curve is measured while training, "
        f"{how}; the validation curve after each epoch, without: their distance is not the gap. "
        "The scores measure all splits alike."
    )


def worst(network: Truth, split: str) -> str:
    """How little probability the labels of the worst errors got."""
    scores = network["splits"][split]
    if not scores or not scores["worst"]:
        return f"{network['name']} makes no errors on {split}."
    shares = sorted(math.exp(-x["loss"]) for x in scores["worst"])
    errors = sum(map(sum, scores["confusion"])) - sum(
        row[k] for k, row in enumerate(scores["confusion"])
    )
    got = percent(shares[0])
    if percent(shares[-1]) != got:
        got += f" to {percent(shares[-1])}"
    if len(shares) == errors:
        which = "all its errors: their labels" if errors > 1 else "its only error: the label"
    else:
        which = (
            f"the {len(shares)} of its {count(errors)} errors with the highest loss: their labels"
        )
    return f"Of {network['name']} on {split} {which} got {got} of the probability."


def maps(found: Truth) -> dict[str, Any]:
    """How the occlusion maps were made and what they can tell, and a sentence for each class."""
    return {
        "method": (
            f"Up to {plural(found['most_faces'], 'face')} of each class that {found['network']} recognised on "
            f"{found['split']}, drawn at random. A patch of {found['patch']} x {found['patch']} pixels is blurred and "
            f"{found['asked']} asked again, at {found['questions']} places of a face: orange where the label's "
            "probability falls, blue where it rises, each picture on a scale of its own. Left and right are "
            "the picture's."
        ),
        "limits": (
            f"This shows what {found['network']} uses on these faces, not why a face has an expression. Where one "
            "place is covered it may lean on another, and another few faces may point elsewhere."
        ),
        "classes": {c["label"]: place(c, found["split"]) for c in found["classes"]},
    }


def place(found: Truth, split: str) -> str:
    """Where the mean map of a class is strongest, by ninths of the picture, and how many of its
    faces agree.
    """
    label, n = found["label"], found["n"]
    if found["ninths"] is None:
        return f"{label}: no face with this label was recognised on {split}, so nothing is mapped."
    most, over = max(found["ninths"]), plural(n, "face")
    cost = f"{points(most)} of the label's probability on average"
    if most < FAINT:
        return (
            f"{label}: over {over}, no place matters by itself: in no ninth of the picture does a blurred patch cost "
            f"{points(FAINT)} of the label's probability on average."
        )
    alike = [place for place, fall in enumerate(found["ninths"]) if fall >= BESIDE * most]
    if len(alike) > PLACES:
        return (
            f"{label}: over {over}, no place stands out: in {len(alike)} ninths of the picture a blurred patch costs "
            f"about as much, up to {cost}."
        )
    named = listed([_NINTHS[place] for place in alike])
    told = f"{label}: over {over}, a blurred patch costs most in the {named} of the picture, {cost}"
    if n == 1:
        return f"{told}."
    agree = sum(place in alike for place in found["strongest"])
    those = f"{count(agree) if agree else 'none'} of the {count(n)} faces by themselves"
    return f"{told}; {those} {'is' if agree == 1 else 'are'} strongest there."


def _verdict(truth: Truth) -> list[str]:
    networks, drawn_again = truth["networks"], truth["made"]["num_bootstrap"] > 0
    name = truth["best"]["name"]
    other = [told] if (told := other_data(networks)) else []
    if name is None:
        split = truth["yardstick"]
        judged = [n for n in networks if n["splits"][split]]
        reached = [
            f"On {split}, {n['name']} reaches {_reached(n['splits'][split], drawn_again)}."
            for n in judged
        ]
        return [truth["best"]["rule"], *other, *reached]
    best = next(n for n in networks if n["name"] == name)
    validation, test = best["splits"]["validation"], best["splits"]["test"]
    alike = [
        n["name"]
        for n in networks
        if n["splits"]["validation"]
        and n["splits"]["validation"]["accuracy"]["value"] == validation["accuracy"]["value"]
    ]
    reached_there = _reached(validation, drawn_again)
    if len(alike) > 1:
        told = f"Of {len(networks)} networks, {listed(alike)} are equally accurate on validation: {reached_there}. "
        told += f"The best of them, by its loss there, is {name}."
    elif len(networks) > 1:
        told = f"Of {len(networks)} networks, {name} is the best on validation: {reached_there}."
    else:
        told = f"On validation, {name} reaches {reached_there}."
    verdict = [told, *other]
    if not test:
        why = (
            f"{name} made no predictions for the test"
            if truth["data"]["totals"]["test"]
            else "The data has no test"
        )
        verdict.append(f"{why} pictures, so no figure here is free of choosing.")
    elif best.get("same_data") is False:
        verdict.append(
            f"On test, {name} reaches {_reached(test, drawn_again)}, if it never saw these pictures."
        )
    else:
        verdict.append(
            f"On the test pictures, which chose nothing, {name} reaches {_reached(test, drawn_again)}."
        )
        if best.get("same_test") is False and test["twins"]["n"]:
            verdict.append(
                f"Their twins in training were not left out: {'; '.join(without_twins(best, 'test'))}"
            )
    rivals = [
        c
        for c in truth["comparisons"]
        if c["split"] == "validation" and name in (c["first"], c["second"])
    ]
    if rivals:
        verdict.append(comparison(min(rivals, key=lambda c: abs(c["difference"]))))
    verdict += _by_class(name, validation["per_class"])
    baseline = validation["baseline"]
    verdict.append(
        f"Always answering {baseline['label']!r} would be right on {percent(baseline['accuracy'])} of the validation "
        f"faces{f'; {name} is no better' if validation['accuracy']['value'] <= baseline['accuracy'] else ''}."
    )
    return verdict


def _by_class(name: str, per_class: Sequence[Truth]) -> list[str]:
    """Which classes are recognised best and worst; equal ones, as printed, are named together."""
    f1 = {c["label"]: decimal(c["f1"]["value"], 2) for c in per_class if c["n"]}
    if len(f1) < 2:
        return []
    if len(set(f1.values())) == 1:
        return [f"On validation, {name} recognises all classes alike (F1 {min(f1.values())})."]

    def those(value: str) -> str:
        labels = [label for label, own in f1.items() if own == value]
        named = listed(labels) if len(labels) <= NAMED else f"{len(labels)} classes"
        return f"{named} {{}} (F1 {value}{' each' if len(labels) > 1 else ''})"

    best, hardest = those(max(f1.values())), those(min(f1.values()))
    return [
        f"On validation, {name} recognises {best.format('best')}, and {hardest.format('worst')}."
    ]


def _reached(scores: Truth, drawn_again: bool) -> str:
    bounds = interval(scores["accuracy"], dash=" to ")
    if bounds:
        bounds = f" (95 % interval {bounds})"
    elif drawn_again:
        bounds = " (no interval: all resamples are equal)"
    return f"{percent(scores['accuracy']['value'])} of {plural(scores['n'], 'face')} named as their label says{bounds}"


def _splits(truth: Truth) -> list[str]:
    """What each split's figures can and cannot prove."""
    totals, networks = truth["data"]["totals"], truth["networks"]
    others = [n["name"] for n in networks if n.get("same_data") is False]
    own = [n["name"] for n in networks if n.get("same_data") is not False]
    learners = "the networks" if not others else listed(own)
    if own:
        told = [
            f"Training: the pictures {learners} learned from; the figure shows how much was learned by heart."
        ]
    else:
        told = [
            "Training: pictures of this data, not those that were learned from; it shows nothing about learning."
        ]
    epoch = "the epoch to keep and the best network" if own else "the best network"
    told.append(
        f"Validation: used to choose {epoch}, so its figures flatter a little."
        if totals["validation"]
        else "Validation: n/a, the data has none."
    )
    quote = (
        "the figure to quote"
        if own
        else "the figure to quote only if these pictures were never learned from"
    )
    told.append(
        f"Test: chose nothing; {quote}." if totals["test"] else "Test: n/a, the data has none."
    )
    if others:
        was, it = ("was", "it") if len(others) == 1 else ("were", "they")
        told.append(
            f"Other data: {listed(others)} {was} trained on it, and may have learned from pictures of any split here; "
            f"no figure shows what {it} can do on unseen pictures."
        )
    told += [
        f"Only {plural(totals[split], f'{split} picture')}: mind the width of the intervals."
        for split in truth["measured"]
        if totals[split] < FEW
    ]
    if truth["data"]["source"].startswith("drawn faces"):
        told.append(
            "These faces are drawn by a program: the figures say nothing about photographs."
        )
    return told


def audit_sentences(found: Truth) -> list[str]:
    """`Audit.to_dict()` in a few sentences, for the report's notes about the data."""
    told = []
    near, conflicts = found["near_duplicates"], found["label_conflicts"]
    if near is not None:
        beside = [
            f"{count(x['rows'])} {x['split']}"
            for x in near["rows_also_in"]
            if x["also_in"] == "training" and x["rows"]
        ]
        told.append(
            f"Audit: {plural(near['pairs'], 'pair')} of nearly equal pictures, "
            f"{count(near['pairs_with_different_labels'])} of them with different labels"
            + (
                f"; {listed(beside)} pictures have a near duplicate in training, which stays there."
                if beside
                else "."
            )
        )
    told.append(
        f"Audit: {plural(conflicts['groups'], 'group')} of equal pictures with different labels "
        f"({plural(conflicts['rows'], 'row')})."
    )
    told.append(f"Audit: {plural(found['blanks']['rows'], 'blank picture')}.")
    if found["no_faces"] is not None:
        told.append(
            f"Audit: {plural(sum(found['no_faces'].values()), 'picture')} without a face, say the annotators."
        )
    return told


def table(truth: Truth) -> str:
    """The networks side by side in plain text, accuracy with its 95 % interval; `*` marks the best,
    `!` other data.
    """
    yardstick = truth["yardstick"]
    head = [
        "network",
        "training",
        "validation",
        "test",
        f"macro-F1 {yardstick}",
        "ECE",
        "parameters",
        "s/epoch",
        "MB",
    ]
    rows = [head]
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
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = [
        "  ".join(
            [
                row[0].ljust(widths[0]),
                *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)),
            ]
        )
        for row in rows
    ]
    lines.insert(1, "-" * max(len(line) for line in lines))
    if truth["best"]["name"] is not None:
        lines.append("* best on validation, which chose it; brackets: 95 % interval")
    for n in truth["networks"]:
        lines += [*without_twins(n), *ferplus(n)]
    if told := other_data(truth["networks"]):
        lines.append(f"! {told[0].lower()}{told[1:]}")
    return "\n".join(lines)
