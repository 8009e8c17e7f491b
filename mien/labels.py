"""Label sets: the ordered names of a network's classes.

The order travels with the data and the weights as a value; no code indexes an expression by a
literal number.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from mien.errors import DataError, meant

# Names of the same expressions in other data sets and tools. Keys are canonical names.
_SYNONYMS = {
    "angry": ("anger",),
    "disgust": ("disgusted",),
    "fear": ("fearful", "scared", "afraid"),
    "happy": ("happiness", "joy"),
    "sad": ("sadness",),
    "surprise": ("surprised", "suprise"),
    "neutral": ("neutrality",),
    "contempt": ("contemptuous",),
}
_CANONICAL = {alias: name for name, aliases in _SYNONYMS.items() for alias in (name, *aliases)}

# Okabe and Ito's palette (https://jfly.uni-koeln.de/color/), which colour-blind readers can tell
# apart.
_COLOURS = {
    "angry": "#d55e00",
    "disgust": "#009e73",
    "fear": "#cc79a7",
    "happy": "#e69f00",
    "sad": "#0072b2",
    "surprise": "#56b4e9",
    "neutral": "#666666",
    "contempt": "#8c6d1f",
}
# Other labels take the unused colours of that palette, then Paul Tol's "muted" and "light"
# (https://sronpersonalpages.nl/~pault/).
_MORE_COLOURS = (
    *("#332288", "#ddcc77", "#117733", "#88ccee", "#882255", "#44aa99", "#aa4499", "#999933"),
    *("#cc6677", "#77aadd", "#ee8866", "#eedd88", "#99ddff", "#44bb99", "#aaaa00", "#ffaabb"),
)
# Each colour has a pattern, so that nothing is shown by colour alone.
PATTERNS = ("plain", "rising", "falling", "level", "upright", "dots", "crossed", "squares")


def canonical(name: str) -> str:
    """mien's name of an expression: lower case, synonyms merged (`Happiness` -> `happy`)."""
    # macOS decomposes letters with accents in file names.
    key = unicodedata.normalize("NFC", name).strip().lower().replace(" ", "_")
    return _CANONICAL.get(key, key)


@dataclass(frozen=True)
class LabelSet:
    """Ordered, distinct label names; a label's position is the network's output index.

    >>> FER2013.index("Happiness")
    3
    >>> len(FER2013), FER2013[6]
    (7, 'neutral')
    """

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.names) < 2 or len(set(self.names)) != len(self.names):
            raise DataError(
                "label set",
                got=f"the names {self.names}",
                expected="two or more different names",
                fix="name each class once",
            )

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __getitem__(self, index: int) -> str:
        return self.names[index]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and canonical(name) in self.names

    def index(self, name: str) -> int:
        """The position of a name or one of its synonyms.

        Raises:
            DataError: if the set has no such label.
        """
        try:
            return self.names.index(canonical(name))
        except ValueError:
            raise DataError(
                "label set",
                got=f"the label {name!r}",
                expected="one of " + ", ".join(self.names),
                fix=meant(name, self.names, "rename it, or read the data with its own label set"),
            ) from None

    def colour(self, index: int) -> str:
        """Hex colour of a label, such as `#d55e00`. Up to 24 labels have different colours."""
        name = self.names[index]
        if name in _COLOURS:
            return _COLOURS[name]
        used_colours = {_COLOURS[other] for other in self.names if other in _COLOURS}
        free_colours = [
            colour for colour in (*_COLOURS.values(), *_MORE_COLOURS) if colour not in used_colours
        ]
        other_labels = [other for other in self.names if other not in _COLOURS]
        return free_colours[other_labels.index(name) % len(free_colours)]

    def pattern(self, index: int) -> str:
        """The pattern of a label, one of `PATTERNS`; up to eight labels have different ones."""
        standard_labels, name = list(_COLOURS), self.names[index]
        if name in standard_labels:
            return PATTERNS[standard_labels.index(name)]
        used_patterns = {
            standard_labels.index(other) for other in self.names if other in standard_labels
        }
        free_patterns = [n for n in range(len(PATTERNS)) if n not in used_patterns] or list(
            range(len(PATTERNS))
        )
        other_labels = [other for other in self.names if other not in standard_labels]
        return PATTERNS[free_patterns[other_labels.index(name) % len(free_patterns)]]


# The seven labels of FER2013 in the order of its `emotion` column (ICML 2013 challenge).
FER2013 = LabelSet(("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"))

# FER+'s eight expressions: FER2013's seven in its order, then contempt.
FERPLUS = LabelSet((*FER2013.names, "contempt"))
VOTES_HEAD = "votes"  # the head that is trained on FER+'s votes

# The columns of FER+'s vote file (Barsoum et al. 2016, https://arxiv.org/abs/1608.01041). The last
# two are not expressions: annotators may choose "unknown" or "NF" (not a face).
FERPLUS_VOTES = (
    "neutral",
    "happy",
    "surprise",
    "sad",
    "angry",
    "disgust",
    "fear",
    "contempt",
    "unknown",
    "not_a_face",
)
