"""Networks that take faces of 96 px: begun from one for 48, trained, exported, used."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from skimage.data import astronaut
from small_recipes import TINY

from mien.bundle import Bundle, open_bundle
from mien.bundle.answer import softmax
from mien.bundle.classifier import Classifier
from mien.data.dataset import Dataset
from mien.data.synthetic import draw_faces
from mien.errors import UsageError
from mien.recognizer import Recognizer
from mien.training import fit, models, runs, transfer
from mien.training.export import export
from mien.training.recipe import Recipe
from mien.training.recipes import recipe
from mien.vision.detect import find_detector
from mien.vision.preprocess import all_resized

# One head, no dense layer, faces of 48.
OPEN = dataclasses.replace(TINY, dense=0, max_epochs=2, centre=True)


@pytest.fixture(scope="module")
def small(faces: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sides")
    run = fit.fit(faces, OPEN, folder=folder / "run")
    export(run, folder / "small.zip", dataset=faces)
    return folder / "small.zip"


def larger(small: Path) -> Recipe:
    return dataclasses.replace(
        OPEN, init=str(small), input_side=96, restore_batch_norm=True, max_epochs=1
    )


@pytest.fixture(scope="module")
def large_file(small: Path, faces: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sides")
    run = fit.fit(faces, larger(small), folder=folder / "run")
    export(run, folder / "large.zip", dataset=faces, half=True)
    return folder / "large.zip"


@pytest.fixture(scope="module")
def large(large_file: Path) -> Bundle:
    return open_bundle(large_file)


@pytest.mark.parametrize("restored", [True, False])
def test_it_begins_with_the_answers_of_the_network_for_48(small: Path, restored: bool) -> None:
    bundle = open_bundle(small)
    wanted = dataclasses.replace(larger(small), restore_batch_norm=restored)
    start = transfer.begin(wanted)
    assert start.recipe.input_side == 96
    network = models.build(start.recipe, bundle.heads[0].labels)
    faces = draw_faces(np.arange(28) % 7, seed=4)
    doubled = np.repeat(np.repeat(faces, 2, axis=1), 2, axis=2)
    start.put(network, models.heads(start.recipe, bundle.heads[0].labels), doubled)
    assert network.input_shape == (None, 96, 96, 1)
    assert network.get_layer("conv1_1").kernel.shape == (6, 6, 1, 4)
    logits = models.logits_of(network)(doubled.astype(np.float32), training=False)
    with Classifier(bundle) as classify:
        expected = classify.logits(faces)["expression"]
    np.testing.assert_allclose(np.asarray(logits["expression"]), expected, atol=1e-4)


def test_a_bundle_takes_its_own_side_and_others(large: Bundle, faces: Dataset) -> None:
    assert large.side == 96 and large.golden_faces.shape == (16, 96, 96, 1)
    assert large.facts["input"]["shape"] == [None, 96, 96, 1]
    few = faces.images[:20]
    with Classifier(large) as classify:
        assert classify.replay_goldens() <= large.golden_tolerance
        for mode in ("fast", "best"):
            found = classify(few, mode=mode)["expression"]
            own = classify(all_resized(few, 96), mode=mode)["expression"]
            np.testing.assert_array_equal(found, own)


def test_a_network_in_keras_takes_faces_of_48_too(small: Path, faces: Dataset) -> None:
    start = transfer.begin(larger(small))
    network = models.build(start.recipe, faces.label_set)
    start.put(network, models.heads(start.recipe, faces.label_set), all_resized(faces.images, 96))
    answers = runs.predict(network, faces.images[:9])
    np.testing.assert_allclose(
        answers, runs.predict(network, all_resized(faces.images[:9], 96)), atol=1e-6
    )


def test_the_recognizer_cuts_faces_at_the_networks_side(large: Bundle) -> None:
    recognizer = Recognizer(large, find_detector("none"))
    picture = astronaut()[20:260, 100:340]
    [face] = recognizer.faces(picture)
    seen, heat = recognizer.explain(picture, face)
    assert seen.shape == (96, 96, 1) and heat.shape == (96, 96)
    heads = recognizer.classify(seen[None])
    assert heads["expression"].shape == (1, 7)
    # Sharpness is measured at 48 pixels, whatever the network takes.
    other = np.array(all_resized(seen[None], 48))[0, ..., 0]
    assert face.quality.sharpness == pytest.approx(_sharpness(other), rel=1e-6)


def _sharpness(gray: np.ndarray) -> float:
    import cv2

    values = gray.astype(np.float32)
    return float(cv2.Laplacian(values, cv2.CV_32F).std() / values.std())


def test_a_network_for_96_keeps_its_side_where_it_learns_further(
    large: Bundle, large_file: Path, faces: Dataset, tmp_path: Path
) -> None:
    assert transfer.input_side(str(large_file)) == 96
    tuned = recipe("finetune", init=str(large_file), max_epochs=1, freeze_epochs=1)
    run = fit.fit(faces, tuned, folder=tmp_path / "run")
    assert run.recipe.input_side == 96
    network = runs.load_network(run)
    with Classifier(large) as classify:
        expected = softmax(classify.logits(faces.images[:5])["expression"])
    assert runs.predict(network, faces.images[:5]).shape == expected.shape


def test_a_teacher_for_48_looks_at_means_of_four_pixels(
    small: Path, faces: Dataset, tmp_path: Path
) -> None:
    taught = dataclasses.replace(OPEN, input_side=96, teacher_weight=0.5, max_epochs=1)
    teacher = open_bundle(small)
    run = fit.fit(faces, taught, folder=tmp_path / "run", sources=fit.Sources([teacher]))
    assert run.recipe.input_side == 96


def test_a_teacher_for_96_cannot_teach_a_network_for_48(
    large: Bundle, faces: Dataset, tmp_path: Path
) -> None:
    taught = dataclasses.replace(OPEN, teacher_weight=0.5, max_epochs=1)
    with pytest.raises(
        UsageError, match=r"got a network for faces of 96 px.*Fix: give input_side=96"
    ):
        fit.fit(faces, taught, folder=tmp_path / "run", sources=fit.Sources([large]))


def test_sides_that_no_network_takes_are_refused() -> None:
    with pytest.raises(UsageError, match=r"input_side: got 64; expected one of 48, 96"):
        recipe("small", input_side=64)
    with pytest.raises(UsageError, match="input_side: got 96 with ResNet50"):
        recipe("finetune", init="imagenet:ResNet50", backbone="ResNet50", input_side=96)
