"""Pictures of timelines: one person, and all persons of a video."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

import numpy as np

from mien.vision.fonts import Letters
from mien.vision.patterns import fill

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

    from mien.video.timeline import Run, Timelines

_WIDTH, _ROW, _GAP, _MARGIN, _HEAD, _FOOT = 1200, 60, 10, 16, 58, 50  # pixels
_BAND = 34  # of a person in the overview
_PAPER, _INK, _DIM, _GRID, _AWAY = (
    (255, 255, 255),
    (30, 30, 30),
    (110, 110, 110),
    (214, 214, 214),
    (241, 241, 241),
)
_FONT, _SMALL, _LARGE = Letters(15), Letters(13), Letters(19)


class _Axis:
    """The time axis, between two edges in pixels."""

    def __init__(self, span: tuple[float, float], left: float) -> None:
        self.begin_s, self.end_s = span
        self.left, self.right = left, _WIDTH - _MARGIN - 8
        step = _nice_step((self.end_s - self.begin_s) / 10)
        first, last = math.ceil(self.begin_s / step), math.floor(self.end_s / step + 1e-9)
        self.ticks = [number * step for number in range(first, last + 1)]

    def x(self, time_s: float) -> float:
        share = (min(max(time_s, self.begin_s), self.end_s) - self.begin_s) / (
            self.end_s - self.begin_s
        )
        return self.left + (self.right - self.left) * share

    def rows(self, pen: ImageDraw, top: float, bottom: float, runs: list[Run]) -> None:
        """The background of a row: gray where nobody was seen, lines at the ticks."""
        pen.rectangle((self.left, top, self.right, bottom), fill=_AWAY)
        for run in runs:
            pen.rectangle((self.x(run.edges[0]), top, self.x(run.edges[-1]), bottom), fill=_PAPER)
        for tick in self.ticks:
            pen.line((self.x(tick), top, self.x(tick), bottom), fill=_GRID)

    def legend(self, pen: ImageDraw, y: float, text: str) -> None:
        for tick in self.ticks:
            pen.line((self.x(tick), y, self.x(tick), y + 5), fill=_DIM)
            _SMALL.draw(pen, (self.x(tick), y + 6), f"{tick:.10g}", _DIM, "ma")
        _SMALL.draw(pen, (self.right, y + 25), text, _DIM, "ra")


def draw_person(timelines: Timelines, track: int) -> Image:
    """A row for each expression, one for valence, and a strip that marks uncertain predictions."""
    import PIL.Image
    from PIL import ImageDraw

    labels, runs = timelines.labels, timelines.runs(track)
    has_valence = any(not np.isnan(run.valence).all() for run in runs)
    names = [*labels.names, *(["valence"] if has_valence else [])]
    left = _MARGIN + round(max(_FONT.length(name) for name in (*names, "uncertain"))) + 44
    axis = _Axis(timelines.span(), left)
    low = _HEAD + len(names) * (_ROW + _GAP)  # upper edge of the strip of uncertain answers
    image = PIL.Image.new("RGB", (_WIDTH, low + 14 + _FOOT), _PAPER)
    pen = ImageDraw.Draw(image)
    _title(pen, f"Person {track}", timelines, track)
    for row, name in enumerate(names):
        top = _HEAD + row * (_ROW + _GAP)
        bottom, middle = top + _ROW, top + _ROW / 2
        axis.rows(pen, top, bottom, runs)
        pen.line((left, middle, axis.right, middle), fill=_GRID)
        for run in runs:
            if row < len(labels):
                values, colour = run.means[:, row], labels.colour(row)
                points = _points(axis, run, timelines.bin_s)
                _area(image, points, values, (top, bottom), (colour, labels.pattern(row)))
            else:
                _signed(image, axis, run, timelines.bin_s, (top, bottom))
        pen.rectangle((left, top, axis.right, bottom), outline=_DIM)
        _FONT.draw(pen, (_MARGIN, middle), name, _INK, "lm")
        ends = ("100%", "0%") if row < len(labels) else ("+1", "\u22121")
        for text, y in zip(ends, (top + 6, bottom - 6), strict=True):
            _SMALL.draw(pen, (left - 6, y), text, _DIM, "rm")
    _FONT.draw(pen, (_MARGIN, low + 6), "uncertain", _DIM, "lm")
    for run in runs:
        _strip(pen, axis, run, low + 1, low + 11)
    pen.rectangle((left, low, axis.right, low + 12), outline=_DIM)
    axis.legend(pen, low + 12, "seconds; gray: this person was not seen")
    return image


def draw_overview(timelines: Timelines, tracks: list[int], num_others: int) -> Image:
    """All persons of a video, each as a band in the colour and pattern of the likeliest label."""
    import PIL.Image
    from PIL import ImageDraw

    labels = timelines.labels
    names = [f"Person {track}" for track in tracks]
    axis = _Axis(timelines.span(), _MARGIN + round(max(map(_FONT.length, names))) + 14)
    keys = _keys(list(labels.names))
    low = _HEAD + len(tracks) * (_BAND + _GAP)
    key_top = low + 12 + _FOOT
    image = PIL.Image.new("RGB", (_WIDTH, key_top + (keys[-1][2] + 1) * 28 + 8), _PAPER)
    pen = ImageDraw.Draw(image)
    rest = f", and {num_others} more" if num_others else ""
    heading = f"{len(tracks)} person{'' if len(tracks) == 1 else 's'}{rest}"
    _title(pen, heading, timelines, None)
    masks = [PIL.Image.new("L", image.size) for _ in labels.names]
    pens = [ImageDraw.Draw(mask) for mask in masks]
    for number, track in enumerate(tracks):
        top = _HEAD + number * (_BAND + _GAP)
        runs = timelines.runs(track)
        axis.rows(pen, top, top + _BAND, runs)
        for run in runs:
            for i, label in enumerate(run.means.argmax(1)):
                x0, x1 = axis.x(run.edges[i]), axis.x(run.edges[i + 1])
                pens[label].rectangle((x0, top, max(x0 + 1, x1), top + _BAND - 8), fill=255)
            _strip(pen, axis, run, top + _BAND - 6, top + _BAND - 1)
        _FONT.draw(pen, (_MARGIN, top + _BAND / 2), names[number], _INK, "lm")
    for name, x, line in keys:
        box = (x, key_top + line * 28, x + 30, key_top + line * 28 + 18)
        pens[labels.names.index(name)].rectangle(box, fill=255)
        _FONT.draw(pen, (x + 38, key_top + line * 28 + 9), name, _INK, "lm")
    for label, mask in enumerate(masks):
        fill(image, mask, labels.colour(label), labels.pattern(label))
    for number in range(len(tracks)):
        top = _HEAD + number * (_BAND + _GAP)
        pen.rectangle((axis.left, top, axis.right, top + _BAND), outline=_DIM)
    axis.legend(
        pen, low, "seconds; the likeliest expression; the line below marks uncertain predictions"
    )
    return image


def _title(pen: ImageDraw, heading: str, timelines: Timelines, track: int | None) -> None:
    _LARGE.draw(pen, (_MARGIN, _MARGIN - 4), heading, _INK)
    x = _MARGIN + _LARGE.length(heading) + 14
    detail = os.path.basename(timelines.source) or timelines.source
    if track is not None:
        seen_s, total_s = timelines.seconds(track)
        detail = f"seen {_span(seen_s)} of {_span(total_s)} in {detail}"
    _FONT.draw(pen, (x, _MARGIN), _FONT.fitting(detail, _WIDTH - _MARGIN - x), _DIM)


def _keys(names: list[str]) -> list[tuple[str, float, int]]:
    """Name, distance from the left and line of each entry of the legend."""
    entries, x, line = [], float(_MARGIN), 0
    for name in names:
        entry_width = 38 + _FONT.length(name) + 24
        if x + entry_width > _WIDTH - _MARGIN and x > _MARGIN:
            x, line = float(_MARGIN), line + 1
        entries.append((name, x, line))
        x += entry_width
    return entries


def _points(axis: _Axis, run: Run, bin_s: float) -> list[float]:
    """Positions of the values of a run, whose first and last value extend to its ends."""
    # A frame stands for the time up to the next one, but its point is drawn at its own time.
    points = np.minimum(run.edges[:-1] + bin_s / 2, run.edges[1:])
    return [axis.x(time_s) for time_s in (run.edges[0], *points, run.edges[-1])]


def _area(
    image: Image,
    xs: list[float],
    values: np.ndarray,
    row: tuple[float, float],
    style: tuple[str, str],
) -> None:
    """The area below a line of probabilities, in a colour and a pattern."""
    import PIL.Image
    from PIL import ImageDraw

    top, bottom = row
    colour, pattern = style
    heights = (values[0], *values, values[-1])
    line = [
        (x, bottom - 1 - float(p) * (bottom - top - 2)) for x, p in zip(xs, heights, strict=True)
    ]
    mask = PIL.Image.new("L", image.size)
    ImageDraw.Draw(mask).polygon([(xs[0], bottom), *line, (xs[-1], bottom)], fill=255)
    fill(image, mask, colour, pattern)
    dark = tuple(int(colour[i : i + 2], 16) * 2 // 3 for i in (1, 3, 5))
    ImageDraw.Draw(image).line(line, fill=dark)


def _signed(image: Image, axis: _Axis, run: Run, bin_s: float, row: tuple[float, float]) -> None:
    """Draw valence as a line around the middle of its row, with the area between filled."""
    from PIL import ImageDraw

    top, bottom = row
    middle = (top + bottom) / 2
    values = np.nan_to_num(run.valence)
    heights = (values[0], *values, values[-1])
    xs = _points(axis, run, bin_s)
    line = [
        (x, middle - float(v) * (bottom - top - 2) / 2) for x, v in zip(xs, heights, strict=True)
    ]
    pen = ImageDraw.Draw(image)
    pen.polygon([(xs[0], middle), *line, (xs[-1], middle)], fill=(196, 196, 208))
    pen.line(line, fill=_INK, width=2)


def _strip(pen: ImageDraw, axis: _Axis, run: Run, top: float, bottom: float) -> None:
    """Mark where predictions are mostly uncertain."""
    for i in np.flatnonzero(run.uncertain >= 0.5):
        x0, x1 = axis.x(run.edges[i]), axis.x(run.edges[i + 1])
        pen.rectangle((x0, top, max(x1, x0 + 1), bottom), fill=_DIM)


def _nice_step(minimum: float) -> float:
    """1, 2 or 5 times a power of ten (15, 30, 60 for seconds above ten), at least `about`."""
    power = 10 ** math.floor(math.log10(minimum)) if minimum > 0 else 1.0
    steps = [factor * power for factor in (1, 2, 5, 10)]
    if minimum > 10:
        steps = [15, 30, 60, 120, 300, 600, 900, 1800, 3600] + [3600 * 2**n for n in range(1, 30)]
    return next(step for step in steps if step >= minimum - 1e-12)


def _span(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min {rest} s" if hours else f"{minutes} min {rest} s"
