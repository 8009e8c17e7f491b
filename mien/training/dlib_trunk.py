"""Start training from dlib's face-recognition network.

A residual network of 29 convolutions (He et al. 2015, https://arxiv.org/abs/1512.03385, with half
of the filters), trained by Davis King on three million faces to tell people apart, CC0
(https://github.com/davisking/dlib-models). Its weights are read from the package
`face-recognition-models`, without importing it. Up to the block of 128 filters a face of 96 px
costs 89 million multiply-adds.

    block 1     7x7 convolution of stride 2, 3x3 pooling of stride 2, three pairs of convolutions
    block b     a pair whose first convolution has stride 2, then more pairs

Each pair adds its output to its input. Where a pair halves the side, dlib adds the means of 2x2
places instead, and zeros for the new channels. Here that is a convolution, `conv{b}_0`, whose
initial weights do the same.
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
BLOCKS = ((32,) * 7, (64,) * 8, (128,) * 6)  # up to dlib's blocks of 128 filters
# Fields of a recipe that starts from it: the whole network is trained, with batch norms.
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
MEAN = (122.782, 117.001, 104.298)  # of red, green and blue; subtracted, then divided by 256

# Tensor, name, filters, side of the kernel, stride, padding -> tensor.
Convolved = Callable[[Any, str, int, int, int, str], Any]


def features(x: Any, blocks: Sequence[Sequence[int]], convolved: Convolved, **options: Any) -> Any:
    """The trunk as Keras layers: scaled faces (N, 96, 96, 1) -> features (N, 5, 5, 128).

    Args:
        x: A Keras tensor.
        blocks: Filters of the convolutions, a list for each block.
        convolved: Makes a convolution, with batch norm or a bias.
        options: Options of the other layers, such as their dtype.
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
            # A side of 22 (faces of 96 px) becomes 11 with padding; 11 becomes 5 without.
            window = (2, "same" if b == 2 else "valid") if halves else (1, "same")
            shortcut = convolved(x, f"conv{b}_0", width, 2, 2, "valid") if halves else x
            y = relu(convolved(x, f"conv{b}_{c}", width, 3, *window), f"relu{b}_{c}")
            y = convolved(y, f"conv{b}_{c + 1}", width, 3, 1, "same")
            total = layers.Add(name=f"add{b}_{c + 1}", **options)([shortcut, y])
            x = relu(total, f"relu{b}_{c + 1}")
    return x


def graph_order(name: str) -> tuple[float, float]:
    """A sort key that puts layers in the order of the ONNX graph.

    `conv{b}_0` follows the pair whose shortcut it is; other layers than convolutions come last.
    """
    block, _, number = name.removeprefix("conv").partition("_")
    return (float(block), float(number) or 2.5) if number.isdigit() else (math.inf, 0.0)


def weights() -> dict[str, list[np.ndarray]]:
    """dlib's weights for the convolutions of `features`, for gray faces scaled as (x - 128) / 64.

    Returns:
        Name of the layer -> kernel (h, w, in, out) and bias (out,), float32.

    Raises:
        DataError: if the file is damaged or not dlib's.
        DownloadError: if it is not available.
    """
    folder = folder_with(WEIGHTS, _installed())
    return read_weights(folder / FILE, BLOCKS)


def _installed() -> list[Path]:
    """The folders of the installed package with the file; no code of the package is run."""
    spec = importlib.util.find_spec("face_recognition_models")
    folders = spec.submodule_search_locations if spec else None
    return [Path(folder) / "models" for folder in folders or ()]


def read_weights(path: Path, blocks: Sequence[Sequence[int]]) -> dict[str, list[np.ndarray]]:
    """The weights in a file, as `weights` returns them; tensors after these blocks are ignored.

    Raises:
        DataError: if the file lacks tensors of these blocks.
    """
    next_tensor = _tensor_reader(path)
    layer_weights, channels = dict[str, list[np.ndarray]](), 3
    for b, filters in enumerate(blocks, 1):
        if b > 1:
            mean = np.zeros((2, 2, channels, filters[0]), np.float32)
            mean[:, :, range(channels), range(channels)] = 0.25
            shortcut = [mean, np.zeros(filters[0], np.float32)]
        for c, width in enumerate(filters, 1):
            side = 7 if b == c == 1 else 3
            count = width * channels * side**2
            values, affine = next_tensor(count + width), next_tensor(2 * width)
            kernel = values[:count].reshape(width, channels, side, side).transpose(2, 3, 1, 0)
            scale, shift = affine[:width], affine[width:]
            layer_weights[f"conv{b}_{c}"] = [kernel * scale, values[count:] * scale + shift]
            channels = width
            if b > 1 and c == 2:
                layer_weights[f"conv{b}_0"] = shortcut
    kernel, bias = layer_weights["conv1_1"]
    # The input u is (x - 128) / 64 in one channel; dlib's is (x - mean) / 256 in three.
    offset = (128 - np.array(MEAN, np.float32)) / 256
    bias = bias + np.einsum("hwcf,c->f", kernel, offset)
    layer_weights["conv1_1"] = [kernel.sum(axis=2, keepdims=True) * np.float32(64 / 256), bias]
    return layer_weights


def _tensor_reader(path: Path) -> Callable[[int], np.ndarray]:
    """A function that returns the next tensor with a given number of values in a file of dlib.

    A tensor starts with its version, 2, and four sizes, each stored as a byte with the number of
    bytes that follow. The values are float32.
    """
    content = path.read_bytes()
    position = 0

    def starts() -> Iterator[int]:
        nonlocal position
        while (position := content.find(b"\x01\x02", position)) >= 0:
            yield position
            position += 1

    def next_tensor(count: int) -> np.ndarray:
        nonlocal position
        for start in starts():
            at, sizes = start + 2, []
            for _ in range(4):
                length = content[at] if at < len(content) else 0
                sizes.append(int.from_bytes(content[at + 1 : at + 1 + length], "little"))
                at += 1 + length
            if math.prod(sizes) == count and at + 4 * count <= len(content):
                position = at + 4 * count
                return np.frombuffer(content, "<f4", count, at)
        raise DataError(
            path,
            got=f"no tensor of {count:,} numbers after the ones before it",
            expected=f"dlib's network as in {WEIGHTS.url}",
            fix=(
                f"name a folder with {FILE} in {WEIGHTS.variable}, or unset it and let mien fetch "
                "it"
            ),
        )

    return next_tensor
