"""face-api as a teacher: its files are read, its network answers as a plain one does."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from drawn_face_api import put_in_cache
from small_recipes import TINY

from mien.constants import cache_dir
from mien.data.dataset import UNLABELLED, Dataset
from mien.errors import DataError, UsageError
from mien.labels import FER2013, LabelSet
from mien.training import face_api, targets
from mien.training.fit import FitOptions, fit


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    put_in_cache(monkeypatch)
    return face_api.read_weights(cache_dir() / "models" / "face-api")


def convolved(x: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    """(H, W, C) by 3x3 kernels (3, 3, C, K), zeros around it as TensorFlow's SAME pads."""
    before = 1 if stride == 1 else 0  # of even sides
    wide = np.pad(x, ((before, 1), (before, 1), (0, 0)))
    seen = np.lib.stride_tricks.sliding_window_view(wide, (3, 3), (0, 1))[::stride, ::stride]
    return np.einsum("hwcij,ijck->hwk", seen, kernel)


def plain(face: np.ndarray, weights: dict[str, np.ndarray]) -> np.ndarray:
    """The logits of one picture (112, 112), by numpy."""
    x = (face[..., None] - np.array([122.782, 117.001, 104.298])) / 255

    def layer(x: np.ndarray, name: str, stride: int) -> np.ndarray:
        if f"{name}/filters" in weights:
            return convolved(x, weights[f"{name}/filters"], stride) + weights[f"{name}/bias"]
        depthwise = weights[f"{name}/depthwise_filter"][..., 0]  # (3, 3, C)
        kernel = depthwise[..., None] * np.eye(x.shape[-1])
        x = convolved(x, kernel, stride) @ weights[f"{name}/pointwise_filter"][0, 0]
        return x + weights[f"{name}/bias"]

    for block in range(4):
        out1 = np.maximum(layer(x, f"dense{block}/conv0", 2), 0)
        out2 = layer(out1, f"dense{block}/conv1", 1)
        out3 = layer(np.maximum(out1 + out2, 0), f"dense{block}/conv2", 1)
        out4 = layer(np.maximum(out1 + out2 + out3, 0), f"dense{block}/conv3", 1)
        x = np.maximum(out1 + out2 + out3 + out4, 0)
    assert x.shape[:2] == (7, 7)
    return np.asarray(x.mean((0, 1)) @ weights["fc/weights"] + weights["fc/bias"])


def test_the_network_answers_as_a_plain_one(drawn: dict[str, np.ndarray]) -> None:
    faces = np.random.default_rng(1).integers(0, 256, (3, 112, 112, 1)).astype(np.uint8)
    found = np.asarray(face_api._network(drawn)(faces))
    assert found.shape == (2, 3, 7)
    for number, face in enumerate(faces[..., 0].astype(float)):
        for view, picture in enumerate((face, face[:, ::-1])):
            np.testing.assert_allclose(found[view, number], plain(picture, drawn), rtol=1e-3)


def test_answers_follow_the_labels_by_name(drawn: dict[str, np.ndarray], faces: Dataset) -> None:
    some = faces.images[:5]
    told = face_api.predictions(some, FER2013)
    assert told.dtype == np.float32 and told.shape == (5, 7)
    np.testing.assert_allclose(told.sum(axis=1), 1, atol=1e-5)
    assert told.std(axis=0).max() > 1e-3  # not the same of all faces
    np.testing.assert_allclose(face_api.predictions(some[:, :, ::-1], FER2013), told, atol=1e-4)
    turned = LabelSet(("contempt", *reversed(FER2013.names)))
    again = face_api.predictions(some, turned)
    np.testing.assert_allclose(again[:, 1:], told[:, ::-1], atol=1e-6)
    assert (again[:, 0] == 0).all()  # what it does not know
    sharper = face_api.predictions(some, FER2013, temperature=0.5)
    assert (sharper.max(axis=1) > told.max(axis=1)).all()
    with pytest.raises(UsageError, match=r"got the labels a, b; expected some of neutral, happy"):
        face_api.predictions(some, LabelSet(("a", "b")))


def test_answers_are_kept(
    drawn: dict[str, np.ndarray], faces: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was stopped asks again; only other faces or labels cost time again."""
    told = face_api.predictions(faces.images[:9], FER2013)
    monkeypatch.setattr(face_api, "_network", lambda weights: pytest.fail("asked again"))
    np.testing.assert_array_equal(face_api.predictions(faces.images[:9], FER2013), told)
    with pytest.raises(pytest.fail.Exception):
        face_api.predictions(faces.images[1:10], FER2013)
    with pytest.raises(pytest.fail.Exception):
        face_api.predictions(faces.images[:9], LabelSet(tuple(reversed(FER2013.names))))
    for file in (cache_dir() / "face-api").iterdir():
        file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(pytest.fail.Exception):  # a damaged file counts for nothing
        face_api.predictions(faces.images[:9], FER2013)


def test_it_is_a_share_of_the_targets(drawn: dict[str, np.ndarray], faces: Dataset) -> None:
    training = faces.part("training")
    labels = training.labels.copy()
    labels[:3] = UNLABELLED  # photographs
    training = dataclasses.replace(training, labels=labels)
    told = face_api.predictions(training.images, training.label_set)
    without = targets.make_targets(training, TINY)
    found = targets.make_targets(training, dataclasses.replace(TINY, face_api_weight=0.25))
    expected = 0.75 * without.labels + 0.25 * told
    np.testing.assert_allclose(found.labels[3:], expected[3:], atol=1e-6)
    np.testing.assert_array_equal(found.labels[:3], without.labels[:3])
    np.testing.assert_array_equal(found.weights, without.weights)


def test_a_run_remembers_it(drawn: dict[str, np.ndarray], faces: Dataset, tmp_path: Path) -> None:
    said: list[str] = []

    recipe = dataclasses.replace(TINY, max_epochs=1, face_api_weight=0.25)
    run = fit(faces, recipe, folder=tmp_path / "run", options=FitOptions(say=said.append))
    assert [one["name"] for one in run.facts["taught_by"]] == ["face-api"]
    assert run.facts["taught_by"][0]["digest"] == face_api.DIGEST
    assert any("face-api classifies" in line for line in said)


def test_without_its_weights_no_run_begins(
    faces: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIEN_FACE_API", str(tmp_path))
    recipe = dataclasses.replace(TINY, face_api_weight=0.25)
    with pytest.raises(DataError, match="no such file.*MIEN_FACE_API"):
        fit(faces, recipe, folder=tmp_path / "run")
    assert not (tmp_path / "run" / "run.json").exists()


@pytest.mark.parametrize("wrong", ["[]", "{}", '[{"weights": [], "paths": ["absent"]}]', "no json"])
def test_files_of_another_form(drawn: dict[str, np.ndarray], tmp_path: Path, wrong: str) -> None:
    (tmp_path / face_api.MANIFEST).write_text(wrong)
    with pytest.raises(DataError, match="MIEN_FACE_API"):
        face_api.read_weights(tmp_path)
    entry = {"name": "fc/bias", "shape": [7], "dtype": "float32"}
    manifest = [{"weights": [entry], "paths": ["a.bin"]}]
    (tmp_path / face_api.MANIFEST).write_text(json.dumps(manifest))
    for size in (27, 29):
        (tmp_path / "a.bin").write_bytes(bytes(size))
        with pytest.raises(DataError, match="MIEN_FACE_API"):
            face_api.read_weights(tmp_path)
