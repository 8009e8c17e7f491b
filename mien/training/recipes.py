"""Recipes: everything that decides how a network is trained, as one frozen value.

A recipe is a function that returns a `Recipe`. Its docstring holds the command, what it costs and
where the figure it reaches is printed (docs/results.md).
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import numbers
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from mien.constants import FACE_SIDE
from mien.errors import UsageError

OPTIMIZERS = ("adam", "adamw", "sgd")
RETIRED = ("live_teachers",)  # fields that recipes had once
PRECISIONS = ("auto", "float32", "bfloat16", "float16")
INITIALIZERS = ("glorot_uniform", "he_normal")
SCORES = ("accuracy", "loss")
CLASS_WEIGHTS = ("none", "sqrt", "balanced")
FOLDED = "folded"
_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
_EXAMPLES = {
    "blocks": "a list of filters for each block, such as [[32,32],[64,64]]",
    "stages": "pairs of share and side, such as [[0.5,32],[1,48]]",
    "zoom": "two numbers, such as [0.8,1.15]",
}
BACKBONES = ("MobileNetV2", "EfficientNetV2B0", "ResNet50")  # of keras.applications


@dataclass(frozen=True)
class Recipe:
    """How to build and train one network.

    Attributes:
        name: What the network is called in tables.
        blocks: Filters of the 3x3 convolutions, a tuple for each block; a block ends in a 2x2
            max-pooling.
        dense: Units of the dense layer between Flatten and the classes; 0: the mean over all places
            instead of both.
        block_dropout: Dropout rate after the second block and later ones, in [0, 1).
        dense_dropout: Dropout rate before the classes, in [0, 1).
        max_epochs: Length of the schedule.
        choose_by: Validation score that says which epoch is kept: `accuracy`, or `loss`, which
            chance moves less, with the temperature that suits that epoch: how sure it is of itself
            decides nothing.
        patience: Epochs without a better one after which training stops early.
        batch_size: Faces a step.
        learning_rate: The rate after the warm-up.
        fall_epochs: The rate falls along a cosine to zero over so many epochs, at most all of them;
            0: all.
        last_rate: But never below this share of `learning_rate`. With an `average_decay` near 1
            that is a form of SWA (Izmailov et al. 2018, https://arxiv.org/abs/1803.05407):
            `average_over` says which steps it is the mean of.
        label_smoothing: Share of each target spread evenly over the classes, in [0, 1).
        average_decay: Decay of the moving average of the weights, a step; the average is what is
            judged and kept.
        average_over: Share of the steps so far, the last ones, that most of a young average is
            from, in (0, 1]: 1 is the plain mean of all steps, 0.5 counts each by its number, with a
            ninth the last ninth is two thirds of it. With an `average_decay` near 1 an average
            stays young.
        class_weights: `none`, `balanced` (n / (K n_c), scikit-learn's formula) or `sqrt` (its
            square root).
        augment: Change the training faces at random, by the fields from `turn` to `cutmix`; False:
            leave them alone.
        keep_leaks: Train also on rows whose pixels occur in validation or test.
        seed: Of initial weights, batch order, dropout and augmentation.
        residual: Convolutions that keep the number of filters add their answer to what they were
            given.
        optimizer: `adam`, `adamw`, or `sgd` with Nesterov momentum 0.9.
        weight_decay: Adds so much of each kernel to its gradient (L2); AdamW takes it, times the
            rate, from the kernel.
        warmup_epochs: Over which the rate rises linearly from a hundredth.
        stages: (share, side) pairs: up to that share of the epochs, faces are resampled to that
            side in pixels; the last is (1, 48), and the last epoch belongs to it. Small faces first
            make most of the training cheap.
        turn: Degrees to either side.
        zoom: Smallest and largest scale.
        shift: Of the picture's side, in each direction.
        light: Strength of random contrast and brightness, 0 for none (`mien.training.augment`).
        erase: Share of the faces that lose a box.
        corruption: Share of the faces that are blurred, of those that get noise, and of those rounded
            as JPEG does.
        mixup: Share of the faces to which another one is added, with its targets.
        cutmix: Share of the faces into which a box of another one is pasted, with its share of the
            targets.
        mix_from: Share of the epochs after which faces are mixed; before it networks are still
            short of knowledge.
        votes_weight: Weight in the loss of a second head, `votes`, that learns how the FER+ votes
            are spread; 0: none.
        precision: Of the layers in training: `float32`, `bfloat16`, `float16` (with a scaled loss),
            or `auto`: bfloat16 where the machine has it, float16 on NVIDIA GPUs that have only
            that. Weights are float32 in any case.
        centre: Gray values enter as (x - 128) / 64; otherwise as x / 255.
        initializer: Keras' name of how the kernels of the convolutions begin.
        init: Whose weights it begins with (`mien.training.transfer`): `mien`, a bundle, a run
            folder, `imagenet:NAME`, `imagenet:NAME:random`. That also decides `backbone`, `blocks`,
            `dense`, `residual` and `centre`; without `restore_batch_norm` faces have 48 pixels throughout, and
            a network of keras.applications is float32.
        backbone: What is built. Empty: `blocks` with batch norm. `folded`: `blocks` with biases
            instead, as in bundles. Otherwise a network of keras.applications under a new head.
        backbone_side: Side in pixels to which the faces are resized for a network of
            keras.applications; 0: its own.
        freeze_epochs: So many epochs only the heads learn, at `learning_rate`.
        backbone_rate: After them all of the network learns, at this share of `learning_rate`.
        teacher_weight: Share of the targets that teachers give, who see, at each step anew, what
            the student sees, changed and mixed but not yet spoiled; 0: the run has none.
        sam_radius: How far from the weights, in the length of all of them, the slope of the loss is
            taken, uphill (SAM, Foret et al. 2021, https://arxiv.org/abs/2010.01412); 0: not.
            Doubles the time.
        soft_label_weight: Share of the labels' targets that the FER+ votes of the face tell
            (`targets.labels_by_votes`).
        restore_batch_norm: With `init` of mien's own layers: begin with batch norms again, not with biases, to
            train long.
    """

    name: str
    blocks: tuple[tuple[int, ...], ...]
    dense: int
    block_dropout: float
    dense_dropout: float
    max_epochs: int
    choose_by: str = "accuracy"
    patience: int = 6
    batch_size: int = 64
    learning_rate: float = 1e-3
    fall_epochs: int = 0
    last_rate: float = 0.0
    label_smoothing: float = 0.1
    average_decay: float = 0.998
    average_over: float = 1 / 9
    class_weights: str = "none"
    augment: bool = True
    keep_leaks: bool = False
    seed: int = 0
    residual: bool = False
    optimizer: str = "adam"
    weight_decay: float = 0.0
    warmup_epochs: int = 1
    stages: tuple[tuple[float, int], ...] = ((1.0, FACE_SIDE),)
    turn: float = 12.0
    zoom: tuple[float, float] = (0.88, 1.14)
    shift: float = 0.1
    light: float = 0.0
    erase: float = 0.0
    corruption: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    mix_from: float = 0.0
    votes_weight: float = 0.0
    precision: str = "float32"
    centre: bool = False
    initializer: str = "glorot_uniform"
    init: str = ""
    backbone: str = ""
    backbone_side: int = 0
    freeze_epochs: int = 0
    backbone_rate: float = 1.0
    teacher_weight: float = 0.0
    sam_radius: float = 0.0
    soft_label_weight: float = 0.0
    restore_batch_norm: bool = False

    def __post_init__(self) -> None:
        for name, kind in _kinds().items():
            if not _fits(getattr(self, name), kind):
                raise UsageError(
                    f"{name}: came {getattr(self, name)!r}; expected {_EXAMPLES.get(name) or _WORDS[kind]}"
                )
            if kind is float:  # TensorFlow does not take a whole number for one
                object.__setattr__(self, name, float(getattr(self, name)))
        for field, choices in (
            ("choose_by", SCORES),
            ("class_weights", CLASS_WEIGHTS),
            ("optimizer", OPTIMIZERS),
            ("precision", PRECISIONS),
            ("initializer", INITIALIZERS),
            ("backbone", ("", FOLDED, *BACKBONES)),
        ):
            if getattr(self, field) not in choices:
                raise UsageError(
                    f"{field}: came {getattr(self, field)!r}; expected one of {', '.join(choices)}"
                )
        if self.backbone not in ("", FOLDED) and not self.init:
            raise UsageError(
                f"backbone: came {self.backbone} without init; expected init=imagenet:{self.backbone}, which says "
                "whose weights to begin with"
            )
        # Without blocks `init` must say what is built.
        least = 0 if self.init and self.backbone != FOLDED else 1
        if not least <= len(self.blocks) <= 4 or not all(
            block and min(block) > 0 and max(block) <= 4096 for block in self.blocks
        ):
            raise UsageError(
                f"blocks: came {self.blocks}; expected 1 to 4 lists of 1 to 4096 filters (48 pixels halve 4 times)"
            )
        for field, low in (
            ("max_epochs", 1),
            ("patience", 1),
            ("batch_size", 2),
            ("dense", 0),
            ("seed", 0),
            ("fall_epochs", 0),
            ("freeze_epochs", 0),
        ):
            if getattr(self, field) < low:
                raise UsageError(f"{field}: came {getattr(self, field)}; expected at least {low}")
        if self.seed >= 2**32:
            raise UsageError(f"seed: came {self.seed}; expected less than 2^32")
        if not re.fullmatch(r"\w[\w.-]*", self.name):
            raise UsageError(
                f"name: came {self.name!r}; expected letters, digits, '_', '-' and '.': a folder's name"
            )
        if self.freeze_epochs and not self.init:
            raise UsageError(
                f"freeze_epochs: came {self.freeze_epochs} without init; expected 0: what is frozen must know something"
            )
        if self.backbone_side and not 32 <= self.backbone_side <= 512:
            raise UsageError(f"backbone_side: came {self.backbone_side}; expected 0 or 32 to 512")
        for field in ("backbone_rate", "average_over"):
            if not 0 < getattr(self, field) <= 1:
                raise UsageError(
                    f"{field}: came {getattr(self, field)}; expected more than 0 and at most 1"
                )
        if not 0 < self.learning_rate < 1:
            raise UsageError(
                f"learning_rate: came {self.learning_rate}; expected more than 0 and less than 1"
            )
        for field in (
            "block_dropout",
            "dense_dropout",
            "label_smoothing",
            "average_decay",
            "last_rate",
            "shift",
            "weight_decay",
        ):
            if not 0 <= getattr(self, field) < 1:
                raise UsageError(
                    f"{field}: came {getattr(self, field)}; expected at least 0 and less than 1"
                )
        for field, high in (
            ("turn", 180),
            ("light", 3),
            ("erase", 1),
            ("corruption", 1),
            ("mixup", 1),
            ("cutmix", 1),
            ("mix_from", 1),
            ("teacher_weight", 1),
            ("sam_radius", 10),
            ("soft_label_weight", 1),
            ("votes_weight", 100),
            ("warmup_epochs", 1000),
        ):
            if not 0 <= getattr(self, field) <= high:
                raise UsageError(f"{field}: came {getattr(self, field)}; expected 0 to {high}")
        if self.mixup + self.cutmix > 1:
            raise UsageError(
                f"mixup, cutmix: came {self.mixup} and {self.cutmix}; expected a sum of at most 1"
            )
        if self.fall_epochs and not self.last_rate:
            raise UsageError(
                f"fall_epochs: came {self.fall_epochs} with last_rate=0, which learns nothing after them; "
                "expected a last_rate such as 0.1, or fall_epochs=0"
            )
        if self.restore_batch_norm and not self.init:
            raise UsageError(
                "restore_batch_norm: came true without init; expected init, which says whose weights to begin with"
            )
        if not 0 < self.zoom[0] <= 1 <= self.zoom[1] <= 10:
            raise UsageError(
                f"zoom: came {self.zoom}; expected a smallest scale in (0, 1] and a largest from 1 to 10"
            )
        shares = [share for share, _ in self.stages]
        sides = [side for _, side in self.stages]
        rising = all(low < high for low, high in itertools.pairwise([0.0, *shares]))
        if (
            not rising
            or shares[-1:] != [1.0]
            or sides[-1:] != [FACE_SIDE]
            or not all(16 <= s <= 256 for s in sides)
        ):
            raise UsageError(
                f"stages: came {self.stages}; expected rising shares to (1.0, {FACE_SIDE}), and sides from 16 to 256"
            )
        if self.init and not self.restore_batch_norm and sides != [FACE_SIDE]:
            raise UsageError(
                f"stages: came {self.stages} with init={self.init}; expected [[1,{FACE_SIDE}]], the one side it "
                "begins at, or restore_batch_norm=true with the weights of mien's own layers"
            )
        if self.dense and sides != [FACE_SIDE]:
            raise UsageError(
                f"stages: came {self.stages} with a dense layer; expected dense 0: its weights fit one side"
            )

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @staticmethod
    def from_dict(fields: Mapping[str, Any]) -> Recipe:
        """The recipe that `to_dict` told. Fields that recipes no longer have are passed over: older
        runs hold them.

        Raises:
            TypeError: if a field is unknown.
        """
        return Recipe(
            **{name: _tuples(value) for name, value in fields.items() if name not in RETIRED}
        )

    def mixes(self, epoch: int) -> bool:
        """Whether faces are mixed in an epoch (from 1)."""
        late = (epoch - 1) / self.max_epochs >= self.mix_from
        return self.augment and late and self.mixup + self.cutmix > 0

    @property
    def one_side(self) -> bool:
        """Whether all epochs see faces of 48 px."""
        return all(side == FACE_SIDE for _, side in self.stages)

    @property
    def last_stage(self) -> int:
        """The epoch (from 1) that the last stage begins with; the last one at the latest, however
        few there are.
        """
        before = self.stages[-2][0] if len(self.stages) > 1 else 0.0
        return next(
            (n for n in range(1, self.max_epochs) if (n - 1) / self.max_epochs >= before),
            self.max_epochs,
        )

    def side(self, epoch: int) -> int:
        """Side in pixels of the faces in an epoch (from 1)."""
        if epoch >= self.last_stage:
            return FACE_SIDE
        return next(side for share, side in self.stages if (epoch - 1) / self.max_epochs < share)


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


def robust() -> Recipe:
    """A `champion` fine-tuned for robustness: `mien train DATA --recipe robust --init IT.zip --teacher IT.zip
    --teacher ANOTHER.zip`.

    It begins with its weights and learns to say of mixed, blurred, noisy and covered faces what its
    teachers, itself and others of other seeds, say of sharp ones (Furlanello et al. 2018,
    https://arxiv.org/abs/1805.04770). 79 minutes on two cores with bfloat16; docs/results.md has
    what it gives.
    """
    return dataclasses.replace(
        champion(),
        name="robust",
        max_epochs=40,
        learning_rate=0.015,
        fall_epochs=0,
        last_rate=0.99,
        warmup_epochs=1,
        stages=((1.0, FACE_SIDE),),
        corruption=0.2,
        erase=0.3,
        mix_from=0.0,
        init="mien",
        restore_batch_norm=True,
        teacher_weight=0.5,
    )


def swa() -> Recipe:
    """A robust network trained on without label smoothing, by weight averaging (SWA): `mien train DATA --recipe swa --init
    IT.zip`.

    What is kept is the mean of all its steps, each counted by its number, so that it need not be
    averaged with what it began as. 73 minutes on two cores without bfloat16; docs/results.md has
    what it gives.
    """
    return dataclasses.replace(
        robust(),
        name="swa",
        max_epochs=12,
        label_smoothing=0.0,
        average_over=0.5,
        corruption=0.1,
        teacher_weight=0.0,
    )


def finetune() -> Recipe:
    """The network in the package, or another of `--init`, learns your labels: `mien train DATA
    --init mien`.

    Three epochs for the head alone, then all of it at a fifth of the rate; little augmentation,
    small batches.
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


RECIPES: dict[str, Callable[[], Recipe]] = {
    "small": small,
    "medium": medium,
    "large": large,
    "champion": champion,
    "robust": robust,
    "swa": swa,
    "finetune": finetune,
}


def recipe(name: str, /, **changes: Any) -> Recipe:
    """The recipe of that name, with the fields in `changes` that are not None replaced.

    Raises:
        UsageError: if there is no such recipe or field, or a value is of another type or out of
            range.
    """
    if name not in RECIPES:
        raise UsageError(f"recipe: came {name!r}; expected one of {', '.join(RECIPES)}")
    if unknown := changes.keys() - _kinds().keys():
        raise UsageError(
            f"recipe {name}: came {', '.join(sorted(unknown))}; expected some of {', '.join(_kinds())}"
        )
    given = {field: _tuples(value) for field, value in changes.items() if value is not None}
    return dataclasses.replace(RECIPES[name](), **given)


def settings(given: Sequence[str]) -> dict[str, Any]:
    """Fields of a recipe from texts such as `erase=0.25` or `blocks=[[32],[64]]`: values are JSON,
    or plain words.

    Raises:
        UsageError: if a text has no `=`, or a recipe no such field.
    """
    found = dict[str, Any]()
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or name not in _kinds():
            raise UsageError(
                f"--set: came {text!r}; expected FIELD=VALUE, with one of {', '.join(_kinds())}"
            )
        try:
            found[name] = _tuples(json.loads(value))
        except ValueError:
            found[name] = value
        if found[name] is None:
            raise UsageError(
                f"--set: came {text!r}; expected a value. To mend: leave it out for the recipe's own"
            )
    return found


@cache
def _kinds() -> dict[str, Any]:
    """Type of each field of a recipe."""
    return typing.get_type_hints(Recipe)


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value is of a field's type; whole numbers are numbers, and truth values are not."""
    parts = typing.get_args(kind)
    if parts:  # of a tuple
        if not isinstance(value, tuple) or (parts[-1] is not ... and len(value) != len(parts)):
            return False
        kinds = parts[:1] * len(value) if parts[-1] is ... else parts
        return all(map(_fits, value, kinds))
    wanted = {int: numbers.Integral, float: numbers.Real}.get(kind, kind)
    return isinstance(value, wanted) and isinstance(value, bool) == (kind is bool)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(one) for one in value) if isinstance(value, list) else value
