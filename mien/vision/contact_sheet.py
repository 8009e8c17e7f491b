"""Contact sheets: many small faces in one picture, each with a caption."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mien.errors import UsageError
from mien.vision.fonts import Letters

_PAPER, _INK = (255, 255, 255), (34, 34, 34)
_GAP, _MARGIN, _LINE = 6, 10, 13  # pixels between cells, around the sheet, and for a line of text


def contact_sheet(
    images: np.ndarray,
    captions: Sequence[str] = (),
    *,
    columns: int = 8,
    scale: int = 2,
    together: int = 1,
    title: str = "",
) -> np.ndarray:
    """Lay out faces row by row.

    Args:
        images: uint8 (N, H, W, 1), N at least 1.
        captions: One for each image, or none; a newline starts another line, long lines are cut.
        columns: Cells in a row.
        scale: Whole-number enlargement of the faces.
        together: Neighbours that belong together (2 for pairs); a wider gap follows each group.
        title: A line above the faces.

    Returns:
        uint8 RGB (H', W', 3).

    Raises:
        UsageError: if the shapes or counts do not fit.
    """
    from PIL import Image, ImageDraw

    _check_sheet(images, captions, (columns, scale, together))
    letters = Letters(10)
    columns = min(columns, -(-len(images) // together) * together)
    height, width = int(images.shape[1]) * scale, int(images.shape[2]) * scale
    text = _LINE * max((caption.count("\n") + 1 for caption in captions), default=0)
    head = 2 * _LINE if title else 0
    num_rows = -(-len(images) // columns)

    def left(column: int) -> int:
        return (
            _MARGIN
            + column * (width + _GAP)
            + (column // together) * (_GAP * 2 if together > 1 else 0)
        )

    sheet = Image.new(
        "RGB",
        (
            left(columns - 1) + width + _MARGIN,
            2 * _MARGIN + head + num_rows * (height + text + _GAP) - _GAP,
        ),
        _PAPER,
    )
    pen = ImageDraw.Draw(sheet)
    if title:
        title = letters.fitting(title, sheet.width - 2 * _MARGIN)
        letters.draw(pen, (_MARGIN, _MARGIN), title, _INK)
    for index, image in enumerate(images):
        x, y = left(index % columns), _MARGIN + head + (index // columns) * (height + text + _GAP)
        face = Image.fromarray(np.ascontiguousarray(image[:, :, 0])).resize(
            (width, height), Image.Resampling.BICUBIC
        )
        sheet.paste(face.convert("RGB"), (x, y))
        if captions:
            for line, words in enumerate(captions[index].split("\n")):
                place = (x, y + height + 1 + line * _LINE)
                letters.draw(pen, place, letters.fitting(words, width), _INK)
    return np.asarray(sheet)


def _check_sheet(images: np.ndarray, captions: Sequence[str], sizes: tuple[int, int, int]) -> None:
    columns, scale, together = sizes
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 1 or len(images) == 0:
        raise UsageError(
            f"contact sheet: got {images.dtype} {images.shape}; expected uint8 (N, H, W, 1), N at "
            "least 1. Fix: convert and reshape the images"
        )
    if captions and len(captions) != len(images):
        raise UsageError(
            f"contact sheet: got {len(captions)} captions for {len(images)} images; expected one "
            "for each. Fix: give a caption for each image, or none at all"
        )
    if min(sizes) < 1 or columns % together:
        raise UsageError(
            f"contact sheet: got columns {columns}, scale {scale}, together {together}; "
            "expected each to be at least 1, and columns a multiple of together. Fix: change them"
        )


def explanation_sheet(face: np.ndarray, heat: np.ndarray, caption: str) -> np.ndarray:
    """A face beside its occlusion map, with a caption under both.

    Args:
        face: uint8 (S, S, 1).
        heat: float (S, S), decreases of the log-odds, from `Recognizer.explain`.
        caption: The prediction.

    Returns:
        uint8 RGB (H, W, 3).
    """
    from PIL import Image, ImageDraw

    from mien.vision.explain import FAINT_LOG_ODDS, overlay

    side = 192
    letters = Letters(12)
    sheet = Image.new("RGB", (2 * side + 3 * _MARGIN, side + 2 * _MARGIN + 3 * _LINE + 6), _PAPER)
    plain = Image.fromarray(np.ascontiguousarray(face[..., 0])).resize(
        (side, side), Image.Resampling.BICUBIC
    )
    sheet.paste(plain.convert("RGB"), (_MARGIN, _MARGIN))
    map_over_face = overlay(face, heat, side=side, faint=FAINT_LOG_ODDS)
    sheet.paste(Image.fromarray(map_over_face), (2 * _MARGIN + side, _MARGIN))
    pen = ImageDraw.Draw(sheet)
    strongest = float(heat.flat[np.abs(heat).argmax()])
    change = "divides" if strongest > 0 else "multiplies"
    lines = (
        caption,
        "orange supports it, blue opposes it",
        f"blurring the strongest place {change} its odds by {np.exp(abs(strongest)):.1f}",
    )
    for number, line in enumerate(lines):
        y = side + _MARGIN + 4 + number * (_LINE + 2)
        line = letters.fitting(line, sheet.width - 2 * _MARGIN)
        letters.draw(pen, (_MARGIN, y), line, _INK)
    return np.asarray(sheet)
