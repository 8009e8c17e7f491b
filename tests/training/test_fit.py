from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_recipes import DOUBLE, TINY

from mien.bundle.answer import softmax
from mien.bundle.classifier import Classifier
from mien.data.dataset import SPLITS, UNLABELLED, Dataset
from mien.data.synthetic import drawn_dataset
from mien.errors import DataError, RunError, UsageError
from mien.labels import FER2013, FERPLUS, FERPLUS_VOTES, LabelSet
from mien.training import checkpoint, fit, models, recipes, runs, targets, trainer
from mien.training.callbacks import Moment, tensorboard
from mien.training.export import export
from mien.training.trainer import Trainer


def weights(folder: Path) -> dict[str, np.ndarray]:
    """Everything in the newest checkpoint: weights, average, Adam's moments, dropout state."""
    found, damaged = checkpoint.newest(folder / "checkpoints")
    assert found is not None and damaged == []
    return found.arrays


def equal(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    assert a.keys() == b.keys() and len(a) > 20
    return all(np.array_equal(a[name], b[name]) for name in a)


class Stop(Exception):
    """Stands for whatever kills a process between two steps."""


def stop_at(epoch: int, step: int, error: type[BaseException] = Stop) -> Callable[[Moment], None]:
    def watch(moment: Moment) -> None:
        if (moment.epoch, moment.step) == (epoch, step) and len(moment.history) < epoch:
            raise error

    return watch


@pytest.fixture(scope="module")
def undisturbed(faces: Dataset, tmp_path_factory: pytest.TempPathFactory) -> runs.Run:
    return fit.fit(
        faces,
        TINY,
        folder=tmp_path_factory.mktemp("undisturbed") / "run",
        options=fit.FitOptions(deterministic=True),
    )


# Training


def test_a_run_learns_and_keeps_its_books(undisturbed: runs.Run, faces: Dataset) -> None:
    facts = undisturbed.facts
    lines = [
        json.loads(line) for line in (undisturbed.folder / "history.jsonl").read_text().splitlines()
    ]
    assert len(lines) == facts["epochs"] == 4 and lines == facts["history"]
    assert lines[-1]["loss"] < lines[0]["loss"]
    assert {
        "parameters",
        "multiply_adds",
        "seconds_per_epoch",
        "peak_memory_mb",
        "versions",
    } <= facts.keys()
    assert facts["stopped"] == "the schedule of 4 epochs is done"
    assert facts["data"]["num_training"] == 140 and facts["data"]["num_validation"] == 35
    assert facts["best_epoch"] == runs.best_epoch(lines)
    # The network that is loaded is that of the best epoch, and so is the Keras file.
    validation = faces.part("validation")
    probabilities = runs.predict(runs.load_network(undisturbed), validation.images)
    accuracy = np.mean(probabilities.argmax(axis=1) == validation.labels)
    assert accuracy == pytest.approx(lines[facts["best_epoch"] - 1]["val_accuracy"])
    from_keras = keras.models.load_model(undisturbed.folder / "model.keras")
    np.testing.assert_allclose(
        runs.predict(from_keras, validation.images), probabilities, atol=1e-6
    )


def test_which_epoch_is_kept() -> None:
    scores = [(0.5, 0.9), (0.7, 0.6), (0.6, 0.5), (0.7, 0.7)]
    history = [{"val_accuracy": accuracy, "val_loss": loss} for accuracy, loss in scores]
    assert (runs.best_epoch(history), runs.best_epoch(history, "loss")) == (
        2,
        3,
    ) and runs.best_epoch([], "loss") == 0
    assert (
        runs.best_epoch(
            [{**line, "side": side} for line, side in zip(history, (32, 32, 48, 48), strict=True)]
        )
        == 4
    )
    calibrated = [
        {**line, "val_calibrated_loss": loss}
        for line, loss in zip(history, (0.9, 0.4, 0.5, 0.3), strict=True)
    ]
    assert (runs.best_epoch(calibrated), runs.best_epoch(calibrated, "loss")) == (2, 4)
    assert (
        runs.best_epoch([*history[:1], *calibrated[1:]], "loss") == 3
    )  # begun by a version that did not calibrate


def test_a_run_that_chooses_by_loss(faces: Dataset, tmp_path: Path) -> None:
    recipe = dataclasses.replace(
        TINY, choose_by="loss", patience=1, max_epochs=40, learning_rate=0.02
    )
    run = fit.fit(faces, recipe, folder=tmp_path / "run")
    losses = [line["val_calibrated_loss"] for line in run.facts["history"]]
    assert all(line["val_calibrated_loss"] < line["val_loss"] for line in run.facts["history"])
    assert run.facts["best_epoch"] == int(np.argmin(losses)) + 1 == len(losses) - 1
    assert (
        run.facts["stopped"]
        == f"no better calibrated validation loss in the 1 epochs after epoch {len(losses) - 1}"
    )
    validation = faces.part("validation")
    assert runs.evaluated(runs.load_network(run), validation)[
        "val_calibrated_loss"
    ] == pytest.approx(min(losses), rel=1e-5)


def test_same_seed_same_run_other_seed_other_run(
    undisturbed: runs.Run, faces: Dataset, tmp_path: Path
) -> None:
    fit.fit(faces, TINY, folder=tmp_path / "again", options=fit.FitOptions(deterministic=True))
    assert equal(weights(undisturbed.folder), weights(tmp_path / "again"))
    fit.fit(
        faces,
        dataclasses.replace(TINY, seed=1),
        folder=tmp_path / "other",
        options=fit.FitOptions(deterministic=True),
    )
    other = weights(tmp_path / "other")
    assert not np.array_equal(
        other["model-000-conv1_1.kernel"], weights(undisturbed.folder)["model-000-conv1_1.kernel"]
    )


def test_epochs_see_different_orders(
    faces: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[np.ndarray] = []
    real = trainer.Trainer._compile

    def spy(self: Any, side: int, *others: Any) -> Any:
        step = real(self, side, *others)

        def recorded(indices: np.ndarray, seeds: np.ndarray) -> Any:
            assert len(indices) == len(seeds) <= 3
            seen.append(indices.ravel())
            return step(indices, seeds)

        return recorded

    monkeypatch.setattr(trainer.Trainer, "_compile", spy)
    monkeypatch.setattr(trainer, "STEPS", 3)
    fit.fit(
        faces,
        dataclasses.replace(TINY, max_epochs=2),
        folder=tmp_path / "run",
        options=fit.FitOptions(deterministic=True),
    )
    assert [len(rows) for rows in seen] == [96, 32, 12] * 2
    orders = [np.concatenate(seen[:3]), np.concatenate(seen[3:])]
    for order in orders:
        np.testing.assert_array_equal(np.sort(order), np.arange(140))  # every row once
    assert not np.array_equal(*orders)


@pytest.mark.usefixtures("step_by_step")
@pytest.mark.parametrize(("epoch", "step"), [(1, 2), (2, 1), (3, 5), (4, 4)])
def test_stopped_anywhere_it_ends_the_same(
    undisturbed: runs.Run, faces: Dataset, tmp_path: Path, epoch: int, step: int
) -> None:
    with pytest.raises(Stop):
        fit.fit(
            faces,
            TINY,
            folder=tmp_path / "run",
            options=fit.FitOptions(deterministic=True),
            watch=stop_at(epoch, step),
        )
    resumed: list[int] = []
    run = fit.fit(
        faces,
        TINY,
        folder=tmp_path / "run",
        options=fit.FitOptions(deterministic=True),
        watch=lambda moment: resumed.append(moment.epoch),
    )
    assert resumed[0] == epoch  # nothing finished was done again
    assert equal(weights(undisturbed.folder), weights(tmp_path / "run"))
    keys = ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")
    for ours, theirs in zip(run.facts["history"], undisturbed.facts["history"], strict=True):
        assert [ours[key] for key in keys] == [theirs[key] for key in keys]


@pytest.fixture(scope="module")
def voted(faces: Dataset) -> Dataset:
    """The faces with ten annotators who mostly agree with the labels; every tenth face has no
    votes.
    """
    votes = np.zeros((len(faces), len(FERPLUS_VOTES)), np.uint8)
    for row, label in enumerate(faces.labels):
        if row % 10:
            votes[row, FERPLUS_VOTES.index(FER2013[label])] = 7
            votes[row, FERPLUS_VOTES.index("neutral")] += 3
    return dataclasses.replace(faces, votes=votes)


@pytest.mark.slow
@pytest.mark.usefixtures("step_by_step")
@pytest.mark.parametrize(("epoch", "step"), [(2, 3), (3, 2)])
def test_two_heads_in_stages_stopped_anywhere_end_the_same(
    voted: Dataset, tmp_path: Path, epoch: int, step: int
) -> None:
    whole = fit.fit(
        voted, DOUBLE, folder=tmp_path / "whole", options=fit.FitOptions(deterministic=True)
    )
    history = whole.facts["history"]
    assert [line["side"] for line in history] == [32, 32, 48, 48] and whole.facts["best_epoch"] > 2
    assert all(0 <= line["val_votes_accuracy"] <= 1 for line in history)
    with pytest.raises(Stop):
        fit.fit(
            voted,
            DOUBLE,
            folder=tmp_path / "run",
            options=fit.FitOptions(deterministic=True),
            watch=stop_at(epoch, step),
        )
    fit.fit(voted, DOUBLE, folder=tmp_path / "run", options=fit.FitOptions(deterministic=True))
    assert equal(weights(whole.folder), weights(tmp_path / "run"))


def test_the_vote_head_learns_its_votes_and_only_with_a_weight(
    voted: Dataset, tmp_path: Path
) -> None:
    run = fit.fit(
        voted,
        dataclasses.replace(DOUBLE, max_epochs=1),
        folder=tmp_path / "a",
        options=fit.FitOptions(deterministic=True),
    )
    seldom = runs.predict_heads(runs.load_network(run), voted.images)["votes"][
        :, FERPLUS.index("contempt")
    ].mean()
    assert seldom < 0.1  # nobody voted for it; an untrained head says an eighth
    with pytest.raises(UsageError, match="votes_weight: got 1 and training rows without FER.*Fix"):
        fit.fit(dataclasses.replace(voted, votes=None), DOUBLE, folder=tmp_path / "b")


def test_faces_without_votes_do_not_pull_the_vote_head(
    voted: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "has_votes", lambda dataset: True)  # or it would be refused
    silent = dataclasses.replace(voted, votes=np.zeros_like(voted.votes))
    one = dataclasses.replace(DOUBLE, max_epochs=1, weight_decay=0.0)
    fit.fit(silent, one, folder=tmp_path / "run")
    keras.utils.set_random_seed(one.seed)
    begun = models.build(one, FER2013)
    arrays = weights(tmp_path / "run")
    [name] = [name for name in arrays if name.startswith("model") and "logits_votes.kernel" in name]
    np.testing.assert_array_equal(arrays[name], begun.get_layer("logits_votes").kernel)


def test_labels_smoothed_and_votes_are_the_targets(voted: Dataset) -> None:
    training = voted.part("training")
    found = targets.make_targets(training, DOUBLE)
    np.testing.assert_allclose(found.labels.sum(axis=1), 1, atol=1e-5)
    assert (found.labels.argmax(axis=1) == training.labels).all() and set(found.share_weights) == {
        0.0,
        1.0,
    }


def test_teachers_give_their_share_of_the_targets() -> None:
    shares, weights = np.array([[1, 0], [0, 0]], np.float32), np.array([1, 0], np.float32)
    told = np.array([[0.2, 0.8], [0.3, 0.7]], np.float32)
    found, weigh = targets.distilled(shares, weights, told, 0.5)
    np.testing.assert_allclose(
        found, [[0.6, 0.4], [0.3, 0.7]]
    )  # where nobody voted, the teacher does
    np.testing.assert_allclose(weigh, [1, 0.5])


@pytest.mark.slow
def test_teachers_answer_as_their_bundle_does(voted: Dataset, tmp_path: Path) -> None:
    teacher = export(
        fit.fit(voted, dataclasses.replace(DOUBLE, max_epochs=1), folder=tmp_path / "a"),
        tmp_path / "t",
    )
    softer = dataclasses.replace(
        teacher, heads=tuple(dataclasses.replace(h, temperature=2.0) for h in teacher.heads)
    )
    training = voted.part("training")
    taught = dataclasses.replace(DOUBLE, max_epochs=1, teacher_weight=0.5)
    with Classifier(teacher) as classify:
        logits = classify.logits(training.images)
    faces = training.images.astype(np.float32)
    for bundle, temperature in ((teacher, 1.0), (softer, 2.0)):
        told = targets.teacher_network(bundle, training, taught, "float32")(faces)
        for head in ("fer2013", "votes"):
            np.testing.assert_allclose(told[head] * temperature, logits[head], atol=1e-4)
    single = dataclasses.replace(
        taught, votes_weight=0.0, soft_label_weight=0.0
    )  # whose head has another name
    told = targets.teacher_network(teacher, training, single, "float32")(faces)
    np.testing.assert_allclose(told["expression"], logits["fer2013"], atol=1e-4)
    # A student that hears its teacher alone, of the same network: its first loss is that of the
    # teacher's own answer.
    echo = dataclasses.replace(
        taught,
        init=str(tmp_path / "t"),
        restore_batch_norm=True,
        learning_rate=1e-9,
        stages=((1.0, 48),),
    )
    echo = dataclasses.replace(echo, teacher_weight=1.0, augment=False, dense_dropout=0.0)
    run = fit.fit(voted, echo, folder=tmp_path / "echo", sources=fit.Sources([teacher]))
    entropy = [softmax(logits[head]) for head in ("fer2013", "votes")]
    expected = sum(-(p * np.log(p)).sum(axis=1).mean() for p in entropy)
    assert run.facts["history"][0]["loss"] == pytest.approx(expected, rel=0.05)
    with pytest.raises(
        UsageError, match="teacher_weight: got 0.5 and 0 teachers; expected both or neither"
    ):
        fit.fit(voted, taught, folder=tmp_path / "none")
    with pytest.raises(
        UsageError, match="teacher_weight: got 0 and 1 teachers; expected both or neither"
    ):
        fit.fit(
            voted,
            dataclasses.replace(taught, teacher_weight=0.0),
            folder=tmp_path / "none",
            sources=fit.Sources([teacher]),
        )
    other = dataclasses.replace(training, label_set=LabelSet(tuple("abcdefg")))
    with pytest.raises(
        UsageError, match="teacher double: got heads fer2013, votes .*expected a, b"
    ):
        targets.teacher_network(teacher, other, taught, "float32")
    assert run.facts["teachers"] == [teacher.digest]
    with pytest.raises(RunError, match="teachers was"):
        fit.fit(
            voted,
            echo,
            folder=tmp_path / "echo",
            sources=fit.Sources([export(run, tmp_path / "echo.zip")]),
        )


def test_what_is_refused_leaves_no_run_behind(voted: Dataset, tmp_path: Path) -> None:
    unvoted = dataclasses.replace(voted, votes=None)
    assert voted.votes is not None
    elsewhere = dataclasses.replace(voted, votes=voted.votes * ~voted.mask("training")[:, None])
    for weight in ("votes_weight", "soft_label_weight"):
        recipe = dataclasses.replace(
            DOUBLE, **{"votes_weight": 0.0, "soft_label_weight": 0.0, weight: 0.5}
        )
        with pytest.raises(
            UsageError, match=f"{weight}: got 0.5 and training rows without FER.*Fix"
        ):
            fit.fit(unvoted, recipe, folder=tmp_path / "run")
        with pytest.raises(UsageError, match=f"{weight}: got 0.5 and training rows without FER"):
            fit.fit(elsewhere, recipe, folder=tmp_path / "run")
    dense = export(fit.fit(voted, TINY, folder=tmp_path / "dense"), tmp_path / "dense.zip")
    alone = dataclasses.replace(DOUBLE, votes_weight=0.0, soft_label_weight=0.0, teacher_weight=0.5)
    with pytest.raises(UsageError, match="dense layer, which takes only 48 px.*Fix: give stages"):
        fit.fit(voted, alone, folder=tmp_path / "run", sources=fit.Sources([dense]))
    assert not (tmp_path / "run" / "run.json").exists()
    one = dataclasses.replace(alone, teacher_weight=0.0, max_epochs=1)
    fit.fit(voted, one, folder=tmp_path / "run")
    with pytest.raises(UsageError, match="dense layer"):
        fit.fit(
            voted,
            alone,
            folder=tmp_path / "run",
            sources=fit.Sources([dense]),
            options=fit.FitOptions(fresh=True),
        )
    assert runs.load_run(tmp_path / "run").recipe == one  # --fresh has not deleted it for nothing


def test_other_votes_are_another_run(voted: Dataset, tmp_path: Path) -> None:
    recipe = dataclasses.replace(DOUBLE, max_epochs=1)
    fit.fit(voted, recipe, folder=tmp_path / "run")
    assert voted.votes is not None
    with pytest.raises(RunError, match="votes was"):
        fit.fit(
            dataclasses.replace(voted, votes=voted.votes[::-1].copy()),
            recipe,
            folder=tmp_path / "run",
        )


def test_bfloat16_trains_and_its_weights_stay_float32(voted: Dataset, tmp_path: Path) -> None:
    half = dataclasses.replace(DOUBLE, precision="bfloat16", max_epochs=2)
    run = fit.fit(voted, half, folder=tmp_path / "run")
    assert run.facts["precision"] == "bfloat16" and np.isfinite(run.facts["history"][-1]["loss"])
    arrays = weights(tmp_path / "run")
    assert {a.dtype for name, a in arrays.items() if "kernel" in name} == {np.dtype(np.float32)}


@pytest.mark.slow
def test_float16_learns_what_float32_learns(voted: Dataset, tmp_path: Path) -> None:
    """With so much weight decay that a wrong scale of the loss would show."""
    plain = dataclasses.replace(
        DOUBLE, dense_dropout=0.0, augment=False, max_epochs=2, weight_decay=0.5
    )
    whole = fit.fit(voted, plain, folder=tmp_path / "whole")
    half = fit.fit(voted, dataclasses.replace(plain, precision="float16"), folder=tmp_path / "half")
    assert half.facts["precision"] == "float16"
    for one, other in zip(whole.facts["history"], half.facts["history"], strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=0.03)
    ours, theirs = weights(tmp_path / "half"), weights(tmp_path / "whole")
    kernels = [
        name for name in theirs if name.startswith("model") and "conv" in name and "kernel" in name
    ]
    assert len(kernels) == 3
    for name in kernels:
        assert ours[name].dtype == np.float32
        assert np.linalg.norm(ours[name]) == pytest.approx(np.linalg.norm(theirs[name]), rel=0.05)
    assert [a for name, a in ours.items() if "dynamic_scale" in name][
        0
    ] > 1  # small gradients are kept from zero


@pytest.mark.slow
@pytest.mark.parametrize("sam_radius", [0.0, 0.02])
def test_float16_gets_over_steps_that_it_cannot_hold(
    voted: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sam_radius: float
) -> None:
    scaled = keras.optimizers.LossScaleOptimizer
    begin_high = type(
        "BeginHigh", (scaled,), {"__init__": lambda self, one: scaled.__init__(self, one, 2.0**40)}
    )
    monkeypatch.setattr(keras.optimizers, "LossScaleOptimizer", begin_high)
    recipe = dataclasses.replace(DOUBLE, precision="float16", max_epochs=6, sam_radius=sam_radius)
    with pytest.raises(Stop):
        fit.fit(voted, recipe, folder=tmp_path / "run", watch=stop_at(5, 5))
    arrays = weights(tmp_path / "run")
    [scale] = [a for name, a in arrays.items() if "dynamic_scale" in name]
    assert scale < 2.0**40 and all(np.isfinite(array).all() for array in arrays.values())
    run = fit.fit(voted, recipe, folder=tmp_path / "run")  # goes on
    assert len(run.facts["history"]) == 6 and np.isfinite(run.facts["history"][-1]["val_loss"])


def test_a_run_goes_on_in_another_precision(
    voted: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a card that has other numbers, `auto` takes those."""
    recipe = dataclasses.replace(DOUBLE, precision="auto", max_epochs=2)
    monkeypatch.setattr(trainer, "precision", lambda recipe: "float16")
    with pytest.raises(Stop):
        fit.fit(voted, recipe, folder=tmp_path / "run", watch=stop_at(2, 5))
    monkeypatch.setattr(trainer, "precision", lambda recipe: "float32")
    assert len(fit.fit(voted, recipe, folder=tmp_path / "run").facts["history"]) == 2


def test_precision_is_what_the_machine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    auto = dataclasses.replace(DOUBLE, precision="auto")
    for capability, expected in (((6, 1), "float32"), ((7, 5), "float16"), ((8, 0), "bfloat16")):
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["card"])
        details = {"compute_capability": capability}
        monkeypatch.setattr(
            tf.config.experimental, "get_device_details", lambda card, details=details: details
        )
        assert trainer.precision(auto) == expected
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    for has, expected in ((True, "bfloat16"), (False, "float32"), (None, "float32")):
        monkeypatch.setattr(trainer, "has_bf16", lambda has=has: has)
        assert trainer.precision(auto) == expected
    assert trainer.precision(dataclasses.replace(DOUBLE, precision="bfloat16")) == "bfloat16"


def test_a_finished_run_is_returned_as_it_is(undisturbed: runs.Run, faces: Dataset) -> None:
    def never(moment: Moment) -> None:
        raise AssertionError("a finished run trained again")

    again = fit.fit(
        faces,
        TINY,
        folder=undisturbed.folder,
        options=fit.FitOptions(deterministic=True),
        watch=never,
    )
    assert again.facts == undisturbed.facts


def test_a_run_of_before_a_field_was_added_goes_on(
    undisturbed: runs.Run, faces: Dataset, tmp_path: Path
) -> None:
    shutil.copytree(undisturbed.folder, tmp_path / "run")
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    for field in ("init", "backbone", "freeze_epochs", "backbone_rate"):
        del facts["recipe"][field]
    (tmp_path / "run" / "run.json").write_text(json.dumps(facts))
    assert (
        fit.fit(
            faces, TINY, folder=tmp_path / "run", options=fit.FitOptions(deterministic=True)
        ).facts["epochs"]
        == 4
    )
    with pytest.raises(RunError, match="backbone_rate was 1.0 and is 0.5"):
        fit.fit(
            faces,
            dataclasses.replace(TINY, backbone_rate=0.5),
            folder=tmp_path / "run",
            options=fit.FitOptions(deterministic=True),
        )


@pytest.mark.usefixtures("step_by_step")
def test_a_corrupt_newest_checkpoint_is_passed_over_and_said(
    undisturbed: runs.Run, faces: Dataset, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    with pytest.raises(Stop):
        fit.fit(
            faces,
            TINY,
            folder=folder,
            options=fit.FitOptions(deterministic=True),
            watch=stop_at(4, 1),
        )
    newest = folder / "checkpoints" / "epoch-0003" / "arrays.npz"
    newest.write_bytes(newest.read_bytes()[:-9])
    run = fit.fit(faces, TINY, folder=folder, options=fit.FitOptions(deterministic=True))
    assert len(run.facts["warnings"]) == 1 and "epoch-0003" in run.facts["warnings"][0]
    assert equal(weights(undisturbed.folder), weights(folder))


@pytest.mark.usefixtures("step_by_step")
def test_ctrl_c_leaves_a_usable_run(faces: Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        fit.fit(faces, TINY, folder=folder, watch=stop_at(3, 2, KeyboardInterrupt))
    run = runs.load_run(folder)
    assert run.facts["epochs"] == 2 and "stopped" not in run.facts
    assert runs.predict(runs.load_network(run), faces.images[:5]).shape == (5, 7)
    done = fit.fit(faces, TINY, folder=folder)
    assert done.facts["epochs"] == 4


def test_early_stop(faces: Dataset, tmp_path: Path) -> None:
    # A learning rate this low never gets better than its first epochs.
    still = dataclasses.replace(TINY, max_epochs=9, patience=2, learning_rate=1e-9)
    run = fit.fit(faces, still, folder=tmp_path / "run")
    assert run.facts["epochs"] < 9
    assert "no better validation accuracy in the 2 epochs" in run.facts["stopped"]


def test_patience_begins_with_the_last_stage(voted: Dataset, tmp_path: Path) -> None:
    still = dataclasses.replace(DOUBLE, max_epochs=8, patience=1, learning_rate=1e-9)
    run = fit.fit(voted, still, folder=tmp_path / "run")
    sides = [line["side"] for line in run.facts["history"]]
    assert (
        sides[:5] == [32] * 4 + [48]
        and len(sides) < 8
        and "no better validation" in run.facts["stopped"]
    )
    assert sides[run.facts["best_epoch"] - 1] == 48


def test_stages_may_begin_with_whole_faces(voted: Dataset, tmp_path: Path) -> None:
    recipe = dataclasses.replace(DOUBLE, max_epochs=3, stages=((0.3, 48), (0.6, 32), (1.0, 48)))
    run = fit.fit(voted, recipe, folder=tmp_path / "run")
    assert [line["side"] for line in run.facts["history"]] == [48, 32, 48]


def test_epochs_before_the_loss_was_no_number_can_be_used(
    faces: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, folder = trainer.evaluated, tmp_path / "run"
    more = iter([0.0, 0.0, np.nan])

    def evaluated(*args: Any, **options: Any) -> dict[str, float]:
        scores, plus = real(*args, **options), next(more)
        return {name: score + plus for name, score in scores.items()}

    monkeypatch.setattr(trainer, "evaluated", evaluated)
    with pytest.raises(
        RunError,
        match="epoch 3: got a loss of .* nan on validation.*best of the 2 epochs before it",
    ):
        fit.fit(faces, TINY, folder=folder)
    run = runs.load_run(folder)
    assert (
        run.facts["epochs"] == 2
        and runs.load_network(run).count_params() == run.facts["parameters"]
    )


@pytest.mark.slow
@pytest.mark.usefixtures("step_by_step")
def test_a_stopped_run_that_goes_on_can_be_used_meanwhile(faces: Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        fit.fit(faces, TINY, folder=folder, watch=stop_at(3, 2, KeyboardInterrupt))
    with pytest.raises(Stop):
        fit.fit(faces, TINY, folder=folder, watch=stop_at(3, 2))
    assert runs.load_run(folder).facts["epochs"] == 2
    assert fit.fit(faces, TINY, folder=folder).facts["epochs"] == 4


def test_another_run_in_the_folder_is_refused(
    undisturbed: runs.Run, faces: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(RunError, match=r"seed was 0 and is 5.*--fresh"):
        fit.fit(
            faces,
            dataclasses.replace(TINY, seed=5),
            folder=undisturbed.folder,
            options=fit.FitOptions(deterministic=True),
        )
    with pytest.raises(RunError, match="data was"):
        fit.fit(
            faces.take(np.arange(1, 210)),
            TINY,
            folder=undisturbed.folder,
            options=fit.FitOptions(deterministic=True),
        )


def test_fresh_begins_again(faces: Dataset, tmp_path: Path) -> None:
    one = dataclasses.replace(TINY, max_epochs=1)
    fit.fit(faces, one, folder=tmp_path / "run")
    for name in ("best-of-mine", "best-0001-copy"):
        (tmp_path / "run" / name).mkdir()
    for name in ("mine.txt", "best-model.zip"):
        (tmp_path / "run" / name).write_text("not mien's")
    run = fit.fit(
        faces,
        dataclasses.replace(one, seed=5),
        folder=tmp_path / "run",
        options=fit.FitOptions(fresh=True),
    )
    assert run.recipe.seed == 5
    assert {"mine.txt", "best-model.zip", "best-of-mine", "best-0001-copy"} <= set(
        os.listdir(tmp_path / "run")
    )


def test_a_run_does_not_begin_with_itself(faces: Dataset, tmp_path: Path) -> None:
    fit.fit(faces, dataclasses.replace(TINY, max_epochs=1), folder=tmp_path / "run")
    again = recipes.recipe("finetune", init=str(tmp_path / "run"))
    with pytest.raises(UsageError, match="got the run folder itself.*--out"):
        fit.fit(faces, again, folder=tmp_path / "run", options=fit.FitOptions(fresh=True))
    assert runs.load_run(tmp_path / "run").facts["epochs"] == 1


def test_a_second_process_is_refused(faces: Dataset, tmp_path: Path) -> None:
    code = f"""
import sys, time, filelock
with filelock.FileLock({str(tmp_path / ".lock")!r}):
    print("locked", flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "locked\n"
        with pytest.raises(RunError, match="a folder in which another process trains"):
            fit.fit(faces, TINY, folder=tmp_path)
        os.kill(other.pid, signal.SIGKILL)
    assert (
        fit.fit(faces, dataclasses.replace(TINY, max_epochs=1), folder=tmp_path).facts["epochs"]
        == 1
    )


def test_a_folder_that_cannot_be_written(faces: Dataset) -> None:
    with pytest.raises(RunError, match="got an error while writing.*--out"):
        fit.fit(faces, TINY, folder=Path("/proc/mien/run"))


def test_a_damaged_run_file(faces: Dataset, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(RunError, match="cannot be read.*--fresh"):
        fit.fit(faces, TINY, folder=tmp_path)
    with pytest.raises(RunError, match="cannot be read"):
        runs.load_run(tmp_path)
    with pytest.raises(RunError, match="expected a folder that `mien train` wrote"):
        runs.load_run(tmp_path / "nothing")


# What it trains on


def relabelled(faces: Dataset, **changes: Any) -> Dataset:
    return dataclasses.replace(faces, **changes)


def test_the_test_split_is_never_looked_at(
    undisturbed: runs.Run, faces: Dataset, tmp_path: Path
) -> None:
    """Other pictures and labels in the test split: the same network, to the last bit."""
    images, labels = faces.images.copy(), faces.labels.copy()
    test = faces.mask("test")
    images[test] = 255 - images[test]
    labels[test] = (labels[test] + 1) % 7
    fit.fit(
        relabelled(faces, images=images, labels=labels),
        TINY,
        folder=tmp_path / "run",
        options=fit.FitOptions(deterministic=True),
    )
    assert equal(weights(undisturbed.folder), weights(tmp_path / "run"))


def test_training_leaves_out_leaked_rows(faces: Dataset, tmp_path: Path) -> None:
    images = faces.images.copy()
    training, validation, test = (np.flatnonzero(faces.mask(split)) for split in SPLITS)
    images[training[:3]] = images[validation[:3]]
    images[training[3]] = images[test[0]]
    leaky = relabelled(faces, images=images)
    kept, num = fit.training_rows(leaky, TINY)
    assert (len(kept), num) == (136, 4)
    all_rows, none = fit.training_rows(leaky, dataclasses.replace(TINY, keep_leaks=True))
    assert (len(all_rows), none) == (140, 0)
    run = fit.fit(leaky, dataclasses.replace(TINY, max_epochs=1), folder=tmp_path / "run")
    assert (
        run.facts["data"]["num_left_out_as_leaks"] == 4 and run.facts["data"]["num_training"] == 136
    )


def test_data_without_validation_or_a_class_is_refused(faces: Dataset, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no labelled validation rows"):
        fit.fit(faces.take(~faces.mask("validation")), TINY, folder=tmp_path / "run")
    labels = np.where(faces.labels == faces.label_set.index("disgust"), UNLABELLED, faces.labels)
    long = dataclasses.replace(faces, label_set=LabelSet(("a" * 65, *"bcdefg")))
    with pytest.raises(
        DataError, match="got the label 'aaaa.*at most 64 letters.*rename the label"
    ):
        fit.fit(long, TINY, folder=tmp_path / "run")
    with pytest.raises(DataError, match=r"no training rows of the class\(es\) disgust"):
        fit.fit(relabelled(faces, labels=labels), TINY, folder=tmp_path / "run")


def test_a_loss_that_explodes_is_an_error(
    faces: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        trainer.Trainer, "_compile", lambda *parts: lambda index, seed: (np.nan, 0.0)
    )
    with pytest.raises(RunError, match="got a loss of nan.*--learning-rate"):
        fit.fit(faces, TINY, folder=tmp_path / "run")


def test_tensorboard_writes_each_epoch(faces: Dataset, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    folder = tmp_path / "run"
    fit.fit(
        faces, dataclasses.replace(TINY, max_epochs=2), folder=folder, watch=tensorboard(folder)
    )
    files = list((folder / "tensorboard").iterdir())
    assert len(files) == 1
    events = [
        event for event in tf.compat.v1.train.summary_iterator(str(files[0])) if event.summary.value
    ]
    assert sorted({event.step for event in events}) == [1, 2] and len(events) == 12
    assert "val_calibrated_loss" in {value.tag for event in events for value in event.summary.value}


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_the_same(faces: Dataset, tmp_path: Path) -> None:
    """Real processes, real SIGKILL; `benchmarks/kill_resume.py` does the same ten times on a longer
    run.
    """
    script = Path(__file__).parents[2] / "benchmarks" / "kill_resume.py"
    done = subprocess.run(
        [
            sys.executable,
            script,
            "--kills",
            "2",
            "--epochs",
            "6",
            "--faces",
            "280",
            "--work",
            tmp_path,
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["num_kills"] == 2 and answer["equal"] is True


def test_short_runs_are_judged_by_statistics_of_the_faces(tmp_path: Path) -> None:
    """Batch norm's moving statistics begin at 0 and 1; after 50 steps the averaged network must be
    free of that.
    """
    data = drawn_dataset(300, 140, 70, seed=2)
    recipe = dataclasses.replace(
        TINY, block_dropout=0.0, dense_dropout=0.0, max_epochs=5, patience=5, augment=False
    )
    run = fit.fit(data, recipe, folder=tmp_path)
    network = runs.load_network(run)
    hidden = keras.Model(network.input, network.get_layer("norm1_1").output)
    values = np.asarray(hidden(data.part("training").images.astype(np.float32)))
    spread = values.std(axis=(0, 1, 2)) / np.abs(np.asarray(network.get_layer("norm1_1").gamma))
    # With right statistics a normalised channel has a spread of about 1; with the first ones it was
    # 0.1.
    assert spread.shape == (4,)
    assert 0.5 < np.median(spread) < 2


def test_a_last_batch_of_one_face_is_left_for_another_epoch(faces: Dataset, tmp_path: Path) -> None:
    training, _ = fit.training_rows(faces, TINY)
    size = len(training) - 1
    trainer = Trainer(
        training, faces.part("validation"), dataclasses.replace(TINY, batch_size=size)
    )
    assert (trainer.num_steps, trainer.num_used) == (1, size)


@pytest.mark.slow
@pytest.mark.usefixtures("step_by_step")
def test_checkpoints_of_another_network_and_damaged_best_weights(
    faces: Dataset, tmp_path: Path
) -> None:
    def interrupted() -> Path:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        with pytest.raises(Stop):
            fit.fit(faces, TINY, folder=folder, watch=stop_at(3, 1))
        return folder

    # Written by a version with other names.
    folder = interrupted()
    found, _ = checkpoint.newest(folder / "checkpoints")
    assert found is not None
    renamed = {name.replace("conv", "convolution"): array for name, array in found.arrays.items()}
    checkpoint.save(folder / "checkpoints", dataclasses.replace(found, arrays=renamed))
    with pytest.raises(RunError, match="another version of mien or Keras.*--fresh"):
        fit.fit(faces, TINY, folder=folder)

    # The best weights are damaged: written again where the checkpoint holds them, an error before
    # any work otherwise.
    folder = interrupted()
    history = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    best_epoch = runs.best_epoch(history)
    arrays = runs.best_folder(folder, best_epoch) / "arrays.npz"
    arrays.write_bytes(arrays.read_bytes()[:-1])
    if best_epoch == len(history):
        run = fit.fit(faces, TINY, folder=folder)
        assert any(
            "written again from the checkpoint" in warning for warning in run.facts["warnings"]
        )
    else:
        with pytest.raises(RunError, match="best weights so far"):
            fit.fit(faces, TINY, folder=folder)

    # A finished run whose weights are gone is not reported as finished.
    done = fit.fit(faces, TINY, folder=tmp_path / "done")
    shutil.rmtree(runs.best_folder(done.folder, done.facts["best_epoch"]))
    with pytest.raises(RunError, match=r"got no MANIFEST.json.*Fix"):
        fit.fit(faces, TINY, folder=done.folder)


def test_leftovers_of_a_killed_process_are_swept(faces: Dataset, tmp_path: Path) -> None:
    left = [
        tmp_path / ".run.json.123.tmp",
        tmp_path / "checkpoints" / ".epoch-0001.123.tmp" / "arrays.npz",
    ]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (tmp_path / "notes.txt").write_text("mine")
    fit.fit(faces, dataclasses.replace(TINY, max_epochs=1), folder=tmp_path)
    assert not any(path.exists() for path in left)
    assert (tmp_path / "notes.txt").exists()


def test_photographs_teach_the_vote_head_alone(voted: Dataset, tmp_path: Path) -> None:
    """Their labels never reach the main head; rare ones are drawn more often than they occur."""
    recipe = dataclasses.replace(
        TINY, votes_weight=1.0, photograph_share=0.25, batch_size=16, max_epochs=2
    )
    photographs = drawn_dataset(28, 7, 7, seed=5)
    sources = fit.Sources(photographs=photographs)
    run = fit.fit(voted, recipe, folder=tmp_path / "run", sources=sources)
    assert run.facts["photographs"]["num_training"] == 28
    others = fit.Sources(photographs=drawn_dataset(28, 7, 7, seed=6))
    with pytest.raises(RunError, match=r"fingerprint of the photographs was .*--fresh"):
        fit.fit(voted, recipe, folder=tmp_path / "run", sources=others)
    assert 0 <= run.facts["history"][-1]["accuracy"] <= 1
    both = targets.with_photographs(voted.part("training"), photographs.part("training"))
    goals = targets.make_targets(both, recipe)
    added = slice(len(voted.part("training")), None)
    assert goals.shares is not None and len(goals.weights[added]) == 28
    assert (goals.weights[added] == 0).all() and (goals.share_weights[added] == 1).all()
    winner = [FERPLUS[k] for k in goals.shares[added].argmax(axis=1)]
    assert winner == [FER2013[k] for k in photographs.part("training").labels]


def test_batches_hold_their_share_of_photographs(voted: Dataset) -> None:
    recipe = dataclasses.replace(TINY, votes_weight=1.0, photograph_share=0.25, batch_size=16)
    many = drawn_dataset(70, 7, 7, seed=5).part("training")
    rare = many.take(np.flatnonzero((many.labels != 3) | (np.cumsum(many.labels == 3) <= 1)))
    training = voted.part("training")
    made = trainer.Trainer(training, voted.part("validation"), recipe, photographs=rare)
    order = made._order(1)
    assert len(order) % 16 == 0 and len(order) > 0
    drawn = order.reshape(-1, 16) >= len(training)
    assert (drawn.sum(axis=1) == 4).all()
    orders = np.concatenate([made._order(epoch) for epoch in range(40)])
    labels = rare.labels[orders[orders >= len(training)] - len(training)]
    assert np.mean(labels == 3) > 2 * np.mean(rare.labels == 3)
    np.testing.assert_array_equal(made._order(3), made._order(3))


@pytest.mark.parametrize(
    ("share", "with_photographs", "votes_weight", "words"),
    [
        (0.25, False, 1.0, "got 0.25 and no photographs"),
        (0.0, True, 1.0, "got 0 and photographs"),
        (0.25, True, 0.0, "a recipe without a vote head"),
    ],
)
def test_photographs_and_their_share_go_together(
    voted: Dataset,
    tmp_path: Path,
    share: float,
    with_photographs: bool,
    votes_weight: float,
    words: str,
) -> None:
    recipe = dataclasses.replace(TINY, votes_weight=votes_weight, photograph_share=share)
    photographs = drawn_dataset(7, 7, 7) if with_photographs else None
    with pytest.raises(UsageError, match=words):
        fit.fit(voted, recipe, folder=tmp_path, sources=fit.Sources(photographs=photographs))
