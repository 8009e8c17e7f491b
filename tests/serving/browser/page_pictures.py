"""Pictures for the tests of the page: drawn faces, and scikit-image's astronaut."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from mien.data.synthetic import draw_faces

FORMS = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "AVIF": "image/avif",
    "GIF": "image/gif",
    "BMP": "image/bmp",
}
COLUMNS, CELL, MARGIN = 5, 200, 30


def encoded(pixels: np.ndarray, form: str = "PNG") -> bytes:
    held = io.BytesIO()
    Image.fromarray(pixels).save(held, form)
    return held.getvalue()


def upload(data: bytes, form: str = "PNG", name: str = "") -> dict[str, Any]:
    """What Playwright takes for a chosen file."""
    kind = FORMS.get(form, "application/octet-stream")
    return {"name": name or f"picture.{form.lower()}", "mimeType": kind, "buffer": data}


def astronaut(side: int = 512) -> np.ndarray:
    from skimage.data import astronaut

    return np.asarray(Image.fromarray(astronaut()).resize((side, side), Image.Resampling.BICUBIC))


def crowd(num: int = 15, seed: int = 0, labels: Sequence[int] | None = None) -> np.ndarray:
    """RGB: drawn faces of 130 to 140 px in rows of five, each on its own ground."""
    chosen = np.arange(num) % 7 if labels is None else np.asarray(labels)
    faces = draw_faces(chosen, seed=seed)
    rows = -(-num // COLUMNS)
    canvas = np.full((rows * CELL, COLUMNS * CELL, 3), 128, np.uint8)
    tint = np.random.default_rng(seed)
    for i, face in enumerate(faces):
        large = Image.fromarray(face[..., 0]).resize(
            (CELL - 2 * MARGIN,) * 2, Image.Resampling.BICUBIC
        )
        y, x = (i // COLUMNS) * CELL + MARGIN, (i % COLUMNS) * CELL + MARGIN
        coloured = np.asarray(large, np.float32)[..., None] * tint.uniform(0.85, 1, 3)
        canvas[y : y + CELL - 2 * MARGIN, x : x + CELL - 2 * MARGIN] = coloured.astype(np.uint8)
    return canvas


def person(step: int, num_steps: int = 40, *, label: int = 3, seed: int = 5) -> np.ndarray:
    """RGB (480, 640): a drawn face that moves across the picture."""
    face = draw_faces(np.array([label]), seed=seed)[0, ..., 0]
    large = np.asarray(Image.fromarray(face).resize((240, 240), Image.Resampling.BICUBIC))
    picture = np.full((480, 640, 3), 120, np.uint8)
    x = 40 + 320 * step // max(1, num_steps - 1)
    picture[120:360, x : x + 240] = large[..., None]
    return picture
