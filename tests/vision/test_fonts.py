"""Letters of any script: drawn in a font that has them, or named once."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mien.vision import fonts
from mien.vision.fonts import Letters, files_for, font_files, take_missing

OWN = "Zorn, äöß; радость и гнев; χαρά και θυμός; žluť"
NOWHERE = "\U000f1234"  # a letter of private use


def drawn(text: str, anchor: str = "la", place: tuple[float, float] = (5, 5)) -> np.ndarray:
    image = Image.new("L", (600, 60), 255)
    Letters(24).draw(ImageDraw.Draw(image), place, text, (0,), anchor)
    return np.asarray(image) < 128


def test_latin_greek_and_cyrillic_come_with_the_package() -> None:
    assert files_for(OWN) == [font_files()[0]]
    assert "fontpkg" in str(font_files()[0])
    assert take_missing() == ""
    shapes = {drawn(letter).tobytes() for letter in "радостьгнев" if letter != "о"}
    assert len(shapes) == len(set("радостьгнев") - {"о"})  # no boxes


def test_length_is_what_is_drawn() -> None:
    for text in (OWN, "93%", "a"):
        columns = np.flatnonzero(drawn(text).any(0))
        assert columns[0] >= 4 and columns[-1] == pytest.approx(5 + Letters(24).length(text), abs=4)


def test_anchors() -> None:
    middle = drawn("HHH", "mm", (300, 30))
    rows, columns = np.flatnonzero(middle.any(1)), np.flatnonzero(middle.any(0))
    assert columns.mean() == pytest.approx(299.5, abs=2) and rows.mean() == pytest.approx(30, abs=4)
    assert np.flatnonzero(drawn("HHH", "ra", (300, 5)).any(0))[-1] <= 300


def test_what_no_font_has_is_named_once() -> None:
    fonts._font_for.cache_clear()
    assert drawn("a" + NOWHERE).any()
    assert "no installed font has the letters" in take_missing()
    fonts._font_for.cache_clear()
    drawn(NOWHERE)
    assert take_missing() == ""


def test_a_text_that_is_too_wide_is_cut() -> None:
    letters = Letters(14)
    assert letters.fitting("short", 200) == "short"
    cut = letters.fitting("a very long text", 60)
    assert cut.endswith("..") and letters.length(cut) <= 60
