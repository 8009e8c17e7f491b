"""Sentences about networks, generated from the numbers of an evaluation.

Each judgement has a fixed threshold here, so equal numbers give equal sentences.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mien.evaluation.phrasing import (
    count,
    decimal,
    interval,
    listed,
    p_value,
    percent,
    plural,
    points,
)

ALIKE = 0.03  # training minus held-out accuracy up to this value: "equally well"
STRONG = 0.10  # from this value on: "overfits strongly"; between the two: "overfits somewhat"
# Training accuracy less than this above the most frequent label's share: "has learned little".
LEARNED = 0.05
CHANCE = 0.05  # McNemar p below this: "unlikely to be chance"
CALIBRATED = 0.02  # mean confidence minus accuracy within this: "about as sure as it is right"
# Mean loss of probability in the strongest ninth of a picture below this: "no place matters by
# itself".
FAINT = 0.01
BESIDE = 0.9  # ninths with at least this share of the strongest one's loss are named with it
PLACES = 3  # ninths named together; with more: "no place stands out"
_NINTHS = (
    *("upper left", "upper middle", "upper right"),
    *("middle left", "centre", "middle right"),
    *("lower left", "lower middle", "lower right"),
)

Truth = Mapping[str, Any]


def other_data(networks: Sequence[Truth]) -> str:
    """Which networks were trained on other data than this, and what that means for their figures;
    empty if none is known to be.
    """
    others = [n for n in networks if n.get("same_data") is False]
    if not others:
        return ""

    def described(data: Truth) -> str:
        mark = f"fingerprint {data['fingerprint']}" if data["fingerprint"] else "no fingerprint"
        return f"{data['source']} ({mark})"

    # Predictions of one bundle, and members of a mean, share their data.
    by_data: dict[str, list[str]] = {}
    for n in others:
        sources = listed(list(dict.fromkeys(map(described, n["other_data"]))))
        by_data.setdefault(sources, []).append(n["name"])
    named = [
        f"{listed(names)} {'was' if len(names) == 1 else 'were'} trained on {sources}"
        for sources, names in by_data.items()
    ]
    they_have, their = ("it has", "its") if len(others) == 1 else ("they have", "their")
    return (
        f"Other data: {listed(named)}, which cannot be compared with the pictures judged here one "
        f"by one. If {they_have} seen them, or others of the same people, {their} figures say "
        "nothing about unseen pictures; if not, all of them are test figures."
    )


def leaks(network: Truth) -> str:
    """Whether the network, its starting weights or its teachers were trained on pictures that also
    occur in another split.
    """
    sentences = _own_leaks(network)
    for source in network.get("inherited", ()):
        if source["keep_leaks"]:
            sentences += (
                f" It {source['how']} {source['name']}, which was trained on twins of validation "
                "and test pictures too."
            )
        elif source["same_data"] is not True:
            data = source["source"]
            on = f"which was trained on {data}" if data else "of unknown origin"
            sentences += (
                f" It {source['how']} {source['name']}, {on}: whether that has seen these pictures "
                "is not known."
            )
    return sentences


def _own_leaks(network: Truth) -> str:
    name, data, recipe = network["name"], network["info"].get("data"), network["info"].get("recipe")
    if network.get("same_data") is False:
        return (
            f"{name}: was trained on other data, so whether it has seen twins, or these very "
            "pictures, is not known."
        )
    if not data or not recipe or "num_left_out_as_leaks" not in data or "keep_leaks" not in recipe:
        return f"{name}: whether it was trained on twins is not known."
    if recipe["keep_leaks"]:
        return (
            f"{name}: was trained on all training rows, twins of validation and test pictures "
            "among them."
        )
    left_out = data["num_left_out_as_leaks"]
    if network.get("same_test") is False:
        return (
            f"{name}: was trained on these training pictures when its data had other test "
            "pictures, or none, so twins of the test pictures judged here may be among what it "
            f"learned; {count(left_out)} training {'row' if left_out == 1 else 'rows'} with a twin "
            "in validation or its own test were left out."
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
    """Accuracy of the vote head by FER+'s protocol; empty without a vote head or votes."""
    sentences = []
    for split, scores in network["splits"].items():
        if scores and scores.get("ferplus") and split != "training":
            f = scores["ferplus"]
            sentences.append(
                f"{network['name']}: by FER+'s majority protocol its vote head is right on "
                f"{percent(f['accuracy']['value'])} ({interval(f['accuracy'], dash='-')}) of "
                f"{count(f['n'])} {split} faces, calibration error {decimal(f['ece'])}."
            )
    return sentences


def without_twins(network: Truth, *splits: str) -> list[str]:
    """Accuracy on all faces, and on those whose pixels do not occur in training; for the given
    splits, by default for all.
    """
    return [
        f"{network['name']}: {split} {percent(s['accuracy']['value'])} of all {count(s['n'])}, "
        f"{percent(s['twins']['accuracy_without']['value'])} of the "
        f"{count(s['twins']['n_without'])} whose pixels do not occur in training."
        for split, s in network["splits"].items()
        if s and split != "training" and s["twins"]["n"] and split in (splits or network["splits"])
    ]


def gap(network: Truth, split: str) -> str:
    """Compare the accuracy on training with that on `split`."""
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
            f"{figures}; it was trained on other data, so which of these pictures it has seen, and "
            "whether it overfits, is not known."
        )
    size = a - b
    if size > STRONG:
        judgement = "it overfits strongly: it has memorised many training pictures"
    elif size > ALIKE:
        judgement = "it overfits somewhat"
    elif size >= -ALIKE:
        judgement = "it does equally well on pictures it has seen and not seen"
    else:
        judgement = (
            "it does better on pictures it has not seen, which is unusual: look at how the splits "
            "were made"
        )
    if a < trained["baseline"]["accuracy"] + LEARNED:
        judgement += (
            f"; and it has learned little, for always answering {trained['baseline']['label']!r} "
            f"would be right on {percent(trained['baseline']['accuracy'])} of the training pictures"
        )
    return f"{figures}, a gap of {points(size)}: {judgement}."


def confidence(network: Truth, split: str) -> str:
    """Whether a network's confidence matches its accuracy."""
    held = network["splits"][split]
    if not held:
        return f"{network['name']}: no predictions for {split} pictures."
    over = held["confidence"] - held["accuracy"]["value"]
    if abs(over) <= CALIBRATED:
        judgement = "about as sure as it is right"
    else:
        judgement = f"{'too sure' if over > 0 else 'not sure enough'} by {points(abs(over))}"
    return (
        f"{network['name']}: on {split} its mean confidence is {percent(held['confidence'])} and "
        f"it is right on {percent(held['accuracy']['value'])}: {judgement} (calibration error "
        f"{decimal(held['ece'])})."
    )


def comparison(c: Truth) -> str:
    """Describe the result of a McNemar test."""
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
        f"On {c['split']}, {ahead} is {points(abs(c['difference']))} ahead of {behind}: of "
        f"{plural(c['n'], 'face')} {ahead} alone is right on {count(alone)}, {behind} alone on "
        f"{count(other)} ({p_value(c['p_value'])}): {judgement}.{loss}"
    )


def _paired_loss(c: Truth) -> str:
    """Which network has the lower loss; empty without an interval or if the losses are equal."""
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
    """How to read the learning curves: training and validation are measured differently."""
    recipe = network["info"].get("recipe")
    known = ("augment", "block_dropout", "dense_dropout", "label_smoothing", "class_weights")
    if not isinstance(recipe, Mapping) or not set(known) <= set(recipe):
        under = [
            "whatever training alters, such as augmentation, dropout, label smoothing or class "
            "weights"
        ]
    else:
        under = ["augmentation"] if recipe["augment"] else []
        under += ["dropout"] if recipe["block_dropout"] or recipe["dense_dropout"] else []
        under += ["label smoothing"] if recipe["label_smoothing"] else []
        under += ["class weights"] if recipe["class_weights"] != "none" else []
    how = f"under {listed(under)}" if under else "with weights that still change"
    return (
        "Learning curves; the upright line is the epoch that was kept. The training curve is "
        f"measured while training, {how}; the validation curve after each epoch, without: their "
        "distance is not the gap. The scores measure all splits alike."
    )


def worst(network: Truth, split: str) -> str:
    """The probabilities of the labels in the worst errors of a network."""
    scores = network["splits"][split]
    if not scores or not scores["worst"]:
        return f"{network['name']} makes no errors on {split}."
    shares = sorted(math.exp(-x["loss"]) for x in scores["worst"])
    errors = sum(map(sum, scores["confusion"])) - sum(
        row[k] for k, row in enumerate(scores["confusion"])
    )
    probability = percent(shares[0])
    if percent(shares[-1]) != probability:
        probability += f" to {percent(shares[-1])}"
    if len(shares) == errors:
        which = "all its errors: their labels" if errors > 1 else "its only error: the label"
    else:
        which = (
            f"the {len(shares)} of its {count(errors)} errors with the highest loss: their labels"
        )
    return f"{network['name']} on {split}, {which} got {probability} of the probability."


def maps(about: Truth) -> dict[str, Any]:
    """How the occlusion maps were made, their limits, and a sentence for each class."""
    return {
        "method": (
            f"Up to {plural(about['most_faces'], 'face')} of each class that {about['network']} "
            f"recognised on {about['split']}, drawn at random. A patch of {about['patch']} x "
            f"{about['patch']} pixels is blurred and {about['asked']} asked again, at "
            f"{about['questions']} places of a face: orange where the label's probability falls, "
            "blue where it rises, each picture on a scale of its own. Left and right are the "
            "picture's."
        ),
        "limits": (
            f"This shows what {about['network']} uses on these faces, not why a face has an "
            "expression. If one place is covered, it may use another, and other faces may give "
            "other maps."
        ),
        "classes": {c["label"]: place(c, about["split"]) for c in about["classes"]},
    }


def place(mapped: Truth, split: str) -> str:
    """The ninths of the picture where the mean map of a class is strongest, and the number of faces
    whose own maps agree.
    """
    label, n = mapped["label"], mapped["n"]
    if mapped["ninths"] is None:
        return f"{label}: no face with this label was recognised on {split}, so nothing is mapped."
    most, over = max(mapped["ninths"]), plural(n, "face")
    cost = f"{points(most)} of the label's probability on average"
    if most < FAINT:
        return (
            f"{label}: over {over}, no place matters by itself: in no ninth of the picture does a "
            f"blurred patch cost {points(FAINT)} of the label's probability on average."
        )
    strongest = [ninth for ninth, loss in enumerate(mapped["ninths"]) if loss >= BESIDE * most]
    if len(strongest) > PLACES:
        return (
            f"{label}: over {over}, no place stands out: in {len(strongest)} ninths of the picture "
            f"a blurred patch costs about as much, up to {cost}."
        )
    named = listed([_NINTHS[ninth] for ninth in strongest])
    sentence = (
        f"{label}: over {over}, a blurred patch costs most in the {named} of the picture, {cost}"
    )
    if n == 1:
        return f"{sentence}."
    agree = sum(ninth in strongest for ninth in mapped["strongest"])
    those = f"{count(agree) if agree else 'none'} of the {count(n)} faces by themselves"
    return f"{sentence}; {those} {'is' if agree == 1 else 'are'} strongest there."
