"""dlib's face-recognition network as a trunk: it knows faces, though no expressions, before it
begins.

29 convolutions (He et al. 2015, https://arxiv.org/abs/1512.03385, with half of the filters),
trained by Davis King on three million faces to tell persons apart, CC0
(https://github.com/davisking/dlib-models). The package `face-recognition-models` holds its
weights; they are read without importing it. Up to its block of 128 filters a face of 96 px costs
89 million multiply-adds.

    block 1     7x7 convolution of stride 2, 3x3 pooling of stride 2, three pairs of convolutions
    block b     a pair whose first has stride 2, then more pairs

Each pair adds its answer to what it was given. Where it halves the side, dlib adds the means of 2x2
places, and zeros for the new channels: here that is a convolution, `conv{b}_0`, which begins as it.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from keras import layers

from mien.errors import DataError
from mien.training.others_weights import Weights, folder_with

NAME = "dlib"
_FOLDER = "face_recognition_models-0.3.0/face_recognition_models/models"
FILE = "dlib_face_recognition_resnet_model_v1.dat"
WEIGHTS = Weights(
    name=NAME,
    url=(
        "https://files.pythonhosted.org/packages/cf/3b/4fd8c534f6c0d1b80ce0973d01331525538045084c73c153ee6df20224cf/face_recognition_models-0.3.0.tar.gz"
    ),
    sha256="b79bd200a88c87c9a9d446c990ae71c5a626d1f3730174e6d570157ff1d896cf",
    megabytes=100,
    files={f"{_FOLDER}/{FILE}": "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"},
    variable="MIEN_DLIB",
)
DIGEST = WEIGHTS.files[f"{_FOLDER}/{FILE}"]
SIDE = 96  # pixels of the faces
BLOCKS = ((32,) * 7, (64,) * 8, (128,) * 6)  # up to what dlib calls its blocks of 128 filters
# Of a recipe that begins with it: all of it learns, with batch norms.
FIELDS: dict[str, Any] = {
    "backbone": "",
    "blocks": BLOCKS,
    "layout": NAME,
    "dense": 0,
    "residual": False,
    "centre": True,
    "input_side": SIDE,
    "restore_batch_norm": True,
}
MEAN = (122.782, 117.001, 104.298)  # of red, green and blue, taken away before the division by 256

# Tensor, name, filters, side of the kernel, stride, padding -> tensor.
Convolved = Callable[[Any, str, int, int, int, str], Any]


def features(x: Any, blocks: Sequence[Sequence[int]], convolved: Convolved, **options: Any) -> Any:
    """Faces (N, 96, 96, 1), scaled -> what the last block answers, (N, 5, 5, 128).

    Args:
        x: A Keras tensor.
        blocks: Filters of the convolutions, a list for each block.
        convolved: Makes a convolution, with batch norm or a bias.
        options: Of the other layers.
    """

    def relu(x: Any, name: str) -> Any:
        return layers.ReLU(name=name, **options)(x)

    for b, filters in enumerate(blocks, 1):
        width, first = filters[0], 1
        if b == 1:
            x = relu(convolved(x, "conv1_1", width, 7, 2, "valid"), "relu1_1")
            x = layers.MaxPooling2D(3, 2, name="pool1", **options)(x)
            first = 2
        for c in range(first, len(filters), 2):
            halves = b > 1 and c == 1
            # Of faces of 96 px: 22 places a side, which pad to 11 and, not padded, become 5.
            inside = (2, "same" if b == 2 else "valid") if halves else (1, "same")
            given = convolved(x, f"conv{b}_0", width, 2, 2, "valid") if halves else x
            y = relu(convolved(x, f"conv{b}_{c}", width, 3, *inside), f"relu{b}_{c}")
            y = convolved(y, f"conv{b}_{c + 1}", width, 3, 1, "same")
            x = relu(layers.Add(name=f"add{b}_{c + 1}", **options)([given, y]), f"relu{b}_{c + 1}")
    return x


def place(name: str) -> tuple[float, float]:
    """Where a layer stands in a graph: `conv{b}_0` behind the pair that it goes round, and what is
    no convolution behind all that are.
    """
    block, _, number = name.removeprefix("conv").partition("_")
    return (float(block), float(number) or 2.5) if number.isdigit() else (math.inf, 0.0)


def weights() -> dict[str, list[np.ndarray]]:
    """Name of each convolution of `features` -> kernel and bias that make it answer as dlib's does
    to gray faces, scaled as (x - 128) / 64.

    Raises:
        DataError: if the file is not what it claims to be.
        DownloadError: if it cannot be had.
    """
    folder = folder_with(WEIGHTS, _installed())
    return read_weights(folder / FILE, BLOCKS)


def _installed() -> list[Path]:
    """Where the package keeps the file, if it is installed; nothing of it is run."""
    found = importlib.util.find_spec("face_recognition_models")
    places = found.submodule_search_locations if found else None
    return [Path(one) / "models" for one in places or ()]


def read_weights(path: Path, blocks: Sequence[Sequence[int]]) -> dict[str, list[np.ndarray]]:
    """As `weights`, from a file; more tensors behind those of the blocks are passed over.

    Raises:
        DataError: if the tensors of these blocks are not in it.
    """
    tensors = _tensors(path)
    found, channels = dict[str, list[np.ndarray]](), 3
    for b, filters in enumerate(blocks, 1):
        if b > 1:
            mean = np.zeros((2, 2, channels, filters[0]), np.float32)
            mean[:, :, range(channels), range(channels)] = 0.25
            shortcut = [mean, np.zeros(filters[0], np.float32)]
        for c, width in enumerate(filters, 1):
            side = 7 if b == c == 1 else 3
            count = width * channels * side**2
            values, affine = tensors(count + width), tensors(2 * width)
            kernel = values[:count].reshape(width, channels, side, side).transpose(2, 3, 1, 0)
            scale, shift = affine[:width], affine[width:]
            found[f"conv{b}_{c}"] = [kernel * scale, values[count:] * scale + shift]
            channels = width
            if b > 1 and c == 2:
                found[f"conv{b}_0"] = shortcut
    kernel, bias = found["conv1_1"]
    # x = 64 u + 128 in all three channels, of which dlib takes (x - mean) / 256.
    offset = (128 - np.array(MEAN, np.float32)) / 256
    bias = bias + np.einsum("hwcf,c->f", kernel, offset)
    found["conv1_1"] = [kernel.sum(axis=2, keepdims=True) * np.float32(64 / 256), bias]
    return found


def _tensors(path: Path) -> Callable[[int], np.ndarray]:
    """A function that gives the next tensor of so many numbers in a file of dlib's.

    Before its float32 numbers a tensor has its version, 2, and four sizes. Each of these is a byte
    that says how many bytes follow, and those.
    """
    content = path.read_bytes()
    at = 0

    def starts() -> Iterator[int]:
        nonlocal at
        while (at := content.find(b"\x01\x02", at)) >= 0:
            yield at
            at += 1

    def following(count: int) -> np.ndarray:
        nonlocal at
        for start in starts():
            place, sizes = start + 2, []
            for _ in range(4):
                length = content[place] if place < len(content) else 0
                sizes.append(int.from_bytes(content[place + 1 : place + 1 + length], "little"))
                place += 1 + length
            if math.prod(sizes) == count and place + 4 * count <= len(content):
                at = place + 4 * count
                return np.frombuffer(content, "<f4", count, place)
        raise DataError(
            path,
            got=f"no tensor of {count:,} numbers after the ones before it",
            expected=f"dlib's network as in {WEIGHTS.url}",
            fix=(
                f"name a folder with {FILE} in {WEIGHTS.variable}, or unset it and let mien fetch "
                "it"
            ),
        )

    return following
