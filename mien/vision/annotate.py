"""Draw predictions on a copy of a picture: boxes, labels with percentages, bars of all
probabilities.

An uncertain prediction has a dashed box, a question mark, and the reason below its label. Colours
are those of the label set, but colour alone never carries meaning. No label covers another label or
another face; a label without room near its face is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mien.errors import UsageError
from mien.labels import LabelSet
from mien.results import Face
from mien.vision.fonts import Letters

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

_PLATE, _INK, _DIM = (16, 16, 16, 215), (255, 255, 255, 255), (120, 120, 120, 255)
_REASON = (255, 214, 150, 255)
_MIN_FONT_PX = 11
_RINGS = 6  # greatest distance of a label from its face, in heights of the label


def annotate(image: np.ndarray, faces: Sequence[Face], labels: LabelSet) -> np.ndarray:
    """Draw faces onto a copy of a picture.

    Sizes follow the picture and the face: readable at 320 pixels and at 12 megapixels. The label
    stands above its box, or else below, beside or near it with a line to it. It stands in the box
    only if the face fills the picture. The bars stand beside the box, if there is room.

    Args:
        image: uint8 RGB (H, W, 3).
        faces: The faces in it. Several faces without tracks are numbered from 0, as in tables.
        labels: The label set, for the colours.

    Returns:
        uint8 RGB (H, W, 3).

    Raises:
        UsageError: if the picture has another shape or type.
    """
    from PIL import Image, ImageDraw

    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise UsageError(
            f"annotate: got {image.dtype} {image.shape}; expected uint8 RGB (H, W, 3). Fix: "
            "convert it, for example with mien.vision.image.load_image"
        )
    if not faces:
        return image.copy()
    canvas = Image.fromarray(image)
    pen = ImageDraw.Draw(canvas, "RGBA")
    height, width = image.shape[:2]
    short = min(height, width)
    sizes = [
        max(_MIN_FONT_PX, short / 70, min(short / 28, 0.3 * (face.box[3] - face.box[1])))
        for face in faces
    ]
    for face, size in zip(faces, sizes, strict=True):
        _box(pen, face, labels.colour(labels.index(face.label)), max(2, round(size / 8)))
    room = _Room((width, height), [face.box for face in faces])
    # The largest faces choose first: they have the least room around them.
    order = sorted(range(len(faces)), key=lambda i: faces[i].box[1] - faces[i].box[3])
    number = len(faces) > 1
    places = [(i, _place_label(faces[i], sizes[i], room, i if number else None)) for i in order]
    placed = [(faces[i], *place) for i, place in places if place is not None]
    for face, plate, place in placed:
        colour = labels.colour(labels.index(face.label))
        _line_to(pen, place, face.box, colour, plate.pad)
    for face, plate, place in placed:
        plate.draw(pen, place, labels.colour(labels.index(face.label)))
    for i in order:
        _bars(pen, faces[i], labels, sizes[i], room)
    return np.array(canvas)


class _Room:
    """The parts of a picture that faces and drawings occupy."""

    def __init__(self, size: tuple[int, int], boxes: Sequence[tuple[float, ...]]) -> None:
        self.size = size
        self._occupied = np.array(boxes, np.float64).reshape(-1, 4)

    def first(self, places: np.ndarray, box: tuple[float, ...], *, on_it: bool) -> int | None:
        """Index of the first of the places (n, 4) around a face's box that is inside the picture
        and free, as is the line from it to the box; None if there is none. With `on_it` the place
        may cover the face itself.
        """
        others = self._occupied[np.abs(self._occupied - np.array(box)).max(axis=1) > 0]
        obstacles = others if on_it else self._occupied
        inside = (
            (places[:, :2] >= 0).all(1)
            & (places[:, 2] <= self.size[0])
            & (places[:, 3] <= self.size[1])
        )
        free = np.flatnonzero(inside & ~_overlap(places, obstacles).any(1))
        for number in free:
            start, end = _connector(places[number], box)
            points = start + np.linspace(0, 1, 24)[:, None] * (end - start)
            if not _overlap(np.concatenate([points, points], 1), others).any():
                return int(number)
        return None

    def take(self, place: np.ndarray) -> None:
        self._occupied = np.concatenate([self._occupied, place[None]])


@dataclass(frozen=True)
class _Plate:
    """Lines of text on a dark plate with a stripe in the label's colour."""

    lines: tuple[tuple[Letters, str, tuple[int, ...]], ...]

    @property
    def pad(self) -> int:
        return max(2, round(self.lines[0][0].size / 5))

    @property
    def size(self) -> tuple[float, float]:
        wide = max(letters.length(text) for letters, text, _ in self.lines)
        return wide + 4 * self.pad, sum(1.15 * one.size for one, _, _ in self.lines) + 2 * self.pad

    def draw(self, pen: ImageDraw, place: np.ndarray, colour: str) -> None:
        left, top, right, bottom = (float(v) for v in place)
        pen.rectangle((left, top, right, bottom), fill=_PLATE)
        pen.rectangle((left, top, left + 2 * self.pad, bottom), fill=colour)
        y = top + self.pad
        for letters, text, ink in self.lines:
            y += 1.15 * letters.size
            middle = y - 0.575 * letters.size
            letters.draw(pen, (left + 3 * self.pad, middle), text, ink, "lm")


def _place_label(
    face: Face, size: float, room: _Room, number: int | None = None
) -> tuple[_Plate, np.ndarray] | None:
    """The label with its percentage, the reason if it is uncertain, and its place: near its face,
    smaller, farther away, without the reason, or on the face, whichever is free first.
    """
    who = "" if number is None else f"{number}: "
    if face.track is not None:
        who = "" if face.perhaps_no_face else f"#{face.track} "
    text = f"{who}{face.label}{'?' if face.uncertain else ''} {face[face.label]:.0%}"
    reasons = [part for part in face.reason.split("; ") if part] if face.uncertain else []
    full = []
    for scale in (1.0, 0.8, 0.64):
        large = Letters(max(_MIN_FONT_PX, round(scale * size)))
        small = Letters(max(_MIN_FONT_PX - 1, round(0.72 * scale * size)))
        full.append(_Plate(((large, text, _INK), *((small, one, _REASON) for one in reasons))))
    bare = [_Plate(plate.lines[:1]) for plate in full]
    for plates, where in (
        (full, "near"),
        (full, "far"),
        (bare, "near"),
        (bare, "far"),
        (full, "on it"),
        (bare, "on it"),
    ):
        for plate in dict.fromkeys(plates):
            places = _around(face.box, plate, room.size, where)
            index = room.first(places, face.box, on_it=where == "on it")
            if index is not None:
                room.take(places[index])
                return plate, places[index]
    return None


def _around(box: tuple[float, ...], plate: _Plate, size: tuple[int, int], where: str) -> np.ndarray:
    """float64 (n, 4): places for a plate `near` or `far` from a box or `on it`, the best first."""
    wide, high = plate.size
    x0, y0, x1, y1 = box
    gap = plate.pad + 1
    # A face may reach beyond the picture: use the part inside it.
    lefts = [min(max(x, 0), max(0, size[0] - wide)) for x in (x0, x1 - wide)]
    if where == "on it":
        tops = [max(y0, 0) + gap, min(y1, size[1]) - high - gap]
        corners = [(left, top) for top in tops for left in lefts]
    elif where == "near":
        tops = [min(max(y, 0), max(0, size[1] - high)) for y in (y0, y1 - high)]
        corners = [(left, top) for top in (y0 - high - gap, y1 + gap) for left in lefts]
        corners += [(left, top) for left in (x1 + gap, x0 - wide - gap) for top in tops]
    else:
        corners = []
        for ring in range(1, _RINGS + 1):
            away = ring * high
            columns = np.linspace(x0 - wide - away, x1 + away, 9)
            rows = np.linspace(y0 - high - away, y1 + away, 9)
            corners += [(x, y) for y in (rows[0], rows[-1]) for x in columns]
            corners += [(x, y) for x in (columns[0], columns[-1]) for y in rows]
    return np.array([(left, top, left + wide, top + high) for left, top in corners])


def _overlap(places: np.ndarray, others: np.ndarray) -> np.ndarray:
    """bool (n, m): whether each place overlaps each of the others."""
    places, others = places[:, None], others[None]
    return np.asarray(
        ((places[..., :2] < others[..., 2:]) & (others[..., :2] < places[..., 2:])).all(-1)
    )


def _connector(place: np.ndarray, box: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The points of a plate and of its box that are nearest to each other."""
    low, high = np.array(box[:2]), np.array(box[2:])
    end = np.clip((place[:2] + place[2:]) / 2, low, high)
    start = np.clip(end, place[:2], place[2:])
    return start, np.clip(start, low, high)


def _line_to(
    pen: ImageDraw, place: np.ndarray, box: tuple[float, ...], colour: str, gap: int
) -> None:
    """Draw a line from a plate to its box, if they do not touch."""
    start, end = _connector(place, box)
    if np.abs(end - start).max() > 2 * gap:
        for fill, width in (((0, 0, 0, 200), gap // 2 + 2), (colour, max(1, gap // 2))):
            pen.line((*start, *end), fill=fill, width=width)


def _box(pen: ImageDraw, face: Face, colour: str, line: int) -> None:
    """Draw the box in the label's colour with dark edges, dashed if the prediction is uncertain."""
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


def _bars(pen: ImageDraw, face: Face, labels: LabelSet, size: float, room: _Room) -> None:
    """Draw a panel with a bar for each label beside the box, if there is room."""
    letters = Letters(max(_MIN_FONT_PX, round(0.72 * size)))
    pad = max(2, round(letters.size / 4))
    names = max(letters.length(name) for name in face.labels)
    bar, row = 3.0 * letters.size, letters.size * 1.1
    wide, high = names + bar + 3 * pad, row * len(face.labels) + 2 * pad
    x0, y0, x1, y1 = face.box
    top = min(max(y0, 0), room.size[1] - high)
    left = min(max(x0, 0), room.size[0] - wide)
    corners = ((x1 + 2 * pad, top), (x0 - wide - 2 * pad, top), (left, y1 + 2 * pad))
    places = np.array([(x, y, x + wide, y + high) for x, y in corners])
    index = room.first(places, face.box, on_it=False)
    if index is None:
        return
    place = places[index]
    room.take(place)
    pen.rectangle(tuple(place), fill=_PLATE)
    for number, (name, probability) in enumerate(face.probabilities.items()):
        y = place[1] + pad + row * number
        letters.draw(pen, (place[0] + pad, y + row / 2), name, _INK, "lm")
        x = place[0] + names + 2 * pad
        top, bottom = y + 0.15 * row, y + 0.85 * row - 1
        pen.rectangle((x, top, x + bar, bottom), fill=(70, 70, 70, 255))
        if probability * bar >= 0.5:
            colour = labels.colour(labels.index(name))
            pen.rectangle((x, top, x + probability * bar, bottom), fill=colour)
        pen.line((x, top, x, bottom), fill=_DIM)
