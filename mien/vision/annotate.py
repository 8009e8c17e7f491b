"""Answers drawn onto a copy of a picture: boxes, labels with percent, and bars of all
probabilities.

An uncertain answer has a dashed box and a question mark. Colours are those of the label set, but
nothing is told by colour alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mien.errors import UsageError
from mien.labels import LabelSet
from mien.results import Face

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

_PLATE, _INK, _DIM = (16, 16, 16, 215), (255, 255, 255, 255), (120, 120, 120, 255)
_LEAST_FONT = 11  # pixels

Rectangle = tuple[float, float, float, float]


def annotate(image: np.ndarray, faces: Sequence[Face], labels: LabelSet) -> np.ndarray:
    """Draw faces onto a copy of a picture.

    Sizes follow the picture and the face: readable at 320 pixels and at 12 megapixels. The label
    stands above the box, else below, else in it. The bars stand beside the box, or are left out
    where they would cover another face.

    Args:
        image: uint8 RGB (H, W, 3).
        faces: What was found in it; empty for none.
        labels: For the colours.

    Returns:
        uint8 RGB (H, W, 3).

    Raises:
        UsageError: if the picture has another shape or type.
    """
    from PIL import Image, ImageDraw, ImageFont

    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise UsageError(
            f"annotate: came {image.dtype} {image.shape}; expected uint8 RGB (H, W, 3)"
        )
    if not faces:
        return image.copy()
    canvas = Image.fromarray(image)
    pen = ImageDraw.Draw(canvas, "RGBA")
    height, width = image.shape[:2]
    short = min(height, width)
    taken: list[Rectangle] = []
    fonts: dict[int, FreeTypeFont] = {}

    def font(size: float) -> FreeTypeFont:
        pixels = max(_LEAST_FONT, round(size))
        if pixels not in fonts:
            loaded = ImageFont.load_default(size=pixels)
            assert isinstance(loaded, ImageFont.FreeTypeFont)  # noqa: S101 - Pillow gives it wherever a size is given
            fonts[pixels] = loaded
        return fonts[pixels]

    sizes = [
        max(_LEAST_FONT, short / 70, min(short / 28, 0.3 * (face.box[3] - face.box[1])))
        for face in faces
    ]
    for face, size in zip(faces, sizes, strict=True):
        _box(pen, face, labels.colour(labels.index(face.label)), max(2, round(size / 8)))
    boxes = [face.box for face in faces]
    for index, (face, size) in enumerate(zip(faces, sizes, strict=True)):
        others = [*boxes[:index], *boxes[index + 1 :], *taken]
        taken.append(_plate(pen, face, labels, font(size), (width, height), others))
    for index, (face, size) in enumerate(zip(faces, sizes, strict=True)):
        others = [*boxes[:index], *boxes[index + 1 :], *taken]
        panel = _bars(pen, face, labels, font(0.72 * size), (width, height), others)
        if panel:
            taken.append(panel)
    return np.array(canvas)


def _box(pen: ImageDraw, face: Face, colour: str, line: int) -> None:
    """The box: a line in the label's colour with a dark one on either side, dashed where uncertain."""
    x0, y0, x1, y1 = (round(value) for value in face.box)
    corners = ((x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0))
    dash = 5 * line if face.uncertain else 0
    for fill, wide in (((0, 0, 0, 200), line + 2 * max(1, line // 3)), (colour, line)):
        half = wide / 2
        for (ax, ay), (bx, by) in zip(corners, corners[1:], strict=False):
            length = abs(bx - ax) + abs(by - ay)
            if length == 0:
                continue
            step_x, step_y = (bx - ax) / length, (by - ay) / length
            for start in range(0, length, 2 * dash) if dash else (0,):
                end = min(start + dash, length) if dash else length
                px, qx = sorted((ax + step_x * start, ax + step_x * end))
                py, qy = sorted((ay + step_y * start, ay + step_y * end))
                pen.rectangle((px - half, py - half, qx + half - 1, qy + half - 1), fill=fill)


def _plate(
    pen: ImageDraw,
    face: Face,
    labels: LabelSet,
    font: FreeTypeFont,
    size: tuple[int, int],
    others: Sequence[Rectangle],
) -> Rectangle:
    """The label with percent; returns where it stands: clear of others where it can be."""
    who = "" if face.track is None else f"#{face.track} "
    text = f"{who}{face.label}{'?' if face.uncertain else ''} {max(face.probabilities):.0%}"
    pad = max(2, round(font.size / 5))
    stripe = 2 * pad
    wide, high = font.getlength(text) + stripe + 2 * pad, font.size + 2 * pad
    x0, y0, x1, y1 = face.box
    # A face may reach beyond the picture: stay with the part that is in it.
    lefts = [min(max(x, 0), max(0, size[0] - wide)) for x in (x0, x1 - wide)]
    tops = (y0 - high - pad, y1 + pad, max(y0, 0) + pad, min(y1, size[1]) - high - pad)
    places = [(left, top, left + wide, top + high) for top in tops for left in lefts]
    inside = [place for place in places if place[1] >= 0 and place[3] <= size[1]]
    if not inside:
        top = min(max(y0, 0), max(0, size[1] - high))
        inside = [(lefts[0], top, lefts[0] + wide, top + high)]
    place = next(
        (place for place in inside if not any(_meet(place, other) for other in others)), inside[0]
    )
    pen.rectangle(place, fill=_PLATE)
    pen.rectangle(
        (place[0], place[1], place[0] + stripe, place[3]),
        fill=labels.colour(labels.index(face.label)),
    )
    pen.text(
        (place[0] + stripe + pad, place[1] + high / 2), text, fill=_INK, font=font, anchor="lm"
    )
    return place


def _bars(
    pen: ImageDraw,
    face: Face,
    labels: LabelSet,
    font: FreeTypeFont,
    size: tuple[int, int],
    others: Sequence[Rectangle],
) -> Rectangle | None:
    """A panel with a bar for each label; returns where it stands, or None where there is no room."""
    pad = max(2, round(font.size / 4))
    names = max(font.getlength(name) for name in face.labels)
    bar, row = 3.0 * font.size, font.size * 1.1
    wide, high = names + bar + 3 * pad, row * len(face.labels) + 2 * pad
    place = next(
        (
            place
            for place in _beside(face.box, wide, high, pad, size)
            if not any(_meet(place, other) for other in others)
        ),
        None,
    )
    if place is None:
        return None
    pen.rectangle(place, fill=_PLATE)
    for index, (name, probability) in enumerate(zip(face.labels, face.probabilities, strict=True)):
        y = place[1] + pad + row * index
        pen.text((place[0] + pad, y + row / 2), name, fill=_INK, font=font, anchor="lm")
        x = place[0] + names + 2 * pad
        top, bottom = y + 0.15 * row, y + 0.85 * row - 1
        pen.rectangle((x, top, x + bar, bottom), fill=(70, 70, 70, 255))
        if probability * bar >= 0.5:
            pen.rectangle(
                (x, top, x + probability * bar, bottom), fill=labels.colour(labels.index(name))
            )
        pen.line((x, top, x, bottom), fill=_DIM)
    return place


def _beside(
    box: Rectangle, wide: float, high: float, gap: float, size: tuple[int, int]
) -> Iterator[Rectangle]:
    """Places of a panel at the right, the left and below of a box that lie in the picture."""
    x0, y0, x1, y1 = box
    top = min(max(y0, 0), size[1] - high)
    left = min(max(x0, 0), size[0] - wide)
    for x, y in ((x1 + 2 * gap, top), (x0 - wide - 2 * gap, top), (left, y1 + 2 * gap)):
        if x >= 0 and y >= 0 and x + wide <= size[0] and y + high <= size[1]:
            yield (x, y, x + wide, y + high)


def _meet(one: Rectangle, other: Rectangle) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
