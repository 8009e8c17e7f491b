"""Detect cuts while a video is read; tracking starts again at each.

A cut has two signs. First, the whole picture changes: its 16 x 12 brightness pattern does not
correlate with the previous one, whatever the exposure. Second, its parts change: even the eight
least changed of sixteen blocks have other histograms (Nagasaka and Tanaka 1991, "Automatic video
indexing and full-video search for object appearances"), which a person moving in front of a
background does not cause. The histograms count brightness ranks, so switching on a light is not a
cut. A cut must stand out from the changes before and after it (as in PySceneDetect's adaptive
detector), unlike a fast pan, and it must last: if the old picture returns within a quarter of a
second, it was a flash. A blank picture (black or white) that lasts 0.2 s, as between two fades, is
a cut too.

A cross-fade is detected once its picture is mostly the new one. Its frames are weighted sums of the
first and the last picture with weights that add up to 1, so contrast is lower in the middle
(Alattar 1993, "Detecting and compressing dissolve regions in video sequences"). Pans and zooms fit
such sums too, but their weights add up to more than 1. Cross-fades between two scenes with much
motion are missed. docs/log.md has the measurements.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

WIDTH, HEIGHT = 48, 36  # of the thumbnails that are compared
_COARSE = 3  # a 3 x 3 block of their pixels is one of the 16 x 12
_BLOCKS, _LEVELS = 4, 8  # blocks along each side, and levels of their histograms

# Two pictures may be of two scenes if the distances of their patterns (0 to 2) and of their blocks
# (0 to 1) exceed these; the stricter pair applies without neighbours that show the usual motion.
_PATTERN, _BLOCK = 0.3, 0.06
_PATTERN_ALONE, _BLOCK_ALONE = 0.5, 0.09
_STANDS_OUT = 3.5  # times the change between neighbours
_NEIGHBOUR_S = 0.125
_FLASH_S = 0.25
_BLANK, _BLANK_S = 3.0, 0.2  # most spread of the 16 x 12 in gray levels, and least duration
_FADE_S = (0.25, 2.6)  # shortest and longest cross-fade
_FADE_DISTANCE = 0.5  # least distance of the patterns at its ends; closer ones fit pans as well
_FADE_SUM, _FADE_RESIDUAL = 0.035, 0.06  # weights' deviation from 1, unexplained share
_MAX_PAST, _MAX_STARTS = 80, 8
_MAX_PENDING = 16  # frames; limits the wait for videos with very high frame rates

Item = TypeVar("Item")


@dataclass(frozen=True, eq=False)
class _Features:
    time_s: float
    pattern: np.ndarray  # float32 (192,), mean 0, length 1
    contrast: float  # the pattern's length before scaling
    blocks: np.ndarray  # float32 (16, 8), counts of brightness ranks
    blank: bool


def with_cuts(
    frames: Iterable[Item], thumbnail: Callable[[Item], tuple[float, np.ndarray] | None]
) -> Generator[tuple[Item, bool], None, None]:
    """Pass frames on in order, each with whether a new scene begins with it.

    A frame that may be a cut is held back for up to a quarter of a second, until that is decided.

    Args:
        frames: In the order of time.
        look: Returns the time in seconds and the thumbnail, gray uint8 (HEIGHT, WIDTH), of a
            frame; None if it has no picture.
    """
    finder = _CutFinder()
    pending: deque[tuple[Item, _Features | None]] = deque()
    for frame in frames:
        picture = thumbnail(frame)
        pending.append((frame, None if picture is None else _features_of(*picture)))
        yield from _decided(pending, finder, at_end=False)
    yield from _decided(pending, finder, at_end=True)


def _decided(
    pending: deque[tuple[Item, _Features | None]], finder: _CutFinder, *, at_end: bool
) -> Generator[tuple[Item, bool], None, None]:
    while pending:
        if pending[0][1] is None:
            yield pending.popleft()[0], False
            continue
        features = [one_features for _, one_features in pending if one_features is not None]
        num_decided = finder.decide(features, at_end or len(pending) > _MAX_PENDING)
        if not num_decided:
            return
        is_cut = finder.is_cut
        while num_decided:
            frame, one_features = pending.popleft()
            num_decided -= one_features is not None
            yield frame, is_cut


class _CutFinder:
    def __init__(self) -> None:
        self.is_cut = False
        self._last: _Features | None = None
        self._blank_since: float | None = None
        self._steps: deque[tuple[float, float]] = deque(maxlen=2)  # time in seconds, change
        self._past: deque[_Features] = deque(maxlen=_MAX_PAST)  # of this scene

    def decide(self, features: list[_Features], at_end: bool) -> int:
        """How many frames are decided, 0 to wait for more; `is_cut` holds for these."""
        num_decided = self._decide(features, at_end)
        if num_decided:
            current = features[num_decided - 1]
            self.is_cut = self.is_cut or _ends_fade([*self._past, current])
            if self.is_cut or current.blank:
                self._past.clear()
            self._past.append(current)
        return num_decided

    def _decide(self, features: list[_Features], at_end: bool) -> int:
        current, previous = features[0], self._last
        self.is_cut = False
        if current.blank:
            self._blank_since = current.time_s if self._blank_since is None else self._blank_since
            return 1
        blank_since = self._blank_since
        if previous is None:
            return self._accept(current, 0.0)
        distance = _pattern_distance(previous, current)
        if blank_since is not None and current.time_s - blank_since >= _BLANK_S - 1e-6:
            self.is_cut = True
        elif distance > _PATTERN and _block_distance(previous, current) > _BLOCK:
            for number, later in enumerate(features[1:], 1):
                if not 0 <= later.time_s - current.time_s <= _FLASH_S + 1e-6:
                    break
                if not later.blank and _pattern_distance(previous, later) < min(
                    _PATTERN, distance / 2
                ):
                    return self._accept(later, None, number + 1)
            else:
                if not at_end:
                    return 0
            self.is_cut = self._stands_out(features, distance)
        return self._accept(current, distance)

    def _accept(self, features: _Features, distance: float | None, num_decided: int = 1) -> int:
        if distance is None or self._blank_since is not None:
            self._steps.clear()
        else:
            self._steps.append((features.time_s, distance))
        self._last, self._blank_since = features, None
        return num_decided

    def _stands_out(self, features: list[_Features], distance: float) -> bool:
        current = features[0]
        changes_before = [
            step for time_s, step in self._steps if 0 <= current.time_s - time_s <= _NEIGHBOUR_S
        ]
        changes_after = [
            _pattern_distance(first, second)
            for first, second in zip(features[:2], features[1:3], strict=False)
            if 0 <= second.time_s - current.time_s <= _NEIGHBOUR_S
            and not (first.blank or second.blank)
        ]
        if changes_before or changes_after:
            return distance >= _STANDS_OUT * float(np.mean(changes_before + changes_after))
        assert self._last is not None  # noqa: S101 - for the type checker
        return distance > _PATTERN_ALONE and _block_distance(self._last, current) > _BLOCK_ALONE


def _ends_fade(features: list[_Features]) -> bool:
    """Whether a cross-fade led from an earlier frame to the last one."""
    current = features[-1]
    candidates = [
        start for start in features if _FADE_S[0] <= current.time_s - start.time_s <= _FADE_S[1]
    ]
    if (
        len(features) < 4
        or not candidates
        or _pattern_distance(features[-2], current) > _PATTERN / 2
    ):
        return False
    starts = [start for start in candidates if _pattern_distance(start, current) >= _FADE_DISTANCE]
    starts = starts[:: -(len(starts) // -_MAX_STARTS) or 1]
    return any(
        _block_distance(start, current) > _BLOCK
        and _are_sums(
            [entry for entry in features[:-1] if entry.time_s > start.time_s], start, current
        )
        for start in starts
    )


def _are_sums(middle_features: list[_Features], first: _Features, last: _Features) -> bool:
    """Whether the frames in between lead from the first picture to the last as in a cross-fade."""
    ends = np.stack([entry.pattern * entry.contrast for entry in (first, last)], axis=1)
    patterns = np.stack([entry.pattern * entry.contrast for entry in middle_features], axis=1)
    weights, *_ = np.linalg.lstsq(ends, patterns, rcond=None)
    residual = ((patterns - ends @ weights) ** 2).sum(0) / np.maximum((patterns**2).sum(0), 1e-6)
    share = weights[1]  # of the last picture
    in_fade = (share > 0.15) & (share < 0.85)
    return bool(
        in_fade.sum() >= 2
        and abs(share[-1] - 1) < 0.1
        and share[0] < 0.5
        and np.all(np.diff(share) > -0.1)
        and abs(weights.sum(0)[in_fade].mean() - 1) < _FADE_SUM
        and residual[in_fade].mean() < _FADE_RESIDUAL
    )


def _features_of(time_s: float, gray: np.ndarray) -> _Features:
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
    return _Features(time_s, pattern, length, counts.astype(np.float32), blank)


def _pattern_distance(first: _Features, second: _Features) -> float:
    """1 minus the correlation: 0 for the same picture, 1 for unrelated ones, 2 for the negative."""
    return 1 - float(first.pattern @ second.pattern)


def _block_distance(first: _Features, second: _Features) -> float:
    """Chi-squared distance of histograms, 0 to 1, averaged over the eight least changed blocks."""
    total = np.maximum(first.blocks + second.blocks, 1)
    changes = ((first.blocks - second.blocks) ** 2 / total).sum(1) / first.blocks[0].sum() / 2
    return float(np.sort(changes)[: _BLOCKS**2 // 2].mean())
