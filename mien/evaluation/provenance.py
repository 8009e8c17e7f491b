"""Compare the training data of networks with the data that they are evaluated on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mien.data.dataset import SPLITS, Dataset


def origins(info: Mapping[str, Any], dataset: Dataset) -> dict[str, Any]:
    """How the training data of a network, or of the members of a mean, relates to the dataset.

    Returns:
        same_data, same_test: as from `_same_data`; for a mean False if it is False for a member,
            and None if it is unknown for one.
        other_data: source and fingerprint of the other data that it was trained on, including
            photographs, and of the data of the networks that it started from or was taught by.
        inherited: for each network that it started from or was taught by: `how`, `name`, `source`
            of its data, `same_data`, and `keep_leaks`, whether it was trained on rows that also
            occur in validation or test.
    """
    members = info.get("members") or [info]
    same = [
        {"same_data": True, "same_test": None}
        if trained_on_photographs(member.get("photographs"), dataset)
        else _same_data(member.get("data"), dataset)
        for member in members
    ]
    facts: dict[str, Any] = {
        key: False if any(s[key] is False for s in same) else all(s[key] for s in same) or None
        for key in ("same_data", "same_test")
    }
    ancestors = [
        (how, network)
        for how, networks in (
            ("began with", [info.get("begun_from")]),
            ("was taught by", info.get("taught_by") or []),
        )
        for network in networks
        # ImageNet's weights have no digest, and no such faces either.
        if isinstance(network, Mapping) and network.get("digest")
    ]
    other = [
        source
        for member, s in zip(members, same, strict=True)
        if s["same_data"] is False
        for source in _sources(member)
    ]
    if other:
        of_ancestors = [source for _, network in ancestors for source in _sources(network)]
        other += [source for source in of_ancestors if source.get("source")]
    facts["other_data"] = [
        {"source": data.get("source", "an unnamed source"), "fingerprint": data.get("fingerprint")}
        for data in other
    ]
    facts["inherited"] = [
        {
            "how": how,
            "name": network.get("name"),
            "source": " and ".join(
                str(data["source"]) for data in _sources(network) if data.get("source")
            ),
            "same_data": _same_data(network.get("data"), dataset)["same_data"],
            "keep_leaks": network.get("keep_leaks"),
        }
        for how, network in ancestors
    ]
    return facts


def _sources(network: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Facts about the training data of a network, including photographs."""
    sources = (network.get("data"), network.get("photographs"))
    return [source for source in sources if isinstance(source, Mapping)]


def trained_on_photographs(photographs: Any, dataset: Dataset) -> bool:
    """Whether the additional photographs of a network are the training split of this dataset."""
    fingerprint = photographs.get("fingerprint") if isinstance(photographs, Mapping) else None
    return fingerprint is not None and fingerprint in (
        dataset.part("training").fingerprint,
        dataset.with_labels_that_occur().part("training").fingerprint,
    )


def _same_data(data: Any, dataset: Dataset) -> dict[str, bool | None]:
    """Whether a network was trained on the training and validation rows of the dataset, and whether
    its test rows were the same.

    Each is None if it is unknown; `same_test` also if the dataset has no test rows.
    """
    if not isinstance(data, Mapping) or data.get("fingerprint") is None:
        return {"same_data": None, "same_test": None}
    tested = bool(dataset.counts()[SPLITS.index("test")].any())
    if data["fingerprint"] == dataset.fingerprint:
        return {"same_data": True, "same_test": True if tested else None}
    known = data.get("fingerprints")
    if not isinstance(known, Mapping):  # an old network
        return {"same_data": False, "same_test": None}
    equal = {split: known.get(split) == digest for split, digest in dataset.fingerprints.items()}
    return {
        "same_data": equal["training"] and equal["validation"],
        "same_test": equal["test"] if tested else None,
    }
