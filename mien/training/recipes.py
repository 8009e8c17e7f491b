"""The recipes by name, as functions that return a `Recipe`.

The docstring of each gives its command and its cost; docs/results.md has the figures it reaches.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import Any

from mien import constants
from mien.constants import FACE_SIDE
from mien.errors import UsageError, check_word, meant
from mien.training.recipe import Recipe, kinds, tuples


def small() -> Recipe:
    """Three convolutions, 13 million multiply-adds a face: `mien train DATA --recipe small`."""
    return Recipe(
        "small",
        ((24,), (48,), (96,)),
        dense=128,
        block_dropout=0.05,
        dense_dropout=0.25,
        max_epochs=20,
    )


def medium() -> Recipe:
    """Four convolutions, 28 million multiply-adds a face: `mien train DATA --recipe medium`."""
    return Recipe(
        "medium",
        ((32,), (64,), (128,), (128,)),
        dense=256,
        block_dropout=0.05,
        dense_dropout=0.3,
        max_epochs=24,
    )


def large() -> Recipe:
    """Six convolutions, 75 million multiply-adds a face: `mien train DATA --recipe large`."""
    return Recipe(
        "large",
        ((32,), (64, 64), (128, 128), (256,)),
        dense=256,
        block_dropout=0.05,
        dense_dropout=0.3,
        max_epochs=30,
    )


def champion() -> Recipe:
    """Two heads over one trunk, for `fer2013` labels and FER+'s `votes`: `mien train DATA
    --recipe champion`.
    """
    return Recipe(
        "champion",
        ((32, 32), (64, 64), (160, 160), (320, 320)),
        dense=0,
        block_dropout=0.0,
        dense_dropout=0.3,
        max_epochs=130,
        choose_by="loss",
        patience=130,
        batch_size=128,
        learning_rate=0.1,
        fall_epochs=104,
        last_rate=0.15,
        average_decay=0.99999,
        optimizer="sgd",
        weight_decay=5e-4,
        warmup_epochs=2,
        stages=((0.4, 32), (0.6, 40), (1.0, FACE_SIDE)),
        turn=15.0,
        zoom=(0.8, 1.15),
        shift=0.2,
        light=1.0,
        erase=0.5,
        mixup=0.15,
        cutmix=0.15,
        mix_from=0.6,
        votes_weight=1.0,
        precision="auto",
        centre=True,
        initializer="he_normal",
    )


def everyday() -> Recipe:
    """The network in the package: `mien train DATA --recipe everyday --photographs FACES --teacher
    shipped`.

    It starts from dlib's network for face recognition (`mien.training.dlib_trunk`) and sees faces
    at 64 px, then at 96 px. A fifth of each batch are everyday photographs, rare labels more often
    than they occur. 60 % of each target is the teacher's prediction; a quarter of a label's own
    target comes from face-api's network. 98 minutes on two cores with bfloat16; docs/results.md has
    its figures. Without a teacher: `--set teacher_weight=0`.
    """
    return Recipe(
        "everyday",
        (),
        dense=0,
        block_dropout=0.0,
        dense_dropout=0.3,
        max_epochs=80,
        choose_by="last",
        batch_size=120,
        learning_rate=0.05,
        last_rate=0.01,
        label_smoothing=0.0,
        average_decay=0.99999,
        average_over=1 / 9,
        optimizer="sgd",
        weight_decay=5e-4,
        stages=((0.4, 32), (1.0, FACE_SIDE)),
        turn=12.0,
        zoom=(0.8, 1.15),
        shift=0.1,
        light=1.0,
        erase=0.2,
        corruption=0.07,
        mixup=0.05,
        cutmix=0.1,
        mix_from=0.5,
        votes_weight=1.0,
        precision="auto",
        centre=True,
        input_side=2 * FACE_SIDE,
        initializer="he_normal",
        init="dlib",
        teacher_weight=0.6,
        face_api_weight=0.25,
        photograph_share=0.2,
        restore_batch_norm=True,
    )


def finetune() -> Recipe:
    """Adapt the network in the package, or another one, to your labels: `mien train DATA --init
    mien`.

    It trains the head alone for three epochs, then the whole network at a fifth of the rate, with
    little augmentation and small batches.
    """
    return Recipe(
        "finetune",
        (),
        dense=0,
        block_dropout=0.0,
        dense_dropout=0.3,
        max_epochs=20,
        patience=6,
        batch_size=32,
        turn=10.0,
        zoom=(0.9, 1.1),
        shift=0.08,
        init="mien",
        freeze_epochs=3,
        backbone_rate=0.2,
    )


RECIPES: dict[str, Callable[[], Recipe]] = dict(
    zip(
        constants.RECIPES,
        (small, medium, large, champion, everyday, finetune),
        strict=True,
    )
)


def recipe(name: str, /, **changes: Any) -> Recipe:
    """The recipe of that name, with the fields in `changes` replaced; None leaves a field as it is.

    Raises:
        UsageError: if there is no such recipe or field, or a value is out of range or of another
            type.
    """
    check_word("recipe", name, RECIPES)
    if unknown := changes.keys() - kinds().keys():
        raise UsageError(
            f"recipe {name}: got {', '.join(sorted(unknown))}; expected some of "
            f"{', '.join(kinds())}. Fix: " + meant(min(unknown), kinds(), "use these fields")
        )
    given = {field: tuples(value) for field, value in changes.items() if value is not None}
    return dataclasses.replace(RECIPES[name](), **given)


def settings(given: Sequence[str]) -> dict[str, Any]:
    """Parse texts such as `erase=0.25` or `blocks=[[32],[64]]` into fields of a recipe.

    Values are JSON, Python, or plain words.

    Raises:
        UsageError: if a text has no `=`, or a recipe has no such field.
    """
    fields = dict[str, Any]()
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or name not in kinds():
            raise UsageError(
                f"--set: got {text!r}; expected FIELD=VALUE, with one of {', '.join(kinds())}. "
                "Fix: "
                + meant(name, kinds(), "mien info --json lists the fields with their values")
            )
        fields[name] = tuples(_value(value))
        if fields[name] is None:
            raise UsageError(
                f"--set: got {text!r}; expected a value. Fix: leave it out for the recipe's own "
                "value"
            )
    return fields


def _value(text: str) -> Any:
    """A value in JSON, or else as Python writes it (`True`, `.5`); otherwise the text itself."""
    for read in (json.loads, ast.literal_eval):
        with contextlib.suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            return read(text)
    return text
