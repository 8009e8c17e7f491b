"""Colours and patterns of labels: distinct for any labels, and painted where they belong."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mien.errors import UsageError
from mien.labels import FERPLUS, PATTERNS, LabelSet
from mien.vision.patterns import fill


@pytest.mark.parametrize(
    "labels",
    [
        FERPLUS,
        LabelSet(("happy", "sad", "bored", "amused", "calm", "stressed", "anxious", "proud")),
        LabelSet(tuple(f"state {n}" for n in range(8))),
    ],
)
def test_eight_labels_have_eight_colours_and_patterns(labels: LabelSet) -> None:
    numbers = range(len(labels))
    assert len({labels.colour(n) for n in numbers}) == 8
    assert {labels.pattern(n) for n in numbers} == set(PATTERNS)
    assert labels.colour(0) == labels.colour(0)


def test_more_labels_than_patterns_still_differ() -> None:
    many = LabelSet((*FERPLUS.names, *(f"state {n}" for n in range(16))))
    assert len({many.colour(n) for n in range(24)}) == 24
    assert many.colour(3) == FERPLUS.colour(3) and many.pattern(3) == FERPLUS.pattern(3)


def test_patterns_are_painted_within_their_area_and_differ() -> None:
    mask = Image.new("L", (64, 64))
    mask.paste(255, (8, 8, 56, 56))
    seen = set()
    for pattern in PATTERNS:
        image = Image.new("RGB", (64, 64), "white")
        fill(image, mask, "#0072b2", pattern)
        pixels = np.asarray(image)
        assert (pixels[:8] == 255).all() and (pixels[:, 56:] == 255).all()
        inside = pixels[8:56, 8:56]
        share = (inside == (0, 0x72, 0xB2)).all(2).mean()
        assert 0.4 < share <= 1 and (share == 1) == (pattern == "plain")
        seen.add(pixels.tobytes())
    assert len(seen) == len(PATTERNS)
    with pytest.raises(UsageError, match="pattern"):
        fill(Image.new("RGB", (64, 64)), mask, "#000000", "spots")
