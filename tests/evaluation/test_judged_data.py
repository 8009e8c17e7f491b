"""What is judged as what: data without splits, data that a network learned from, other labels."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mien import pipeline
from mien.data.convert import convert
from mien.data.dataset import SPLITS, Dataset
from mien.data.readers import load_dataset
from mien.data.split import with_validation
from mien.errors import UsageError
from mien.evaluation.evaluate import Predictions, evaluate
from mien.evaluation.judged_data import Learned, data_to_judge, foreign_sources, widened
from mien.evaluation.other_heads import with_other_heads
from mien.evaluation.provenance import origins
from mien.labels import FER2013, FERPLUS, LabelSet
from tests.toy_bundle import write_toy

NOWHERE = Learned("stranger", FER2013, {"fingerprint": "0", "fingerprints": {"training": "1"}})


@pytest.fixture
def unsplit(faces: Dataset) -> Dataset:
    return dataclasses.replace(faces, splits=np.zeros(len(faces), np.uint8))


def sizes(dataset: Dataset) -> list[int]:
    return [len(dataset.part(split)) for split in SPLITS]


def test_data_without_splits_is_judged_whole(unsplit: Dataset) -> None:
    judged = data_to_judge(unsplit, [NOWHERE])
    assert sizes(judged) == [0, 0, 210]
    assert any("all of its pictures are judged as test pictures" in note for note in judged.notes)


def test_data_that_a_network_learned_from_is_split_as_then(unsplit: Dataset) -> None:
    trained = with_validation(unsplit)
    run = Learned(
        "run",
        FER2013,
        {"fingerprint": trained.fingerprint, "fingerprints": trained.fingerprints},
    )
    judged = data_to_judge(unsplit, [NOWHERE, run])
    assert sizes(judged) == sizes(trained) and sizes(judged)[1] > 0


def test_splits_with_names_stay(faces: Dataset) -> None:
    assert sizes(data_to_judge(faces, [NOWHERE])) == [140, 35, 35]
    test_only = faces.part("test")
    assert sizes(data_to_judge(test_only, [NOWHERE])) == [0, 0, 35]
    no_validation = faces.take(~faces.mask("validation"))
    assert sizes(data_to_judge(no_validation, [NOWHERE])) == [140, 0, 35]


def test_labels_that_a_network_lacks_are_left_out_and_said(faces: Dataset) -> None:
    names = tuple("contempt" if name == "neutral" else name for name in FER2013)
    data = dataclasses.replace(faces, label_set=LabelSet(names))
    network = dataclasses.replace(NOWHERE, heads={"votes": FERPLUS})
    judged = data_to_judge(data, [network])
    lost = int(np.sum(faces.labels == FER2013.index("neutral")))
    assert judged.label_set == FER2013 and len(judged) == len(faces) - lost
    assert f"Not judged: {lost} pictures of contempt, which stranger does not know." in judged.notes
    assert "The head votes of stranger knows contempt and is judged beside it." in judged.notes


def test_networks_of_different_labels_are_judged_on_what_all_know(faces: Dataset) -> None:
    three = Learned("three", LabelSet(("happy", "sad", "wink")), None)
    judged = data_to_judge(faces, [NOWHERE, three])
    assert {judged.label_set[k] for k in np.unique(judged.labels)} == {"happy", "sad"}
    assert judged.label_set.names == (*FER2013, "wink")
    part = judged.part("test")
    said = np.full((len(part), 3), 1 / 3, np.float32)
    wide = widened(
        Predictions("three", {"test": said}, {}, explain=lambda faces: said[: len(faces)]),
        three.labels,
        judged.label_set,
    )
    assert wide.probabilities["test"].shape == (len(part), 8)
    assert wide.probabilities["test"].sum(1) == pytest.approx(1)
    assert wide.probabilities["test"][0, judged.label_set.index("wink")] == pytest.approx(1 / 3)
    assert wide.explain is not None and wide.explain(part.images[:2]).shape == (2, 8)


def test_no_label_in_common(faces: Dataset) -> None:
    numbers = dataclasses.replace(faces, label_set=LabelSet(tuple("1234567")))
    with pytest.raises(UsageError, match="--labels .*rafdb"):
        data_to_judge(numbers, [NOWHERE])
    others = dataclasses.replace(faces, label_set=LabelSet(tuple("abcdefg")))
    with pytest.raises(UsageError, match="--labels OLD=NEW"):
        data_to_judge(others, [NOWHERE])


def test_a_bundle_on_a_folder_without_splits(tmp_path: Path, faces: Dataset) -> None:
    convert(faces.part("validation"), tmp_path / "own")
    for path in (tmp_path / "own").rglob("*.png"):  # names that tell no split
        to = tmp_path / "faces" / path.parent.name / path.name.replace("PublicTest_", "")
        to.parent.mkdir(parents=True, exist_ok=True)
        path.rename(to)
    data = load_dataset(tmp_path / "faces")
    job = pipeline.judge(
        data,
        [],
        bundles=[write_toy(tmp_path / "toy")],
        out=tmp_path / "report",
        say=lambda text: None,
    )
    truth = job.evaluation.truth
    assert truth["yardstick"] == "test"
    assert truth["networks"][0]["splits"]["test"]["n"] == 35
    assert truth["networks"][0]["splits"]["training"] is None


def test_the_head_that_knows_a_label_is_judged_on_it(faces: Dataset) -> None:
    names = tuple("contempt" if name == "neutral" else name for name in FER2013)
    whole = dataclasses.replace(faces, label_set=LabelSet(names))
    network = dataclasses.replace(NOWHERE, heads={"votes": FERPLUS})
    data = data_to_judge(whole, [network])
    blind = {"test": np.full((len(data.part("test")), 7), 1 / 7, np.float32)}
    judged = evaluate(data, [Predictions("stranger", blind, {})], num_bootstrap=50, num_maps=0)
    part = whole.part("test")

    def ask(images: np.ndarray) -> dict[str, np.ndarray]:
        """Always right but for the first face of contempt, which it calls sad."""
        assert len(images) == len(part) == 35
        said = [FERPLUS.index(names[k]) for k in part.labels]
        said[said.index(FERPLUS.index("contempt"))] = FERPLUS.index("sad")
        return {"votes": np.eye(8, dtype=np.float32)[said]}

    found = with_other_heads(judged, whole, [(network, ask)])
    [one] = found.truth["other_heads"]
    assert (one["name"], one["head"], one["n"]) == ("stranger", "votes", 35)
    assert one["recall_of_lacking"] == {"contempt": {"n": 5, "right": 4}}
    assert one["accuracy"]["value"] == pytest.approx(34 / 35)
    told = (
        "stranger, head votes (knows contempt too, looked at once): right on 97.1 % (91.4-100.0) "
        "of all 35 test faces with labels it knows, among them on 4 of 5 of contempt."
    )
    assert told in found.table() and told in found.truth["words"]["verdict"]
    assert with_other_heads(judged, data, [(network, ask)]) is judged  # nothing is lacking


def test_photographs_that_taught_a_network_are_training_data(unsplit: Dataset) -> None:
    split = with_validation(unsplit)
    taught = {"fingerprint": split.part("training").fingerprint}
    network = dataclasses.replace(NOWHERE, photographs=taught)
    assert sizes(data_to_judge(unsplit, [network])) == sizes(split)
    assert origins({"data": NOWHERE.data, "photographs": taught}, split)["same_data"] is True
    unknown = {"source": "press", "fingerprint": None, "num_training": 9}
    found = origins({"data": NOWHERE.data, "photographs": unknown}, split)
    assert found["same_data"] is False
    assert found["other_data"][1] == {"source": "press", "fingerprint": None}


def test_what_cannot_be_compared_is_said_before_and_in_the_report_in_the_same_words(
    unsplit: Dataset,
) -> None:
    facts: dict[str, Any] = {
        "data": {"source": "fer.csv", "fingerprint": "0"},
        "photographs": {"source": "press", "fingerprint": "1"},
        "begun_from": {
            "name": "first",
            "digest": "ab",
            "data": {"source": "fer.csv", "fingerprint": "0"},
            "photographs": {"source": "film", "fingerprint": "2"},
        },
    }
    network = Learned(
        "stranger",
        FER2013,
        facts["data"],
        photographs=facts["photographs"],
        before={"begun_from": facts["begun_from"]},
    )
    data = data_to_judge(unsplit, [network])
    assert not any("learned" in note for note in data.notes)  # nothing that the next one denies
    [told] = foreign_sources(data, [network])
    assert told == (
        "Other data: stranger was trained on fer.csv (fingerprint 0), press (fingerprint 1) and "
        "film (fingerprint 2), which cannot be compared with the pictures judged here one by one. "
        "If it has seen them, or others of the same people, its figures say nothing about unseen "
        "pictures; if not, all of them are test figures."
    )
    blind = {"test": np.full((len(data), 7), 1 / 7, np.float32)}
    judged = evaluate(data, [Predictions("stranger", blind, facts)], num_bootstrap=0, num_maps=0)
    assert judged.truth["words"]["other_data"] == told and told in judged.truth["words"]["verdict"]
    assert "film" in judged.truth["words"]["leaks"]["stranger"]
    silent = Learned("silent", FER2013, None)
    assert foreign_sources(data, [silent]) == ["What silent learned from is not known."]
    assert foreign_sources(data, [Learned("own", FER2013, {"fingerprint": data.fingerprint})]) == []
