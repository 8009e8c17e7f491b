"""Training that begins with trained weights."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from toy_bundle import rewrite, write_toy

from mien.bundle import open_bundle
from mien.bundle.answer import softmax
from mien.bundle.classifier import Classifier
from mien.data.convert import convert
from mien.data.dataset import Dataset
from mien.data.synthetic import draw_faces, drawn_dataset
from mien.errors import BundleError, RunError, UsageError
from mien.labels import FER2013, FERPLUS_VOTES, LabelSet
from mien.training import backbones, checkpoint, fit, models, optimizers, recipes, runs, transfer
from mien.training.callbacks import Moment
from mien.training.export import START_FIELDS, export
from mien.training.folding import fold
from mien.training.layers import Enlarge
from mien.training.recipe import Recipe
from mien.vision.preprocess import all_resized

TINY = Recipe(
    "tiny",
    ((4,), (8, 8)),
    dense=16,
    block_dropout=0.2,
    dense_dropout=0.2,
    max_epochs=2,
    batch_size=32,
)
# Two heads, a mean instead of a dense layer, additions, centred values.
DOUBLE = dataclasses.replace(
    TINY,
    name="double",
    blocks=((4, 4), (8, 8)),
    dense=0,
    residual=True,
    centre=True,
    votes_weight=1.0,
    max_epochs=1,
)
MOODS = LabelSet(("surprise", "neutral", "negative", "happy"))
_TO_MOODS = np.array([2, 2, 2, 3, 2, 0, 1])  # FER2013's order
FACES = draw_faces(np.arange(14) % 7, seed=5)


def finetune(**changes: Any) -> Recipe:
    return recipes.recipe("finetune", **{"max_epochs": 3, "freeze_epochs": 1, **changes})


@pytest.fixture(scope="module")
def moods(faces: Dataset) -> Dataset:
    """The drawn faces under another label set: some labels known, in another order, one new."""
    return dataclasses.replace(faces, labels=_TO_MOODS[faces.labels], label_set=MOODS)


@pytest.fixture(scope="module")
def run(faces: Dataset, tmp_path_factory: pytest.TempPathFactory) -> runs.Run:
    return fit.fit(faces, TINY, folder=tmp_path_factory.mktemp("run") / "tiny")


@pytest.fixture(scope="module")
def double(faces: Dataset, tmp_path_factory: pytest.TempPathFactory) -> runs.Run:
    votes = np.zeros((len(faces), len(FERPLUS_VOTES)), np.uint8)
    votes[
        np.arange(len(faces)), [FERPLUS_VOTES.index(FER2013[label]) for label in faces.labels]
    ] = 10
    voted = dataclasses.replace(faces, votes=votes)
    return fit.fit(voted, DOUBLE, folder=tmp_path_factory.mktemp("run") / "double")


def begun(
    init: str | Path, labels: LabelSet = FER2013, **changes: Any
) -> tuple[transfer.Start, keras.Model]:
    start = transfer.begin(finetune(init=str(init), **changes))
    network = models.build(start.recipe, labels)
    start.put(network, models.heads(start.recipe, labels), FACES)
    return start, network


def weights(folder: Path) -> dict[str, np.ndarray]:
    found, damaged = checkpoint.newest(folder / "checkpoints")
    assert found is not None and damaged == []
    return found.arrays


class Stop(Exception):
    pass


def stop_at(epoch: int, step: int) -> Callable[[Moment], None]:
    def watch(moment: Moment) -> None:
        if (moment.epoch, moment.step) == (epoch, step) and len(moment.history) < epoch:
            raise Stop

    return watch


# What it begins with


def test_the_networks_own_answers_come_out_again(
    run: runs.Run, double: runs.Run, tmp_path: Path
) -> None:
    """From the package, a folder, a zip, a run: with equal labels nothing has changed before the
    first step.
    """
    export(double, tmp_path / "double")
    export(run, tmp_path / "tiny.zip")
    for init, bundle in (
        ("mien", "shipped"),
        (tmp_path / "double",) * 2,
        (tmp_path / "tiny.zip",) * 2,
    ):
        start, network = begun(init)
        with Classifier(open_bundle(bundle)) as classify:
            main = classify.bundle.heads[0].name
            expected = softmax(classify.logits(FACES)[main])
        np.testing.assert_allclose(runs.predict(network, FACES), expected, atol=1e-4)
        assert start.kept(FER2013) == list(FER2013) and start.recipe.backbone == "folded"
        kinds = {type(layer) for layer in network.layers}
        assert keras.layers.BatchNormalization not in kinds and keras.layers.Dropout in kinds
    for one in (run, double):
        _, network = begun(one.folder)
        np.testing.assert_allclose(
            runs.predict(network, FACES), runs.predict(runs.load_network(one), FACES), atol=1e-4
        )


def test_batch_norms_come_back_and_answer_alike(
    run: runs.Run, double: runs.Run, faces: Dataset
) -> None:
    """`restore_batch_norm`: from a network with a dense layer, one with two heads, and the one in
    the package.
    """
    cases = ((run.folder, runs.predict(runs.load_network(run), FACES)),)
    cases += ((double.folder, runs.predict(runs.load_network(double), FACES)),)
    with Classifier(open_bundle("shipped")) as classify:
        cases += (("mien", softmax(classify.logits(FACES)["fer2013"])),)
    for init, expected in cases:
        start, network = begun(
            init, restore_batch_norm=True, stages=((0.5, 32), (1.0, 48)), dense_dropout=0.0
        )
        assert start.recipe.backbone == "" and start.recipe.side(1) == (
            48 if start.recipe.dense else 32 * start.recipe.input_side // 48
        )
        seen = all_resized(FACES, start.recipe.input_side)
        norms = [one for one in network.layers if isinstance(one, keras.layers.BatchNormalization)]
        assert len(norms) == len(
            [one for one in network.layers if one.name.startswith(("conv", "dense"))]
        )
        np.testing.assert_allclose(runs.predict(network, FACES), expected, atol=1e-4)
        # Its statistics are those of the faces given, so in training, by the batch's own, it
        # answers the same.
        trained = models.logits_of(network)(seen.astype(np.float32), training=True)
        np.testing.assert_allclose(
            softmax(np.asarray(next(iter(trained.values())))), expected, atol=1e-3
        )


def test_with_batch_norms_back_it_trains_and_is_judged_from_the_first_step(
    double: runs.Run, tmp_path: Path
) -> None:
    recipe = finetune(
        init=str(double.folder),
        restore_batch_norm=True,
        max_epochs=1,
        freeze_epochs=0,
        learning_rate=1e-6,
        warmup_epochs=0,
    )
    data = drawn_dataset(140, 35, 35, seed=1)
    done = fit.fit(data, recipe, folder=tmp_path / "run")
    before = runs.predict(runs.load_network(double), data.part("validation").images)
    after = runs.predict(runs.load_network(done), data.part("validation").images)
    assert np.mean(before.argmax(axis=1) == after.argmax(axis=1)) > 0.9


def test_heads_keep_the_labels_they_know(run: runs.Run) -> None:
    start, network = begun(run.folder, MOODS)
    assert start.kept(MOODS) == ["surprise", "neutral", "happy"]
    before = runs.load_network(run)
    hidden = keras.Model(before.input, before.get_layer("logits").output)(FACES.astype(np.float32))
    found = models.logits_of(network)(FACES.astype(np.float32))["expression"]
    for column, name in enumerate(MOODS):
        expected = np.asarray(hidden)[:, FER2013.index(name)] if name in FER2013 else 0.0
        np.testing.assert_allclose(np.asarray(found)[:, column], expected, atol=1e-4)
    start, network = begun(run.folder, strangers := LabelSet(("yes", "no")))
    assert start.kept(strangers) == [] and np.abs(network.get_layer("logits").kernel).max() > 0.01


def test_the_vote_head_is_found_by_its_labels(double: runs.Run) -> None:
    start, network = begun(double.folder, votes_weight=1.0)
    theirs = runs.predict_heads(runs.load_network(double), FACES)
    ours = runs.predict_heads(network, FACES)
    assert list(ours) == list(theirs) == ["fer2013", "votes"]
    for name in theirs:
        np.testing.assert_allclose(ours[name], theirs[name], atol=1e-4)


# Training


@pytest.mark.usefixtures("step_by_step")
def test_the_trunk_is_frozen_then_thaws_and_the_books_say_all(
    run: runs.Run, moods: Dataset, tmp_path: Path
) -> None:
    recipe = finetune(init=str(run.folder), max_epochs=2)
    with pytest.raises(Stop):
        fit.fit(moods, recipe, folder=tmp_path / "run", watch=stop_at(2, 2))
    start, network = begun(run.folder, MOODS)
    frozen = weights(tmp_path / "run")
    trunk = [name for name in frozen if name.startswith("model") and name.endswith(".kernel")]
    layers = [name.removesuffix(".kernel").split("-")[2] for name in trunk]
    assert layers == ["conv1_1", "conv2_1", "conv2_2", "dense", "logits"]
    pairs = zip(trunk, layers, strict=True)
    same = [np.array_equal(frozen[name], network.get_layer(layer).kernel) for name, layer in pairs]
    assert same == [True] * 4 + [
        False
    ]  # three convolutions and the dense layer stand still, the head learns
    done = fit.fit(moods, recipe, folder=tmp_path / "run")
    after = weights(tmp_path / "run")
    assert not any(np.array_equal(frozen[name], after[name]) for name in trunk)
    stored = json.loads((tmp_path / "run" / "run.json").read_text())
    assert stored["recipe"]["backbone"] == "folded" and stored["recipe"]["blocks"] == [[4], [8, 8]]
    assert stored["begun_from"]["labels_kept"] == ["surprise", "neutral", "happy"]
    assert len(stored["begun_from"]["digest"]) == 64
    again = runs.load_run(tmp_path / "run")
    assert runs.predict(runs.load_network(again), FACES).shape == (14, 4)
    assert done.facts["multiply_adds"] == models.multiply_adds(models.build(again.recipe, MOODS))


@pytest.mark.slow
@pytest.mark.usefixtures("step_by_step")
@pytest.mark.parametrize(("epoch", "step"), [(1, 3), (3, 2)])
def test_stopped_frozen_or_thawed_it_ends_the_same(
    run: runs.Run, moods: Dataset, tmp_path: Path, epoch: int, step: int
) -> None:
    recipe = finetune(init=str(run.folder))
    whole = fit.fit(
        moods, recipe, folder=tmp_path / "whole", options=fit.FitOptions(deterministic=True)
    )
    with pytest.raises(Stop):
        fit.fit(
            moods,
            recipe,
            folder=tmp_path / "run",
            options=fit.FitOptions(deterministic=True),
            watch=stop_at(epoch, step),
        )
    fit.fit(moods, recipe, folder=tmp_path / "run", options=fit.FitOptions(deterministic=True))
    one, other = weights(whole.folder), weights(tmp_path / "run")
    assert one.keys() == other.keys() and len(one) > 20
    assert all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_it_knows_more_than_one_that_begins_anew(faces: Dataset, tmp_path: Path) -> None:
    """What was learnt from many drawn faces helps with few of others."""
    many = drawn_dataset(700, 70, 7, seed=3)
    learnt = fit.fit(
        many,
        dataclasses.replace(TINY, max_epochs=8, learning_rate=0.01),
        folder=tmp_path / "learnt",
    )
    few = faces.take(
        np.concatenate(
            [np.flatnonzero(faces.mask("training"))[:35], np.flatnonzero(faces.mask("validation"))]
        )
    )
    accuracy = {}
    for name, recipe in (
        ("begun", finetune(init=str(learnt.folder), max_epochs=4)),
        ("anew", dataclasses.replace(TINY, max_epochs=4)),
    ):
        done = fit.fit(few, recipe, folder=tmp_path / name)
        accuracy[name] = max(line["val_accuracy"] for line in done.facts["history"])
    assert accuracy["begun"] > accuracy["anew"]


def test_the_rate_rises_and_falls_twice() -> None:
    recipe = finetune(max_epochs=6, freeze_epochs=2, learning_rate=0.01, backbone_rate=0.5)
    schedule = optimizers.optimizer(recipe, 10)._learning_rate
    found = [float(schedule(step)) for step in range(60)]
    assert np.argmax(found) == 10 and found[10] == pytest.approx(0.01)
    assert found[20] == pytest.approx(0.005 / 100) and max(found[20:]) == pytest.approx(0.005)
    assert found[-1] < 1e-4


def test_the_rate_falls_to_a_floor_and_stays_there() -> None:
    recipe = recipes.recipe("champion", max_epochs=8, warmup_epochs=1, fall_epochs=4, last_rate=0.3)
    schedule = optimizers.optimizer(recipe, 10)._learning_rate
    found = [float(schedule(step)) for step in range(80)]
    assert found[0] == pytest.approx(0.001)  # the warm-up begins below the floor
    cosine = optimizers.optimizer(
        recipes.recipe("champion", max_epochs=4, warmup_epochs=1, fall_epochs=0, last_rate=0.0), 10
    )._learning_rate
    assert (
        found[:25] == pytest.approx([float(cosine(step)) for step in range(25)])
        and found[24] > 0.04
    )
    assert found[35:] == pytest.approx([0.03] * 45)


def test_early_stopping_waits_for_the_thaw(run: runs.Run, faces: Dataset, tmp_path: Path) -> None:
    recipe = finetune(
        init=str(run.folder), max_epochs=9, freeze_epochs=4, patience=1, learning_rate=1e-9
    )
    assert fit.fit(faces, recipe, folder=tmp_path / "run").facts["epochs"] >= 5


def test_the_weights_it_began_with_must_stay_the_same(
    run: runs.Run, faces: Dataset, tmp_path: Path
) -> None:
    export(run, tmp_path / "b")
    recipe = finetune(init=str(tmp_path / "b"), max_epochs=1)
    fit.fit(faces, recipe, folder=tmp_path / "run")
    export(run, tmp_path / "b", licence="CC-BY-4.0")
    with pytest.raises(RunError, match="digest of what it began with was"):
        fit.fit(faces, recipe, folder=tmp_path / "run")


# And away again


def test_a_fine_tuned_network_is_exported_and_begun_with_again(
    run: runs.Run, moods: Dataset, tmp_path: Path
) -> None:
    done = fit.fit(moods, finetune(init=str(run.folder), max_epochs=1), folder=tmp_path / "run")
    bundle = export(done, tmp_path / "b", dataset=moods)
    assert bundle.parity["batch_norm_folded"] is True and list(bundle.heads[0].labels) == list(
        MOODS
    )
    assert bundle.training["recipe"]["init"] == "tiny"  # the name, not the path
    assert bundle.training["begun_from"] == {
        key: done.facts["begun_from"][key] for key in START_FIELDS
    }
    assert bundle.training["begun_from"]["data"]["fingerprint"] == run.facts["data"]["fingerprint"]
    assert bundle.training["teachers"] == bundle.training["taught_by"] == []
    network = runs.load_network(done)
    with Classifier(bundle) as classify:
        np.testing.assert_allclose(
            softmax(classify.logits(FACES)["expression"]), runs.predict(network, FACES), atol=1e-4
        )
    for init in (tmp_path / "b", tmp_path / "run"):
        _, again = begun(init, MOODS)
        np.testing.assert_allclose(
            runs.predict(again, FACES), runs.predict(network, FACES), atol=1e-4
        )


# Refusals


def test_bundles_that_cannot_be_begun_with(run: runs.Run, faces: Dataset, tmp_path: Path) -> None:
    def refused(init: object, words: str) -> None:
        with pytest.raises(BundleError, match=words):
            transfer.begin(finetune(init=str(init)))

    refused(tmp_path / "nothing", "got nothing: no such file or folder; expected a folder or zip")
    export(run, tmp_path / "int8", dataset=faces, int8=True)
    refused(tmp_path / "int8", "precision: got int8; expected float32.*without --int8")
    write_toy(tmp_path / "toy")
    refused(tmp_path / "toy", "training.recipe: got none that mien knows")
    bundle = export(run, tmp_path / "b")

    def deeper(facts: dict[str, Any]) -> None:
        facts["training"]["recipe"]["blocks"] = [[4], [8, 16]]

    rewrite(tmp_path / "b", facts=deeper)
    refused(tmp_path / "b", "model.onnx: weights: got 5 layers of the shapes.*Fix")
    export(run, tmp_path / "b")
    golden = {
        "faces": bundle.golden_faces,
        "logits_expression": bundle.golden_logits["expression"] + np.float32(0.01),
        **{f"answer_{prior}": rows for prior, rows in bundle.golden_answers.items()},
    }
    rewrite(tmp_path / "b", golden=golden)
    refused(tmp_path / "b", "answers in Keras that differ from golden.npz by 0.01")


def test_runs_that_cannot_be_begun_with(run: runs.Run, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"recipe": TINY.to_dict()}))
    with pytest.raises(RunError, match="a run without a finished network"):
        transfer.begin(finetune(init=str(tmp_path)))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"init": "", "blocks": ()}, "blocks"),
        ({"freeze_epochs": -1}, "freeze_epochs"),
        ({"backbone_rate": 0.0}, "backbone_rate"),
        ({"backbone_side": 20}, "backbone_side"),
        ({"backbone": "VGG16"}, "backbone"),
    ],
)
def test_recipes_refuse_what_cannot_be_meant(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=f"{words}: got .*expected"):
        recipes.recipe("finetune", **{"freeze_epochs": 0, **changes})
    with pytest.raises(UsageError, match="freeze_epochs: got 2 without init"):
        dataclasses.replace(TINY, freeze_epochs=2)
    for init in ("imagenet:", "imagenet:VGG16", "imagenet:ResNet50:zeros"):
        with pytest.raises(
            UsageError,
            match=(
                "expected imagenet:NAME or imagenet:NAME:random. Fix: use one of the names "
                "MobileNetV2"
            ),
        ):
            transfer.begin(finetune(init=init))


# ImageNet


def test_faces_are_enlarged_and_scaled_as_keras_does() -> None:
    faces = FACES[:2].astype(np.float32)
    enlarged = np.asarray(Enlarge(100)(faces))
    expected = np.repeat(np.asarray(keras.ops.image.resize(faces, (100, 100))), 3, axis=-1)
    np.testing.assert_allclose(enlarged, expected, atol=1e-2)
    for name, module in (("MobileNetV2", "mobilenet_v2"), ("ResNet50", "resnet")):
        scale, offset, _ = backbones._KNOWN[name]
        theirs = getattr(keras.applications, module).preprocess_input(expected.copy())
        np.testing.assert_allclose(
            keras.layers.Rescaling(scale, offset)(enlarged), theirs, atol=1e-2
        )
    scale, offset, _ = backbones._KNOWN["EfficientNetV2B0"]
    normal = keras.layers.Normalization(
        mean=[0.485, 0.456, 0.406], variance=[0.229**2, 0.224**2, 0.225**2]
    )
    np.testing.assert_allclose(
        keras.layers.Rescaling(scale, offset)(enlarged), normal(expected / 255), atol=1e-3
    )


@pytest.mark.slow
def test_a_network_of_keras_applications_trains_and_is_exported(tmp_path: Path) -> None:
    few = drawn_dataset(14, 7, 7, seed=1)
    recipe = finetune(
        init="imagenet:MobileNetV2:random",
        backbone_side=32,
        max_epochs=1,
        freeze_epochs=0,
        batch_size=7,
    )
    done = fit.fit(few, recipe, folder=tmp_path / "run")
    assert done.recipe.backbone == "MobileNetV2" and done.facts["begun_from"]["labels_kept"] == []
    after = {
        name: array for name, array in weights(tmp_path / "run").items() if name.startswith("model")
    }
    keras.utils.set_random_seed(recipe.seed)
    before = [np.asarray(variable) for variable in models.build(done.recipe, FER2013).variables]
    assert len(before) == len(after) > 260
    for (name, array), begun_with in zip(sorted(after.items()), before, strict=True):
        if name.endswith(("gamma", "beta", "moving_mean", "moving_variance")):
            assert np.array_equal(array, begun_with), name  # batch norms stay as they came
    network = runs.load_network(done)
    assert len(network.trainable_variables) == 52 + 2 and done.facts["multiply_adds"] > 5e6

    # Statistics of real faces, or nothing of a drawn network's input would reach its end.
    for layer in backbones.trunk(network).layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable, layer.momentum = True, 0.0
    network(FACES.astype(np.float32), training=True)
    arrays = {f"{n:03d}": array for n, array in enumerate(network.get_weights())}
    checkpoint.write_verified(runs.best_folder(done.folder, 1), arrays, {"epoch": 1})
    expected = runs.predict(runs.load_network(done), FACES)
    assert expected.std(axis=0).max() > 0.01
    bundle = export(done, tmp_path / "b", dataset=few)
    assert "Pad" not in bundle.operators and bundle.operators["Conv"] == 52
    with Classifier(bundle) as classify:
        np.testing.assert_allclose(
            softmax(classify.logits(FACES)["expression"]), expected, atol=1e-4
        )
    _, again = begun(done.folder)
    np.testing.assert_allclose(runs.predict(again, FACES), expected, atol=1e-5)
    with pytest.raises(
        BundleError, match="got a network of MobileNetV2.*begin with the run folder"
    ):
        transfer.begin(finetune(init=str(tmp_path / "b")))


@pytest.mark.slow
def test_without_a_connection_it_says_what_to_do(tmp_path: Path) -> None:
    """As a user without a connection meets it: one sentence, exit code 5."""
    csv = convert(drawn_dataset(14, 7, 7), tmp_path / "faces.csv")
    words = [
        "train",
        str(csv),
        "--init",
        "imagenet:MobileNetV2",
        "--set",
        "backbone_side=96",
        "--out",
        str(tmp_path / "run"),
    ]
    nowhere = {
        name: "http://127.0.0.1:9"
        for name in ("https_proxy", "http_proxy", "HTTPS_PROXY", "HTTP_PROXY")
    }
    env = {
        **os.environ,
        **nowhere,
        "KERAS_HOME": str(tmp_path / "keras"),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    done = subprocess.run(
        [sys.executable, "-m", "mien", *words], capture_output=True, text=True, env=env
    )
    assert done.returncode == 5, done.stderr
    assert "imagenet:MobileNetV2: got no weights" in done.stderr and "Fix: connect" in done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""


@pytest.mark.slow
def test_the_command_line_fine_tunes_by_default(run: runs.Run, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from mien.cli.app import app

    export(run, tmp_path / "tiny.zip")
    words = [
        "train",
        "--init",
        tmp_path / "tiny.zip",
        "--epochs",
        1,
        "--out",
        tmp_path / "run",
        "--json",
    ]
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0
    facts = json.loads(done.stdout)
    assert facts["recipe"]["name"] == "finetune" and facts["begun_from"]["name"] == "tiny"
    assert "that its head already had: angry, disgust" in done.stderr


def test_folding_what_is_folded_changes_no_answer(run: runs.Run) -> None:
    start, network = begun(run.folder)
    folded = fold(network, start.recipe, {"expression": FER2013})
    assert folded is not None
    faces = FACES.astype(np.float32)
    np.testing.assert_allclose(
        folded(faces)["expression"], models.logits_of(network)(faces)["expression"], atol=1e-4
    )
