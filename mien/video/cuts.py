"""Detect cuts while a film is read: at a cut, tracking starts again.

A cut has two signs. First, the whole picture is another one: its 16 x 12 brightness pattern does
not correlate with the last one, whatever the exposure. Second, its parts are others: of sixteen
blocks even the eight that changed least have other histograms (Nagasaka and Tanaka 1991, "Automatic
video indexing and full-video search for object appearances"), which somebody who moves in front of
a background does not cause. The histograms are of brightness ranks, so that switching on a light is
not a cut. A cut must stand out from the changes before and after it (as in PySceneDetect's adaptive
detector), unlike a fast pan, and it must last: if the old picture is back within a quarter of a
second, it was a flash. A blank picture (black or white) that lasts 0.2 s, as between two fades, is
a cut too.

A cross-fade is detected once its picture is mostly the new one: its frames are weighted sums of a
first and a last picture whose weights add up to 1, so that there is less contrast in the middle
(Alattar 1993, "Detecting and compressing dissolve regions in video sequences"). Pans and zooms fit
such sums too, but with weights of more than 1. If both scenes move much, cross-fades are missed.
docs/log.md has the measurements.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

WIDTH, HEIGHT = 48, 36  # of the pictures compared
_COARSE = 3  # pixels of these make one of the 16 x 12
_BLOCKS, _LEVELS = 4, 8  # blocks along each side, and levels of their histograms

# Distances of two pictures' patterns (0 to 2) and of their blocks (0 to 1) from which on they may
# be two scenes; the stricter pair if no neighbour in time shows how much the film moves.
_PATTERN, _BLOCK = 0.3, 0.06
_PATTERN_ALONE, _BLOCK_ALONE = 0.5, 0.09
_STANDS_OUT = 3.5  # times the change between neighbours
_NEAR_S = 0.125
_FLASH_S = 0.25
_BLANK, _BLANK_S = 3.0, 0.2  # spread of the 16 x 12 in gray levels, and how long it must last
_FADE_S = (0.25, 2.6)  # how long a cross-fade may last
_FADE_DISTANCE = 0.5  # of the patterns of its ends; nearer ones fit pans as well
_FADE_SUM, _FADE_REST = 0.035, 0.06  # of the weights from 1, and the share they do not explain
_MOST_PAST, _MOST_STARTS = 80, 8
_MOST_HELD = 16  # frames; films of very many frames a second have shorter flashes

Item = TypeVar("Item")


@dataclass(frozen=True, eq=False)
class _Look:
    time_s: float
    pattern: np.ndarray  # float32 (192,), mean 0, length 1
    contrast: float  # what the pattern's length was
    blocks: np.ndarray  # float32 (16, 8), counts of brightness ranks
    blank: bool


def with_cuts(
    frames: Iterable[Item], look: Callable[[Item], tuple[float, np.ndarray] | None]
) -> Generator[tuple[Item, bool], None, None]:
    """Pass frames on in their order, each with whether a new scene begins with it.

    A frame that may be a cut is held back for a quarter of a second, until that is decided.

    Args:
        frames: In the order of time.
        look: Gives time in seconds and gray uint8 (HEIGHT, WIDTH) of a frame; None if it has no
            picture.
    """
    finder = _Finder()
    held: deque[tuple[Item, _Look | None]] = deque()
    for frame in frames:
        seen = look(frame)
        held.append((frame, None if seen is None else _look(*seen)))
        yield from _settled(held, finder, ended=False)
    yield from _settled(held, finder, ended=True)


def _settled(
    held: deque[tuple[Item, _Look | None]], finder: _Finder, *, ended: bool
) -> Generator[tuple[Item, bool], None, None]:
    while held:
        if held[0][1] is None:
            yield held.popleft()[0], False
            continue
        looks = [seen for _, seen in held if seen is not None]
        settled = finder.decide(looks, ended or len(held) > _MOST_HELD)
        if not settled:
            return
        cut = finder.is_cut
        while settled:
            frame, seen = held.popleft()
            settled -= seen is not None
            yield frame, cut


class _Finder:
    def __init__(self) -> None:
        self.is_cut = False
        self._last: _Look | None = None
        self._blank_since: float | None = None
        self._steps: deque[tuple[float, float]] = deque(maxlen=2)  # when, how much it changed
        self._past: deque[_Look] = deque(maxlen=_MOST_PAST)  # of this scene

    def decide(self, looks: list[_Look], ended: bool) -> int:
        """The number of looks that are decided, 0 to wait for more; `is_cut` holds for these."""
        settled = self._decide(looks, ended)
        if settled:
            now = looks[settled - 1]
            self.is_cut = self.is_cut or _ends_fade([*self._past, now])
            if self.is_cut or now.blank:
                self._past.clear()
            self._past.append(now)
        return settled

    def _decide(self, looks: list[_Look], ended: bool) -> int:
        now, last = looks[0], self._last
        self.is_cut = False
        if now.blank:
            self._blank_since = now.time_s if self._blank_since is None else self._blank_since
            return 1
        blank_since = self._blank_since
        if last is None:
            return self._accept(now, 0.0)
        distance = _pattern_distance(last, now)
        if blank_since is not None and now.time_s - blank_since >= _BLANK_S - 1e-6:
            self.is_cut = True
        elif distance > _PATTERN and _block_distance(last, now) > _BLOCK:
            for number, later in enumerate(looks[1:], 1):
                if not 0 <= later.time_s - now.time_s <= _FLASH_S + 1e-6:
                    break
                if not later.blank and _pattern_distance(last, later) < min(_PATTERN, distance / 2):
                    return self._accept(later, None, number + 1)
            else:
                if not ended:
                    return 0
            self.is_cut = self._stands_out(looks, distance)
        return self._accept(now, distance)

    def _accept(self, look: _Look, distance: float | None, settled: int = 1) -> int:
        if distance is None or self._blank_since is not None:
            self._steps.clear()
        else:
            self._steps.append((look.time_s, distance))
        self._last, self._blank_since = look, None
        return settled

    def _stands_out(self, looks: list[_Look], distance: float) -> bool:
        now = looks[0]
        before = [step for time_s, step in self._steps if 0 <= now.time_s - time_s <= _NEAR_S]
        after = [
            _pattern_distance(one, other)
            for one, other in zip(looks[:2], looks[1:3], strict=False)
            if 0 <= other.time_s - now.time_s <= _NEAR_S and not (one.blank or other.blank)
        ]
        if before or after:
            return distance >= _STANDS_OUT * float(np.mean(before + after))
        assert self._last is not None  # noqa: S101 - for the type checker
        return distance > _PATTERN_ALONE and _block_distance(self._last, now) > _BLOCK_ALONE


def _ends_fade(looks: list[_Look]) -> bool:
    """Whether a cross-fade has led from some earlier look to the last one."""
    now = looks[-1]
    some = [one for one in looks if _FADE_S[0] <= now.time_s - one.time_s <= _FADE_S[1]]
    if len(looks) < 4 or not some or _pattern_distance(looks[-2], now) > _PATTERN / 2:
        return False
    starts = [one for one in some if _pattern_distance(one, now) >= _FADE_DISTANCE]
    starts = starts[:: -(len(starts) // -_MOST_STARTS) or 1]
    return any(
        _block_distance(one, now) > _BLOCK
        and _are_sums([look for look in looks[:-1] if look.time_s > one.time_s], one, now)
        for one in starts
    )


def _are_sums(between: list[_Look], one: _Look, other: _Look) -> bool:
    """Whether looks go from one picture to the other as a cross-fade does."""
    ends = np.stack([look.pattern * look.contrast for look in (one, other)], axis=1)
    middle = np.stack([look.pattern * look.contrast for look in between], axis=1)
    weights, *_ = np.linalg.lstsq(ends, middle, rcond=None)
    rest = ((middle - ends @ weights) ** 2).sum(0) / np.maximum((middle**2).sum(0), 1e-6)
    share = weights[1]  # of the other picture
    mixed = (share > 0.15) & (share < 0.85)
    return bool(
        mixed.sum() >= 2
        and abs(share[-1] - 1) < 0.1
        and share[0] < 0.5
        and np.all(np.diff(share) > -0.1)
        and abs(weights.sum(0)[mixed].mean() - 1) < _FADE_SUM
        and rest[mixed].mean() < _FADE_REST
    )


def _look(time_s: float, gray: np.ndarray) -> _Look:
    if gray.shape != (HEIGHT, WIDTH):
        raise ValueError(f"got {gray.shape}; expected {(HEIGHT, WIDTH)}")
    rows, columns = HEIGHT // _COARSE, WIDTH // _COARSE
    coarse = gray.reshape(rows, _COARSE, columns, _COARSE).mean((1, 3), dtype=np.float32).ravel()
    blank = bool(coarse.std() < _BLANK)
    coarse -= coarse.mean()
    length = float(np.linalg.norm(coarse))
    ranks = np.empty(gray.size, np.int64)
    ranks[np.argsort(gray, axis=None, kind="stable")] = np.arange(gray.size)
    levels = (ranks * _LEVELS // gray.size).reshape(
        _BLOCKS, HEIGHT // _BLOCKS, _BLOCKS, WIDTH // _BLOCKS
    )
    parts = levels.transpose(0, 2, 1, 3).reshape(_BLOCKS**2, -1)
    counts = (parts[:, :, None] == np.arange(_LEVELS)).sum(1)
    pattern = coarse / max(length, 1e-6)
    return _Look(time_s, pattern, length, counts.astype(np.float32), blank)


def _pattern_distance(one: _Look, other: _Look) -> float:
    """1 minus the correlation: 0 the same picture, 1 nothing in common, 2 the negative."""
    return 1 - float(one.pattern @ other.pattern)


def _block_distance(one: _Look, other: _Look) -> float:
    """Chi-squared distance of histograms, 0 to 1, averaged over the eight least changed blocks."""
    total = np.maximum(one.blocks + other.blocks, 1)
    changes = ((one.blocks - other.blocks) ** 2 / total).sum(1) / one.blocks[0].sum() / 2
    return float(np.sort(changes)[: _BLOCKS**2 // 2].mean())
