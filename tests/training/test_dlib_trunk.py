"""dlib's network as a trunk: its file is read, and the network answers as dlib's does."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import keras
import numpy as np
import pytest
from small_recipes import DOUBLE

from mien.bundle.classifier import Classifier
from mien.data.dataset import Dataset
from mien.errors import DataError, UsageError
from mien.labels import FER2013
from mien.training import dlib_trunk, fit, models, transfer
from mien.training.export import export

BLOCKS = ((3, 3, 3), (4, 4, 4, 4), (5, 5))


# One head, and no pictures of other sides.
PLAIN = dataclasses.replace(DOUBLE, votes_weight=0.0, soft_label_weight=0.0)


def packed(*sizes: int) -> bytes:
    """Whole numbers as dlib writes them: how many bytes follow, and those."""
    told = b""
    for size in sizes:
        length = max(1, -(-size.bit_length() // 8))
        told += bytes([length]) + size.to_bytes(length, "little")
    return told


def drawn_file(blocks: tuple[tuple[int, ...], ...]) -> tuple[bytes, list[np.ndarray]]:
    """A file in the form of dlib's with numbers drawn at random, and its tensors."""
    rng, channels, tensors, content = np.random.default_rng(0), 3, [], b"\x01\x02 a loss layer"
    for b, filters in enumerate(blocks):
        for c, width in enumerate(filters):
            size = 7 if b == c == 0 else 3
            kernel = rng.normal(0, 0.15, width * channels * size**2)
            scale, shift = rng.uniform(0.5, 1.5, width), rng.normal(0, 0.2, width)
            values = [np.append(kernel, rng.normal(0, 0.2, width)), np.append(scale, shift)]
            for one in values:
                tensors.append(one.astype("<f4"))
                content += b"a layer" + packed(2, len(one), 1, 1, 1) + tensors[-1].tobytes()
            channels = width
    return content, tensors


@pytest.fixture
def drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """The tensors of a drawn file, which stands for dlib's."""
    content, tensors = drawn_file(BLOCKS)
    (tmp_path / dlib_trunk.FILE).write_bytes(content)
    files = {dlib_trunk.FILE: hashlib.sha256(content).hexdigest()}
    monkeypatch.setattr(dlib_trunk, "WEIGHTS", dataclasses.replace(dlib_trunk.WEIGHTS, files=files))
    monkeypatch.setattr(dlib_trunk, "BLOCKS", BLOCKS)
    monkeypatch.setitem(dlib_trunk.FIELDS, "blocks", BLOCKS)
    monkeypatch.setenv("MIEN_DLIB", str(tmp_path))
    return tensors


def convolved(x: np.ndarray, tensors: list[np.ndarray], size: int, stride: int) -> np.ndarray:
    """dlib's convolution with its affine layer: (H, W, C) -> (H', W', F); of stride 1 padded."""
    values, affine = tensors.pop(0).astype(float), tensors.pop(0).astype(float)
    width = len(affine) // 2
    count = len(values) - width
    kernel = values[:count].reshape(width, x.shape[-1], size, size)
    if stride == 1:
        x = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    seen = np.lib.stride_tricks.sliding_window_view(x, (size, size), (0, 1))[::stride, ::stride]
    y = np.einsum("hwcij,fcij->hwf", seen, kernel) + values[count:]
    return y * affine[:width] + affine[width:]


def plain(face: np.ndarray, tensors: list[np.ndarray]) -> np.ndarray:
    """What the last block answers to a gray face (96, 96), as dlib computes it, but for the padding
    where 22 places become 11.
    """
    tensors = list(tensors)
    x = (face[..., None] - np.array([122.782, 117.001, 104.298])) / 256
    x = np.maximum(convolved(x, tensors, 7, 2), 0)
    x = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (0, 1))[::2, ::2].max((-1, -2))
    for b, filters in enumerate(BLOCKS, 1):
        for pair in range(len(filters) // 2):
            if b > 1 and pair == 0:
                even = x.shape[0] // 2 * 2
                means = x[:even, :even].reshape(even // 2, 2, even // 2, 2, -1).mean((1, 3))
                given = np.pad(means, ((0, 0), (0, 0), (0, filters[0] - x.shape[-1])))
                y = np.pad(x, ((0, 1), (0, 1), (0, 0))) if x.shape[0] % 2 == 0 else x
                y = convolved(y, tensors, 3, 2)
            else:
                given, y = x, convolved(x, tensors, 3, 1)
            x = np.maximum(given + convolved(np.maximum(y, 0), tensors, 3, 1), 0)
    assert not tensors
    return x


def large(faces: Dataset) -> np.ndarray:
    return faces.resized(96).part("training").images


def test_the_network_answers_as_dlibs_does(drawn: list[np.ndarray], faces: Dataset) -> None:
    recipe = transfer.begin(dataclasses.replace(PLAIN, init="dlib")).recipe
    folded = models.build_folded(recipe, models.heads(recipe, FER2013))
    for name, values in dlib_trunk.weights().items():
        folded.get_layer(name).set_weights(values)
    images = large(faces)[:3]
    trunk = keras.Model(folded.input, folded.get_layer("relu3_2").output)
    found = np.asarray(trunk(images.astype(np.float32)))
    assert found.shape == (3, 5, 5, 5)
    for face, answer in zip(images, found, strict=True):
        np.testing.assert_allclose(answer, plain(face[..., 0].astype(float), drawn), atol=1e-3)


def test_with_batch_norm_it_begins_as_that(drawn: list[np.ndarray], faces: Dataset) -> None:
    start = transfer.begin(dataclasses.replace(PLAIN, init="dlib"))
    heads = models.heads(start.recipe, FER2013)
    network, folded = models.build(start.recipe, FER2013), models.build_folded(start.recipe, heads)
    images = large(faces)
    start.put(network, heads, images)
    for name, values in dlib_trunk.weights().items():
        folded.get_layer(name).set_weights(values)
    some = images[:8].astype(np.float32)
    found, expected = (
        np.asarray(keras.Model(one.input, one.get_layer("mean").output)(some))
        for one in (network, folded)
    )
    assert expected.std() > 0.01
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_it_learns_and_is_exported(drawn: list[np.ndarray], faces: Dataset, tmp_path: Path) -> None:
    recipe = dataclasses.replace(PLAIN, init="dlib", max_epochs=2)
    run = fit.fit(faces, recipe, folder=tmp_path / "run")
    assert run.recipe.layout == "dlib" and run.recipe.input_side == 96
    assert run.facts["begun_from"]["name"] == "dlib"
    bundle = export(run, tmp_path / "it.zip")
    assert bundle.side == 96
    operators = {"Conv", "Relu", "Add", "MaxPool"}
    import onnx

    used = {node.op_type for node in onnx.load_from_string(bundle.model).graph.node}
    assert operators <= used and "Pad" not in used
    with Classifier(bundle) as classify:
        assert classify.replay_goldens() < 1e-3
    # A bundle of it can be begun from, and teaches.
    again = dataclasses.replace(recipe, init=str(tmp_path / "it.zip"), restore_batch_norm=True)
    more = fit.fit(faces, dataclasses.replace(again, max_epochs=1), folder=tmp_path / "more")
    assert more.recipe.layout == "dlib" and more.recipe.blocks == BLOCKS


def test_a_file_of_another_form(tmp_path: Path) -> None:
    path = tmp_path / dlib_trunk.FILE
    content, _ = drawn_file(BLOCKS)
    for wrong in (b"", content[:-100], content.replace(b"\x01\x02", b"\x01\x03")):
        path.write_bytes(wrong)
        with pytest.raises(
            DataError, match=r"got no tensor of .*Fix: name a folder with dlib_face"
        ):
            dlib_trunk.read_weights(path, BLOCKS)


def test_blocks_that_make_no_pairs_are_refused() -> None:
    for changes in (
        {"blocks": ((4,), (4,))},
        {"input_side": 48},
        {"dense": 8, "stages": ((1.0, 48),)},
    ):
        fields = {"blocks": BLOCKS, "input_side": 96, "layout": "dlib", **changes}
        with pytest.raises(UsageError, match=r"layout: got dlib with .*Fix: init=dlib"):
            dataclasses.replace(PLAIN, **fields)


@pytest.mark.parametrize("side", [24, 32, 40])
def test_smaller_faces_that_8_divides_fit_the_pairs(side: int) -> None:
    recipe = dataclasses.replace(PLAIN, blocks=BLOCKS, input_side=96, layout="dlib", dense=0)
    network = models.build(recipe, FER2013, any_side=True)
    assert network(np.zeros((1, 2 * side, 2 * side, 1), "f4")).shape == (1, 7)


def test_stages_that_do_not_fit_the_pairs_are_refused() -> None:
    with pytest.raises(UsageError, match=r"stages: got .*36.*divisible by 8.*Fix: give such"):
        dataclasses.replace(PLAIN, init="dlib", stages=((0.4, 36), (1.0, 48)))
