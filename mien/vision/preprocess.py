"""Turn a face into the input of a network: gray uint8 of S x S pixels.

Colour becomes gray with the weights of ITU-R BT.601, rounded as Pillow rounds them. Other sizes are
shrunk by area averaging and enlarged linearly. Data sets and photographs are treated alike.
"""

from __future__ import annotations

import numpy as np

from mien.constants import FACE_SIDE


def gray(rgb: np.ndarray) -> np.ndarray:
    """uint8 (H, W) from uint8 RGB (H, W, 3); the values of Pillow's `convert("L")`."""
    from PIL import Image

    return np.asarray(Image.fromarray(np.ascontiguousarray(rgb)).convert("L"))


def resized(image: np.ndarray, side: int = FACE_SIDE) -> np.ndarray:
    """uint8 (side, side) from uint8 (H, W): averaged along an axis that shrinks, interpolated
    linearly along one that grows.
    """
    import cv2

    height, width = image.shape
    if height > side or width > side:
        image = cv2.resize(
            image, (min(width, side), min(height, side)), interpolation=cv2.INTER_AREA
        )
    if image.shape != (side, side):
        image = cv2.resize(image, (side, side), interpolation=cv2.INTER_LINEAR)
    return np.asarray(image, np.uint8)


def all_resized(faces: np.ndarray, side: int) -> np.ndarray:
    """uint8 (N, side, side, 1) from uint8 (N, S, S, 1), each as `resized` does it."""
    if faces.shape[1] == side:
        return faces
    pixels = [resized(face[..., 0], side) for face in faces]
    return np.array(pixels, np.uint8).reshape(-1, side, side, 1)
