"""Find near duplicates: one photograph shifted, rescaled, saved again, stamped or mirrored.

This takes two steps. Candidates are pairs whose 8x8 area means correlate. Every pair is compared:
10^9 products of 64 numbers take seconds as matrix products, so no hash and no index is needed.
Faces cropped alike have similar area means, so most candidates show different people. Therefore a
pair is kept only if the fine detail agrees too: each picture minus its 7x7 mean, correlated at the
best shift of up to two pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mien.constants import FACE_SIDE

_CELLS = 8  # the coarse picture is 8x8
_COARSE = 0.93  # correlation of the coarse pictures that makes a candidate
# Correlation of the fine detail that makes a near duplicate; docs/data.md says how it was chosen.
DETAIL = 0.7
_SHIFT = 2  # pixels
# Candidates compared for each picture, the most similar first; this limits the work for frames of
# one video.
_MAX_CANDIDATES = 16
_FLAT = 4.0  # gray levels; pictures that vary less have no detail to compare
_ROWS, _PAIRS = 512, 256  # pictures and pairs processed at once


@dataclass(frozen=True, eq=False)
class NearPairs:
    """Pairs of nearly equal pictures, the surest first.

    Attributes:
        pairs: int64 (P, 2), positions of the pictures, the smaller first.
        scores: float32 (P,), correlation of their fine detail, 0.7 to 1.
        mirrored: bool (P,), whether the second must be mirrored to match.
    """

    pairs: np.ndarray
    scores: np.ndarray
    mirrored: np.ndarray

    def __len__(self) -> int:
        return len(self.pairs)


def near_duplicates(images: np.ndarray) -> NearPairs:
    """Find near duplicates among pictures that are all different.

    Args:
        images: uint8 (N, 48, 48, 1).

    Returns:
        The pairs. Equal pictures would also be pairs.
    """
    pictures = images[..., 0]
    coarse, flipped = _coarse(pictures, mirrored=False), _coarse(pictures, mirrored=True)
    matches = []
    for mirrored, other in ((False, coarse), (True, flipped)):
        pairs = _candidates(coarse, other)
        scores = np.empty(len(pairs), np.float32)
        for start in range(0, len(pairs), _PAIRS):
            block = pairs[start : start + _PAIRS]
            scores[start : start + _PAIRS] = _detail_correlation(pictures, block, mirrored)
        near = scores > DETAIL
        matches.append((pairs[near], scores[near], np.full(int(near.sum()), mirrored)))
    pairs, scores, mirror = (np.concatenate(parts) for parts in zip(*matches, strict=True))
    order = np.lexsort((pairs[:, 1], pairs[:, 0], -scores))
    pairs, scores, mirror = pairs[order], scores[order], mirror[order]
    # A symmetric face matches both plain and mirrored: keep the better match.
    _, first = np.unique(pairs, axis=0, return_index=True)
    first.sort()
    return NearPairs(pairs[first], scores[first], mirror[first])


def _coarse(pictures: np.ndarray, *, mirrored: bool) -> np.ndarray:
    """float32 (N, 64): area means with mean 0 and length 1; all 0 for pictures without contrast."""
    side = FACE_SIDE // _CELLS
    means = np.empty((len(pictures), _CELLS, _CELLS), np.float32)
    flat = np.empty(len(pictures), bool)
    for start in range(0, len(pictures), _ROWS):  # a memory map is read once, block by block
        block = pictures[start : start + _ROWS].astype(np.float32)
        flat[start : start + _ROWS] = block.std((1, 2)) < _FLAT
        means[start : start + _ROWS] = block.reshape(-1, _CELLS, side, _CELLS, side).mean((2, 4))
    if mirrored:
        means = means[:, :, ::-1]
    rows = means.reshape(len(means), -1)
    rows = rows - rows.mean(1, keepdims=True)
    length = np.sqrt((rows * rows).sum(1, keepdims=True))
    return np.asarray(np.where(flat[:, None], 0, rows / np.maximum(length, 1e-3)), np.float32)


def _candidates(coarse: np.ndarray, other: np.ndarray) -> np.ndarray:
    """int64 (C, 2): pairs i < j with `coarse[i] . other[j]` above `_COARSE`, at most
    `_MAX_CANDIDATES` for each i.
    """
    pairs = [np.empty((0, 2), np.int64)]
    for start in range(0, len(coarse), _ROWS):
        correlation = coarse[start : start + _ROWS] @ other[start:].T
        i, j = np.nonzero(correlation > _COARSE)
        later = i < j
        i, j = i[later], j[later]
        order = np.lexsort((-correlation[i, j], i))
        i, j = i[order], j[order]
        rank = np.arange(len(i)) - np.searchsorted(i, i)
        pairs.append(np.stack([i, j], 1)[rank < _MAX_CANDIDATES] + start)
    return np.concatenate(pairs)


def _detail_correlation(pictures: np.ndarray, pairs: np.ndarray, mirrored: bool) -> np.ndarray:
    """float32 (P,): correlation of the fine detail of each pair at its best shift, -1 to 1."""
    still, moving = _detail(pictures[pairs[:, 0]]), _detail(pictures[pairs[:, 1]])
    if mirrored:
        moving = moving[:, :, ::-1]
    core = np.ascontiguousarray(still[:, _SHIFT:-_SHIFT, _SHIFT:-_SHIFT])
    core_power = np.einsum("nij,nij->n", core, core)
    best = np.full(len(pairs), -1, np.float32)
    size = FACE_SIDE - 2 * _SHIFT
    for down in range(2 * _SHIFT + 1):
        for right in range(2 * _SHIFT + 1):
            window = moving[:, down : down + size, right : right + size]
            power = np.einsum("nij,nij->n", window, window)
            product = np.einsum("nij,nij->n", core, window)
            np.maximum(best, product / np.sqrt(np.maximum(core_power * power, 1e-6)), out=best)
    return best


def _detail(pictures: np.ndarray) -> np.ndarray:
    """float32 (P, 48, 48): pictures minus their 7x7 means."""
    sharp = pictures.astype(np.float32)
    smooth = sharp
    for axis in (1, 2):
        pad = [(0, 0), (0, 0), (0, 0)]
        pad[axis] = (4, 3)
        total = np.pad(smooth, pad, mode="edge").cumsum(axis)
        ahead, behind = (
            np.take(total, np.arange(first, first + FACE_SIDE), axis) for first in (7, 0)
        )
        smooth = (ahead - behind) / np.float32(7)
    return np.asarray(sharp - smooth)
