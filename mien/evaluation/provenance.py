"""What networks learned from, beside the data that they are judged on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mien.data.dataset import SPLITS, Dataset


def origins(info: Mapping[str, Any], dataset: Dataset) -> dict[str, Any]:
    """What a network, or the members of a mean, learned from, beside the data judged.

    Returns:
        same_data, same_test: as of `_same_data`, for the least known of the members.
        other_data: what the others were trained on, photographs beside it included, and what the
            networks before them were trained on.
        inherited: for each network that it started from or was taught by: name, how, source of
            the data, whether that is the same data, and whether rows with a twin in validation or
            test were kept.
    """
    members = info.get("members") or [info]
    same = [
        {"same_data": True, "same_test": None}
        if taught_by_photographs(one.get("photographs"), dataset)
        else _same_data(one.get("data"), dataset)
        for one in members
    ]
    facts: dict[str, Any] = {
        key: False if any(s[key] is False for s in same) else all(s[key] for s in same) or None
        for key in ("same_data", "same_test")
    }
    before = [
        (how, one)
        for how, ones in (
            ("began with", [info.get("begun_from")]),
            ("was taught by", info.get("taught_by") or []),
        )
        for one in ones
        # ImageNet's weights have no digest, nor faces of such data.
        if isinstance(one, Mapping) and one.get("digest")
    ]
    learned = [
        one
        for member, s in zip(members, same, strict=True)
        if s["same_data"] is False
        for one in _sources(member)
    ]
    if learned:
        learned += [of for _, one in before for of in _sources(one) if of.get("source")]
    facts["other_data"] = [
        {"source": one.get("source", "an unnamed source"), "fingerprint": one.get("fingerprint")}
        for one in learned
    ]
    facts["inherited"] = [
        {
            "how": how,
            "name": one.get("name"),
            "source": " and ".join(str(of["source"]) for of in _sources(one) if of.get("source")),
            "same_data": _same_data(one.get("data"), dataset)["same_data"],
            "keep_leaks": one.get("keep_leaks"),
        }
        for how, one in before
    ]
    return facts


def _sources(network: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Facts about all data that a network learned from."""
    every = (network.get("data"), network.get("photographs"))
    return [one for one in every if isinstance(one, Mapping)]


def taught_by_photographs(photographs: Any, dataset: Dataset) -> bool:
    """Whether the further photographs of a network are the training split of this data."""
    known = photographs.get("fingerprint") if isinstance(photographs, Mapping) else None
    return known is not None and known in (
        dataset.part("training").fingerprint,
        dataset.with_labels_that_occur().part("training").fingerprint,
    )


def _same_data(data: Any, dataset: Dataset) -> dict[str, bool | None]:
    """Whether a network was trained and chosen on the rows judged, and knew the test rows; None:
    unknown, or none.
    """
    if not isinstance(data, Mapping) or data.get("fingerprint") is None:
        return {"same_data": None, "same_test": None}
    tested = bool(dataset.counts()[SPLITS.index("test")].any())
    if data["fingerprint"] == dataset.fingerprint:
        return {"same_data": True, "same_test": True if tested else None}
    known = data.get("fingerprints")
    if not isinstance(known, Mapping):  # a network of before there were any
        return {"same_data": False, "same_test": None}
    equal = {split: known.get(split) == digest for split, digest in dataset.fingerprints.items()}
    return {
        "same_data": equal["training"] and equal["validation"],
        "same_test": equal["test"] if tested else None,
    }
