"""Draw text of any script.

Noto Sans (Latin, Greek, Cyrillic; OFL) comes with the package fontpkg-noto-sans. Letters that it
lacks are taken from the fonts installed on this machine, plain sans-serif fonts first. Letters that
no font has are drawn as empty boxes, and `take_missing` reports them once.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

_MAX_FONTS = 600  # searched for one letter
_NO_GLYPH = "\U0010ffff"  # no font has it, so each draws its box for missing letters
_lock = threading.Lock()
_missing: dict[str, None] = {}  # letters that no font has, not yet reported
_reported: set[str] = set()


@dataclass(frozen=True)
class Letters:
    """Draws and measures text of one size, each letter in a font that has it.

    Attributes:
        size: Pixels.
    """

    size: int

    def length(self, text: str) -> float:
        """Width in pixels."""
        return sum(font.getlength(part) for font, part in self._parts(text))

    def draw(
        self,
        pen: ImageDraw,
        place: tuple[float, float],
        text: str,
        fill: tuple[int, ...],
        anchor: str = "la",
    ) -> None:
        """Draw a line of text.

        Args:
            pen: Pillow's ImageDraw.
            place: x and y in pixels.
            text: Without line breaks.
            fill: Colour.
            anchor: The point of the text at `place`: `l`, `m` or `r` for its left edge, middle or
                right edge, then `a`, `m` or `b` for its upper edge, middle or lower edge.
        """
        ascent, descent = self._own.getmetrics()
        x, y = place
        x -= {"l": 0.0, "m": 0.5, "r": 1.0}[anchor[0]] * self.length(text)
        y += {"a": ascent, "m": (ascent - descent) / 2, "b": -descent}[anchor[1]]
        for font, part in self._parts(text):
            pen.text((x, y), part, fill=fill, font=font, anchor="ls")
            x += font.getlength(part)

    def fitting(self, text: str, width: float) -> str:
        """The text, cut and ended with two dots if it is wider than `width` pixels."""
        if self.length(text) <= width:
            return text
        while text and self.length(text + "..") > width:
            text = text[:-1]
        return text + ".."

    @property
    def _own(self) -> FreeTypeFont:
        return _open_font(font_files()[0], self.size)

    def _parts(self, text: str) -> Iterator[tuple[FreeTypeFont, str]]:
        """The text split into parts, each in one font."""
        text = unicodedata.normalize("NFC", text)
        fonts = [(_font_for(letter), letter) for letter in text]
        for i, (font, letter) in enumerate(fonts):
            # Marks and joiners belong to their letter, spaces to the part before them.
            if i and (font is None or unicodedata.combining(letter) or letter in " \u200d\ufe0f"):
                fonts[i] = (fonts[i - 1][0], letter)
        for file, part in groupby(fonts, key=lambda one: one[0]):
            letters = "".join(letter for _, letter in part)
            yield _open_font(file or font_files()[0], self.size), letters


def take_missing() -> str:
    """A sentence about letters drawn as boxes since the last call, or ''. Each letter is reported
    once.
    """
    with _lock:
        letters = "".join(_missing)
        _reported.update(_missing)
        _missing.clear()
    if not letters:
        return ""
    return (
        f"no installed font has the letters {letters[:20]!r}{' ...' if len(letters) > 20 else ''}; "
        "drawings show boxes instead. Fix: install a font that has them, such as Noto Sans"
    )


@functools.cache
def font_files() -> tuple[Path, ...]:
    """Font files, the best first: the package's own, then those of the machine."""
    import fontpkg_noto_sans

    own = Path(fontpkg_noto_sans.__file__).parent / "files"
    files = [path for path in sorted(own.glob("*.ttf")) if "Italic" not in path.name]
    for folder in _folders():
        for place, _, names in os.walk(folder):
            files += [
                Path(place, name)
                for name in names
                if name.lower().endswith((".ttf", ".otf", ".ttc", ".otc"))
            ]
    return tuple(
        sorted(dict.fromkeys(files), key=lambda path: (own not in path.parents, *_rank(path)))
    )


def files_for(text: str) -> list[Path]:
    """The fonts in which a text is drawn, mien's own first; for matplotlib."""
    files = dict.fromkeys([font_files()[0]])
    for letter in text:
        file = _font_for(letter)
        if file is not None:
            files[file] = None
    return list(files)


def _folders() -> list[Path]:
    home = Path(os.path.expanduser("~"))
    if sys.platform == "darwin":
        return [Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library/Fonts"]
    if sys.platform == "win32":
        return [Path(os.environ.get("WINDIR", r"C:\Windows"), "Fonts")]
    return [Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), home / ".local/share/fonts"]


def _rank(path: Path) -> tuple[bool, bool, bool, str]:
    """Upright sans-serif fonts of plain weight come first."""
    name = path.name.lower()
    styled = ("bold", "italic", "oblique", "light", "thin", "black", "medium", "condensed", "mono")
    return (
        any(word in name for word in styled),
        "serif" in name.replace("sansserif", ""),
        not ("noto" in name or "dejavu" in name or "unicode" in name or "unifont" in name),
        str(path),
    )


@functools.lru_cache(maxsize=4096)
def _font_for(letter: str) -> Path | None:
    """The first font that has a letter; None if none has it, or if it is invisible."""
    if letter.isspace() or unicodedata.category(letter) in ("Cc", "Cf", "Mn", "Me"):
        return None
    script = unicodedata.name(letter, "").partition(" ")[0]
    # Fonts are not searched again for a script of which no font had another letter.
    files = _in_use if script in _scripts_without else (*_in_use, *font_files()[:_MAX_FONTS])
    for path in files:
        if _has_glyph(path, letter):
            if path not in _in_use:
                _in_use.append(path)
            _scripts_with.add(script)
            return path
    with _lock:
        if script not in _scripts_with:
            _scripts_without.add(script)
        if letter not in _reported:
            _missing[letter] = None
    return None


_in_use: list[Path] = []  # fonts that had a letter before, so that a word is drawn in one font
_scripts_with: set[str] = set()
_scripts_without: set[str] = set()


def _has_glyph(path: Path, letter: str) -> bool:
    try:
        font = _open_font(path, 24)
        # The box for a missing letter is as wide and dark as that for `_NO_GLYPH`.
        mask, none = font.getmask(letter), font.getmask(_NO_GLYPH)
        return bytes(mask) != bytes(none) and mask.getbbox() is not None
    except (OSError, ValueError):
        return False


@functools.lru_cache(maxsize=256)
def _open_font(path: Path, size: int) -> FreeTypeFont:
    from PIL import ImageFont

    return ImageFont.truetype(str(path), size)
