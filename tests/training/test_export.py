from __future__ import annotations

import dataclasses
import json
import warnings
from pathlib import Path

import keras
import numpy as np
import onnx
import pytest

from mien.bundle import Bundle, open_bundle
from mien.bundle.answer import softmax
from mien.bundle.classifier import Classifier
from mien.bundle.onnx_file import read_onnx
from mien.data.dataset import Dataset
from mien.data.synthetic import draw_faces
from mien.errors import BundleError, UsageError
from mien.labels import FER2013, FERPLUS_VOTES, LabelSet
from mien.training import export as exporting
from mien.training import fit, models, rebuild, runs
from mien.training.export import export, prove
from mien.training.folding import fold
from mien.training.onnx_graph import halve, to_onnx
from mien.training.recipe import Recipe
from mien.training.recipes import recipe
from mien.training.scoring import accuracy

TINY = Recipe(
    "tiny",
    ((4,), (8, 8)),
    dense=16,
    block_dropout=0.2,
    dense_dropout=0.2,
    max_epochs=2,
    batch_size=32,
)

HEADS = {"expression": FER2013}
DOUBLE = Recipe(
    "double",
    ((4, 4), (8, 8)),
    dense=0,
    block_dropout=0.0,
    dense_dropout=0.2,
    max_epochs=2,
    batch_size=32,
    votes_weight=1.0,
    residual=True,
    centre=True,
)


@pytest.fixture(scope="module")
def run(faces: Dataset, tmp_path_factory: pytest.TempPathFactory) -> runs.Run:
    return fit.fit(faces, TINY, folder=tmp_path_factory.mktemp("export") / "run")


@pytest.fixture(scope="module")
def exported(run: runs.Run, faces: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "tiny.zip"
    export(run, path, dataset=faces)
    return path


@pytest.fixture(scope="module")
def bundle(exported: Path) -> Bundle:
    return open_bundle(exported)


def test_the_bundle_answers_as_keras_does(run: runs.Run, bundle: Bundle) -> None:
    faces = np.concatenate(
        [draw_faces(np.arange(21) % 7, seed=9), np.full((1, 48, 48, 1), 255, np.uint8)]
    )
    expected = runs.predict(runs.load_network(run), faces)
    with Classifier(bundle) as classify:
        np.testing.assert_allclose(
            softmax(classify.logits(faces)["expression"]), expected, atol=1e-5
        )
        for size in (1, 7):
            part = classify.logits(faces[:size])["expression"]
            np.testing.assert_allclose(softmax(part), expected[:size], atol=1e-5)
        assert classify.replay_goldens() <= bundle.golden_tolerance


def test_the_bundle_says_what_it_is(run: runs.Run, faces: Dataset, bundle: Bundle) -> None:
    assert (bundle.name, bundle.precision, bundle.licence) == ("tiny", "float32", "MIT")
    (head,) = bundle.heads
    assert head.labels == run.label_set and head.name == head.output == "expression"
    assert (
        bundle.parity["batches"] == [1, 7, 64]
        and bundle.parity["max_difference"] <= bundle.parity["atol"] == 1e-4
    )
    assert (
        bundle.training["data"]["fingerprint"]
        == bundle.training["measured_on"]
        == faces.fingerprint
    )
    assert bundle.training["recipe"] == json.loads(json.dumps(TINY.to_dict()))
    assert bundle.training["best_epoch"] == run.facts["best_epoch"]
    assert {"mien", "keras", "tf2onnx", "onnx", "onnxruntime"} <= set(bundle.versions)
    assert len(bundle.golden_faces) == 16


def test_scores_are_those_of_the_file(bundle: Bundle, faces: Dataset) -> None:
    assert set(bundle.metrics) == {"validation", "test"}
    with Classifier(bundle) as classify:
        for split in ("validation", "test"):
            part = faces.part(split)
            found = classify(part.images)["expression"]
            scores = bundle.metrics[split]
            assert scores["n"] == len(part) == 35
            assert scores["accuracy"]["value"] == pytest.approx(
                np.mean(found.argmax(1) == part.labels)
            )
            assert (
                scores["accuracy"]["low"] < scores["accuracy"]["value"] < scores["accuracy"]["high"]
            )
    scores = bundle.metrics["validation"]
    assert scores["nll_calibrated"] <= scores["nll_uncalibrated"]


def test_no_path_of_the_one_who_trained_is_given_away(run: runs.Run, tmp_path: Path) -> None:
    facts = {
        **run.facts,
        "data": {**run.facts["data"], "source": "/home/somebody/private/fer2013.csv"},
    }
    found = export(dataclasses.replace(run, facts=facts), tmp_path / "b")
    assert found.training["data"]["source"] == "fer2013.csv"
    assert "somebody" not in (tmp_path / "b" / "bundle.json").read_text()


def test_rows_left_out_are_counted_not_listed(run: runs.Run, tmp_path: Path) -> None:
    left = [
        {"where": f"/home/somebody/{n}.png", "row": None, "reason": "got an empty file"}
        for n in range(9000)
    ]
    facts = {**run.facts, "data": {**run.facts["data"], "left_out": left}}
    found = export(dataclasses.replace(run, facts=facts), tmp_path / "b.zip")
    assert found.training["data"]["left_out"] == 9000
    assert open_bundle(tmp_path / "b.zip").digest == found.digest  # small enough to be read again


def test_without_data_there_are_no_scores(run: runs.Run, tmp_path: Path) -> None:
    found = export(run, tmp_path / "b")
    assert (
        found.metrics == {}
        and found.heads[0].temperature == 1.0
        and found.training["measured_on"] is None
    )


def test_int8_says_what_it_costs(
    run: runs.Run, faces: Dataset, bundle: Bundle, tmp_path: Path
) -> None:
    found = export(run, tmp_path / "small.zip", dataset=faces, int8=True)
    assert (found.name, found.precision) == ("tiny-int8", "int8")
    assert found.operators["QuantizeLinear"] > 3 and found.digest != bundle.digest
    for split in ("validation", "test"):
        cost = found.metrics[split]["int8_cost"]
        assert cost["accuracy_float32"] == pytest.approx(bundle.metrics[split]["accuracy"]["value"])
        assert cost["accuracy_lost"] == pytest.approx(
            cost["accuracy_float32"] - found.metrics[split]["accuracy"]["value"]
        )
    assert 0 < found.parity["int8_max_difference"] < 1
    # 7 bits of weight times 8 of activation, twice, fit into 16: no processor has to cut the sum
    # off.
    arrays = [
        onnx.numpy_helper.to_array(one)
        for one in onnx.load_from_string(found.model).graph.initializer
    ]
    largest = [
        int(np.abs(one.astype(int)).max())
        for one in arrays
        if one.dtype == np.int8 and one.ndim > 1
    ]
    assert len(largest) > 3 and 32 < max(largest) <= 64
    with Classifier(found) as classify:
        assert classify.replay_goldens() <= found.golden_tolerance


def test_half_weights_answer_alike_and_can_be_begun_with(
    run: runs.Run, bundle: Bundle, tmp_path: Path
) -> None:
    found = export(run, tmp_path / "half.zip", half=True)
    assert (found.name, found.precision) == (bundle.name, "float16") and found.operators[
        "Cast"
    ] >= 1
    assert len(found.model) < 0.6 * len(bundle.model)
    assert 0 < found.parity["float16_max_difference"] < 0.02
    for name, logits in found.golden_logits.items():
        np.testing.assert_allclose(logits, bundle.golden_logits[name], atol=0.02)
    with Classifier(found) as classify:
        assert classify.replay_goldens() <= found.golden_tolerance == 1e-4
    recipe, _ = rebuild.rebuilt(found, "half")
    assert recipe == run.recipe


def test_a_weight_beyond_16_bits_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    graph = onnx.load_from_string(bundle.model)
    largest = max(graph.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    values = onnx.numpy_helper.to_array(largest).copy()
    values.flat[0] = 1e6
    largest.CopyFrom(onnx.numpy_helper.from_array(values, largest.name))
    with pytest.raises(
        BundleError, match="got a weight of 1e[+]06; expected at most 65504.*without --half"
    ):
        halve(graph.SerializeToString(), tmp_path / "half.zip")


def test_what_cannot_be_exported(run: runs.Run, faces: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="int8: got no data"):
        export(run, tmp_path / "b", int8=True)
    with pytest.raises(UsageError, match="int8, half: got both; expected at most one"):
        export(run, tmp_path / "b", dataset=faces, int8=True, half=True)
    other = Dataset(**{**vars_of(faces), "label_set": LabelSet(tuple("abcdefg"))})
    with pytest.raises(
        UsageError, match="labels a, b, c, d, e, f, g; expected the network's labels"
    ):
        export(run, tmp_path / "b", dataset=other)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def voted(faces: Dataset) -> Dataset:
    votes = np.zeros((len(faces), len(FERPLUS_VOTES)), np.uint8)
    votes[
        np.arange(len(faces)), [FERPLUS_VOTES.index(FER2013[label]) for label in faces.labels]
    ] = 10
    return dataclasses.replace(faces, votes=votes)


def test_two_heads_and_the_answer_they_make(voted: Dataset, tmp_path: Path) -> None:
    trained = fit.fit(voted, DOUBLE, folder=tmp_path / "run")
    found = export(trained, tmp_path / "b", dataset=voted)
    assert [(head.name, len(head.labels)) for head in found.heads] == [("fer2013", 7), ("votes", 8)]
    assert found.parity["batch_norm_folded"] and found.parity["max_difference"] <= 1e-4
    rule = found.rules["training"]
    assert sum(rule.weights.values()) == pytest.approx(1)
    assert rule.class_shares is not None and sum(rule.class_shares) == pytest.approx(1)
    part = voted.part("test")
    with Classifier(found) as classify:
        for mode in ("fast", "best"):
            heads = classify(part.images, mode=mode)
            votes = heads["votes"][:, :7] / heads["votes"][:, :7].sum(axis=1, keepdims=True)
            mean = rule.weights["fer2013"] * heads["fer2013"] + rule.weights["votes"] * votes
            shown = classify.answer(heads, mode=mode)
            np.testing.assert_array_equal(shown.argmax(axis=1), mean.argmax(axis=1))
            np.testing.assert_allclose(shown.sum(axis=1), 1, atol=1e-5)
            scores = found.metrics["test"] if mode == "fast" else found.metrics["test"]["best"]
            assert scores["accuracy"]["value"] == pytest.approx(
                np.mean(shown.argmax(1) == part.labels)
            )
            assert set(scores["heads"]) == {"fer2013", "votes"} and scores["heads"]["votes"][
                "n"
            ] == len(part)


def vars_of(dataset: Dataset) -> dict[str, object]:
    return {
        name: getattr(dataset, name)
        for name in ("images", "labels", "splits", "rows", "label_set", "source")
    }


def shaken(name: str) -> keras.Model:
    """A network whose batch norms have averages and scales as after a training."""
    network = models.build(recipe(name), FER2013)
    generator = np.random.default_rng(0)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            num = layer.gamma.shape[0]
            ranges = ((0.5, 2), (-0.5, 0.5), (-0.5, 0.5), (0.1, 2))  # gamma, beta, mean, variance
            layer.set_weights(
                [generator.uniform(low, high, num).astype(np.float32) for low, high in ranges]
            )
    return network


@pytest.mark.parametrize("name", ["small", "large"])
def test_folding_changes_no_answer(name: str) -> None:
    network = shaken(name)
    folded = fold(network, recipe(name), HEADS)
    assert folded is not None
    kinds = {type(layer) for layer in folded.layers}
    assert keras.layers.BatchNormalization not in kinds and keras.layers.Rescaling not in kinds
    faces = draw_faces(np.arange(7), seed=3).astype(np.float32)
    np.testing.assert_allclose(
        np.asarray(folded(faces)["expression"]),
        np.asarray(models.logits_of(network)(faces)["expression"]),
        atol=1e-4,
    )


def test_a_scale_that_is_not_positive_is_not_folded_and_still_exported(tmp_path: Path) -> None:
    network = models.build(TINY, FER2013)
    norm = network.get_layer("norm1_1")
    gamma = np.ones(4, np.float32)
    gamma[2] = -1
    norm.set_weights([gamma, *norm.get_weights()[1:]])
    assert fold(network, TINY, HEADS) is None
    model = to_onnx(models.logits_of(network), HEADS)
    assert prove(models.logits_of(network), model, HEADS, tmp_path)["max_difference"] < 1e-4
    assert read_onnx(model, "tiny").outputs[0].shape == (None, 7)


def test_answers_that_differ_are_refused(tmp_path: Path) -> None:
    """Parity is proved, not assumed: the file of another network does not pass."""
    first, second = models.build(TINY, FER2013), models.build(TINY, FER2013)
    second.set_weights(first.get_weights())
    second.get_layer("logits").bias.assign(np.full(7, 0.001, np.float32))
    with pytest.raises(
        BundleError, match="parity: got logits of ONNX and Keras that differ by 0.001"
    ):
        prove(models.logits_of(first), to_onnx(models.logits_of(second), HEADS), HEADS, tmp_path)


def test_exporting_leaves_the_warning_filters_alone() -> None:
    before = list(warnings.filters)
    to_onnx(models.logits_of(models.build(TINY, FER2013)), HEADS)
    assert warnings.filters == before


def test_wilsons_interval() -> None:
    probabilities = np.eye(2)[[0] * 8 + [1] * 2]
    found = accuracy(np.zeros(10, int), probabilities)["accuracy"]
    assert found["value"] == pytest.approx(0.8)
    assert (found["low"], found["high"]) == (
        pytest.approx(0.490, abs=1e-3),
        pytest.approx(0.943, abs=1e-3),
    )
    certain = accuracy(np.zeros(10, int), probabilities[:8].repeat(2, 0)[:10])["accuracy"]
    assert certain["high"] <= 1 + 1e-12 and certain["low"] < 0.75
    assert exporting.PARITY_ATOL == 1e-4
