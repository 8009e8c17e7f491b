"""Recipes: everything that decides how a network is trained, as one frozen value.

A recipe is a function that returns a `Recipe`. Its docstring holds the command, what it costs and
where the figure it reaches is printed (docs/results.md).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mien.errors import UsageError

CLASS_WEIGHTS = ("none", "sqrt", "balanced")


@dataclass(frozen=True)
class Recipe:
    """How to build and train one network.

    Attributes:
        name: What the network is called in tables.
        blocks: Filters of the 3x3 convolutions, a tuple for each block; a block ends in a 2x2 max-pooling.
        dense: Units of the dense layer between Flatten and the classes.
        block_dropout: Dropout rate after the second block and later ones, in [0, 1).
        dense_dropout: Dropout rate before the classes, in [0, 1).
        max_epochs: Length of the schedule: the learning rate falls along a cosine to zero over this many epochs.
        patience: Epochs without a better validation accuracy after which training stops early.
        batch_size: Faces a step.
        learning_rate: Adam's rate after one epoch of linear warm-up.
        label_smoothing: Share of each target spread evenly over the classes, in [0, 1).
        average_decay: Decay of the moving average of the weights, a step; the average is what is judged and kept.
        class_weights: `none`, `balanced` (n / (K n_c), scikit-learn's formula) or `sqrt` (its square root).
        augment: Flip, turn, zoom and shift the training faces, in one resample.
        keep_leaks: Train also on rows whose pixels occur in validation or test.
        seed: Of initial weights, batch order, dropout and augmentation.
    """

    name: str
    blocks: tuple[tuple[int, ...], ...]
    dense: int
    block_dropout: float
    dense_dropout: float
    max_epochs: int
    patience: int = 6
    batch_size: int = 64
    learning_rate: float = 1e-3
    label_smoothing: float = 0.1
    average_decay: float = 0.998
    class_weights: str = "none"
    augment: bool = True
    keep_leaks: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.class_weights not in CLASS_WEIGHTS:
            raise UsageError(f"class weights: came {self.class_weights!r}; expected one of {', '.join(CLASS_WEIGHTS)}")
        if not 1 <= len(self.blocks) <= 4 or not all(self.blocks):
            raise UsageError(f"blocks: came {self.blocks}; expected 1 to 4 non-empty tuples (48 pixels halve 4 times)")
        for field, low in (("max_epochs", 1), ("patience", 1), ("batch_size", 2), ("dense", 1), ("seed", 0)):
            if getattr(self, field) < low:
                raise UsageError(f"{field}: came {getattr(self, field)}; expected at least {low}")
        if not 0 < self.learning_rate < 1:
            raise UsageError(f"learning_rate: came {self.learning_rate}; expected more than 0 and less than 1")
        for field in ("block_dropout", "dense_dropout", "label_smoothing", "average_decay"):
            if not 0 <= getattr(self, field) < 1:
                raise UsageError(f"{field}: came {getattr(self, field)}; expected at least 0 and less than 1")

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @staticmethod
    def from_dict(fields: Mapping[str, Any]) -> Recipe:
        return Recipe(**{**fields, "blocks": tuple(tuple(block) for block in fields["blocks"])})


def small() -> Recipe:
    """Three convolutions, 13 million multiply-adds a face: `mien train DATA --recipe small`."""
    return Recipe("small", ((24,), (48,), (96,)), dense=128, block_dropout=0.05, dense_dropout=0.25, max_epochs=20)


def medium() -> Recipe:
    """Four convolutions, 28 million multiply-adds a face: `mien train DATA --recipe medium`."""
    return Recipe(
        "medium", ((32,), (64,), (128,), (128,)), dense=256, block_dropout=0.05, dense_dropout=0.3, max_epochs=24
    )


def large() -> Recipe:
    """Six convolutions, 75 million multiply-adds a face: `mien train DATA --recipe large`."""
    return Recipe(
        "large", ((32,), (64, 64), (128, 128), (256,)), dense=256, block_dropout=0.05, dense_dropout=0.3, max_epochs=30
    )


RECIPES: dict[str, Callable[[], Recipe]] = {"small": small, "medium": medium, "large": large}


def recipe(name: str, **changes: Any) -> Recipe:
    """The recipe of that name, with the fields in `changes` that are not None replaced.

    Raises:
        UsageError: if there is no such recipe or a value is out of range.
    """
    if name not in RECIPES:
        raise UsageError(f"recipe: came {name!r}; expected one of {', '.join(RECIPES)}")
    given = {field: value for field, value in changes.items() if value is not None}
    return dataclasses.replace(RECIPES[name](), **given)
