"""The type of a recipe: all settings of a training, with the bounds of each field beside it."""

from __future__ import annotations

import dataclasses
import itertools
import numbers
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

from mien.constants import CLASS_WEIGHTS, FACE_SIDE
from mien.errors import UsageError
from mien.training.bounds import (
    BELOW_ONE,
    NAME,
    RATE,
    SEED,
    SHARE,
    SIDE,
    ZOOM,
    Bounds,
    at_least,
    one_of,
    up_to,
)

OPTIMIZERS = ("adam", "adamw", "sgd")
RETIRED = ("live_teachers",)  # fields of older recipes
PRECISIONS = ("auto", "float32", "bfloat16", "float16")
INITIALIZERS = ("glorot_uniform", "he_normal")
SCORES = ("accuracy", "loss", "last")
INPUT_SIDES = (FACE_SIDE, 2 * FACE_SIDE)
FOLDED = "folded"
LAYOUTS = ("plain", "dlib")
BACKBONES = ("MobileNetV2", "EfficientNetV2B0", "ResNet50")  # of keras.applications
_PAIRED = 8  # pixels; divides the sides for which dlib's pairs of convolutions fit
_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
_EXAMPLES = {
    "blocks": "a list of filters for each block, such as [[32,32],[64,64]]",
    "stages": "pairs of share and side, such as [[0.5,32],[1,48]]",
    "zoom": "two numbers, such as [0.8,1.15]",
}


@dataclass(frozen=True)
class Recipe:
    """How to build and train one network.

    Attributes:
        name: The name of the network in tables.
        blocks: Filters of the 3x3 convolutions, a tuple for each block; a block ends in a 2x2
            max-pooling.
        dense: Units of the dense layer between Flatten and the classes; 0 means global average
            pooling instead of both.
        block_dropout: Dropout rate after the second block and later ones, in [0, 1).
        dense_dropout: Dropout rate before the classes, in [0, 1).
        max_epochs: Length of the schedule.
        choose_by: Validation score that decides which epoch is kept: `accuracy`, or `loss`, which
            varies less by chance and is computed at the best temperature for that epoch, so that
            over- and underconfidence do not count. Or `last`: the last epoch, for a mean of all
            steps.
        patience: Epochs without improvement after which training stops early.
        batch_size: Faces in a step.
        learning_rate: The rate after the warm-up.
        fall_epochs: Epochs over which the rate falls along a cosine to zero; 0 means all.
        last_rate: The rate never falls below this share of `learning_rate`. With an `average_decay`
            near 1 that is a form of SWA (Izmailov et al. 2018, https://arxiv.org/abs/1803.05407):
            `average_over` says which steps are averaged.
        label_smoothing: Share of each target spread evenly over the classes, in [0, 1).
        average_decay: Decay of the moving average of the weights in each step; the average is
            judged and kept.
        average_over: Share of the steps so far, the last ones, from which most of a young average
            comes, in (0, 1]: 1 is the plain mean of all steps; with 0.5 each step counts by its
            number; with 1/9 the last ninth is two thirds of it. With an `average_decay` near 1 an
            average stays young.
        class_weights: `none`, `balanced` (n / (K n_c), scikit-learn's formula) or `sqrt` (its
            square root).
        augment: Change the training faces at random, by the fields from `turn` to `cutmix`.
        keep_leaks: Also train on rows whose pixels occur in validation or test.
        seed: For initial weights, batch order, dropout and augmentation.
        residual: Convolutions that keep the number of filters add their input to their output.
        layout: How the convolutions of `blocks` are joined: `plain`, one after the other, or
            `dlib`, in pairs as in dlib's face-recognition network (`mien.training.dlib_trunk`).
        optimizer: `adam`, `adamw`, or `sgd` with Nesterov momentum 0.9.
        weight_decay: Adds this share of each kernel to its gradient (L2); AdamW subtracts it, times
            the rate, from the kernel.
        warmup_epochs: Epochs over which the rate rises linearly from a hundredth.
        stages: (share, side) pairs: up to that share of the epochs, faces are resampled to that
            side in pixels; the last is (1, 48), and the last epoch belongs to it. Small faces first
            make most of the training cheap. For an `input_side` of 96 all sides count double. With
            `init=dlib` 8 divides each side.
        turn: Degrees to either side.
        zoom: Smallest and largest scale.
        shift: Share of the picture's side, in each direction.
        light: Strength of random contrast and brightness, 0 for none (`mien.training.augment`).
        erase: Share of the faces that lose a box.
        corruption: Share of the faces that are blurred, of those that get noise, and of those
            rounded as JPEG does.
        mixup: Share of the faces to which another one is added, with its targets.
        cutmix: Share of the faces into which a box of another one is pasted, with its share of the
            targets.
        mix_from: Share of the epochs after which faces are mixed; before it a network has learned
            too little.
        votes_weight: Weight in the loss of a second head, `votes`, that learns the distribution of
            the FER+ votes; 0 means no such head.
        precision: Of the layers in training: `float32`, `bfloat16`, `float16` (with a scaled loss),
            or `auto`: bfloat16 if the machine has it, float16 on NVIDIA GPUs that have only that.
            Weights are always float32.
        centre: Gray values enter as (x - 128) / 64; otherwise as x / 255.
        input_side: Side in pixels of the faces that the network takes, 48 or 96. At 96 the first
            convolution is 6x6 with stride 2, and the layers behind it are as at 48.
        initializer: Keras' name of the initializer of the convolutions' kernels.
        init: The weights to start from (`mien.training.transfer`): `mien`, a bundle, a run folder,
            `dlib`, `imagenet:NAME`, `imagenet:NAME:random`. They also decide `backbone`, `blocks`,
            `layout`, `dense`, `residual` and `centre`; without `restore_batch_norm` faces have 48
            pixels throughout, and a network of keras.applications is float32.
        backbone: The network. Empty: `blocks` with batch norm. `folded`: `blocks` with biases
            instead, as in bundles. Otherwise a network of keras.applications with a new head.
        backbone_side: Side in pixels to which the faces are resized for a network of
            keras.applications; 0: its own.
        freeze_epochs: Epochs in which only the heads learn, at `learning_rate`.
        backbone_rate: After them the whole network learns, at this share of `learning_rate`.
        teacher_weight: Share of the targets that come from teachers. In each step they see the
            faces of the student, augmented and mixed but not yet corrupted; 0 means no teachers.
        sam_radius: Distance from the weights, uphill and relative to their length, at which the
            gradient is taken (SAM, Foret et al. 2021, https://arxiv.org/abs/2010.01412); 0 means
            no SAM. It doubles the time.
        soft_label_weight: Share of the labels' targets that comes from the face's FER+ votes
            (`targets.labels_by_votes`).
        face_api_weight: Share of the labels' targets that comes from face-api's network, asked once
            about each training face as it is (`mien.training.face_api`), but not about
            photographs; 0 means that it is not downloaded.
        photograph_share: Share of each batch that is drawn from photographs, whose labels teach
            only the vote head (`fit.Sources`); 0 means no photographs.
        restore_batch_norm: With `init` of mien's own layers: start with batch norms again instead
            of biases, for long training.
    """

    name: Annotated[str, NAME]
    blocks: tuple[tuple[int, ...], ...]
    dense: Annotated[int, at_least(0)]
    block_dropout: Annotated[float, BELOW_ONE]
    dense_dropout: Annotated[float, BELOW_ONE]
    max_epochs: Annotated[int, at_least(1)]
    choose_by: Annotated[str, one_of(*SCORES)] = "accuracy"
    patience: Annotated[int, at_least(1)] = 6
    batch_size: Annotated[int, at_least(2)] = 64
    learning_rate: Annotated[float, RATE] = 1e-3
    fall_epochs: Annotated[int, at_least(0)] = 0
    last_rate: Annotated[float, BELOW_ONE] = 0.0
    label_smoothing: Annotated[float, BELOW_ONE] = 0.1
    average_decay: Annotated[float, BELOW_ONE] = 0.998
    average_over: Annotated[float, SHARE] = 1 / 9
    class_weights: Annotated[str, one_of(*CLASS_WEIGHTS)] = "none"
    augment: bool = True
    keep_leaks: bool = False
    seed: Annotated[int, at_least(0), SEED] = 0
    residual: bool = False
    layout: Annotated[str, one_of(*LAYOUTS)] = "plain"
    optimizer: Annotated[str, one_of(*OPTIMIZERS)] = "adam"
    weight_decay: Annotated[float, BELOW_ONE] = 0.0
    warmup_epochs: Annotated[int, up_to(1000)] = 1
    stages: tuple[tuple[float, int], ...] = ((1.0, FACE_SIDE),)
    turn: Annotated[float, up_to(180)] = 12.0
    zoom: Annotated[tuple[float, float], ZOOM] = (0.88, 1.14)
    shift: Annotated[float, BELOW_ONE] = 0.1
    light: Annotated[float, up_to(3)] = 0.0
    erase: Annotated[float, up_to(1)] = 0.0
    corruption: Annotated[float, up_to(1)] = 0.0
    mixup: Annotated[float, up_to(1)] = 0.0
    cutmix: Annotated[float, up_to(1)] = 0.0
    mix_from: Annotated[float, up_to(1)] = 0.0
    votes_weight: Annotated[float, up_to(100)] = 0.0
    precision: Annotated[str, one_of(*PRECISIONS)] = "float32"
    centre: bool = False
    input_side: Annotated[int, one_of(*INPUT_SIDES)] = FACE_SIDE
    initializer: Annotated[str, one_of(*INITIALIZERS)] = "glorot_uniform"
    init: str = ""
    backbone: Annotated[str, one_of("", FOLDED, *BACKBONES)] = ""
    backbone_side: Annotated[int, SIDE] = 0
    freeze_epochs: Annotated[int, at_least(0)] = 0
    backbone_rate: Annotated[float, SHARE] = 1.0
    teacher_weight: Annotated[float, up_to(1)] = 0.0
    sam_radius: Annotated[float, up_to(10)] = 0.0
    soft_label_weight: Annotated[float, up_to(1)] = 0.0
    face_api_weight: Annotated[float, up_to(1)] = 0.0
    photograph_share: Annotated[float, BELOW_ONE] = 0.0
    restore_batch_norm: bool = False

    def __post_init__(self) -> None:
        for name, kind in kinds().items():
            if not _fits(getattr(self, name), kind):
                raise UsageError(
                    f"{name}: got {getattr(self, name)!r}; expected "
                    f"{_EXAMPLES.get(name) or _WORDS[kind]}. Fix: correct the value"
                )
            if kind is float:  # TensorFlow does not take a whole number for one
                object.__setattr__(self, name, float(getattr(self, name)))
        for name, bounds in _bounds():
            if not bounds.hold(getattr(self, name)):
                raise UsageError(
                    f"{name}: got {getattr(self, name)!r}; expected {bounds.expected}. Fix: "
                    + bounds.fix(getattr(self, name))
                )
        self._check_beginning()
        self._check_stages()
        if self.mixup + self.cutmix > 1:
            raise UsageError(
                f"mixup, cutmix: got {self.mixup} and {self.cutmix}; expected a sum of at most 1. "
                "Fix: lower one of them"
            )
        if self.fall_epochs and not self.last_rate:
            raise UsageError(
                f"fall_epochs: got {self.fall_epochs} with last_rate=0, so that nothing is learned "
                "after them; expected a rate above 0. Fix: give last_rate=0.1, or fall_epochs=0"
            )

    def _check_beginning(self) -> None:
        """Check what is built, and which weights it starts from."""
        if self.backbone not in ("", FOLDED) and not self.init:
            raise UsageError(
                f"backbone: got {self.backbone} without init; expected the weights to start from. "
                f"Fix: give init=imagenet:{self.backbone}"
            )
        # Without blocks `init` must say what is built.
        least = 0 if self.init and self.backbone != FOLDED else 1
        if not least <= len(self.blocks) <= 4 or not all(
            block and min(block) > 0 and max(block) <= 4096 for block in self.blocks
        ):
            raise UsageError(
                f"blocks: got {self.blocks}; expected 1 to 4 lists of 1 to 4096 filters, since 48 "
                "pixels halve 4 times. Fix: give such lists"
            )
        if self.layout != LAYOUTS[0] and not self._in_pairs():
            raise UsageError(
                f"layout: got {self.layout} with the blocks {self.blocks}, dense {self.dense}, "
                f"residual {self.residual} and input_side {self.input_side}; expected equal "
                "filters in each block, odd in number in the first and even in others, and "
                f"dense=0, residual=false, input_side={INPUT_SIDES[1]}. Fix: init=dlib, which says "
                "all that"
            )
        if self.backbone not in ("", FOLDED) and self.input_side != FACE_SIDE:
            raise UsageError(
                f"input_side: got {self.input_side} with {self.backbone}; expected {FACE_SIDE}. "
                "Fix: leave it out; backbone_side is the side of that network"
            )
        if self.freeze_epochs and not self.init:
            raise UsageError(
                f"freeze_epochs: got {self.freeze_epochs} without init; expected 0, since frozen "
                "layers must be trained ones. Fix: give init, or freeze_epochs=0"
            )
        if self.restore_batch_norm and not self.init:
            raise UsageError(
                "restore_batch_norm: got true without init; expected the weights to start from. "
                "Fix: give init, or restore_batch_norm=false"
            )

    def _in_pairs(self) -> bool:
        """Whether convolutions can be joined in pairs, behind the first one of all."""
        pairs = all(
            len(set(filters)) == 1 and len(filters) % 2 == (block == 0)
            for block, filters in enumerate(self.blocks)
        )
        return pairs and not self.dense and not self.residual and self.input_side == INPUT_SIDES[1]

    def _check_stages(self) -> None:
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
                f"stages: got {self.stages}; expected rising shares up to [1.0, {FACE_SIDE}], and "
                f"sides from 16 to 256. Fix: write stages such as [[0.5,32],[1,{FACE_SIDE}]]"
            )
        fixed = self.init not in ("", LAYOUTS[1]) and not self.restore_batch_norm
        if fixed and sides != [FACE_SIDE]:
            raise UsageError(
                f"stages: got {self.stages} with init={self.init}; expected the single side of its "
                f"network. Fix: give stages=[[1,{FACE_SIDE}]], or restore_batch_norm=true with "
                "weights of mien's own layers"
            )
        if LAYOUTS[1] in (self.layout, self.init) and any(side % _PAIRED for side in sides):
            raise UsageError(
                f"stages: got {self.stages} with layers in dlib's layout; expected sides divisible "
                f"by {_PAIRED}, for which the paths of each pair meet at one size. Fix: give such "
                f"sides, as in stages=[[0.4,32],[1,{FACE_SIDE}]]"
            )
        if self.dense and sides != [FACE_SIDE]:
            raise UsageError(
                f"stages: got {self.stages} with a dense layer; expected a single side, the one "
                f"that its weights fit. Fix: give dense=0, or stages=[[1,{FACE_SIDE}]]"
            )

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @staticmethod
    def from_dict(fields: Mapping[str, Any]) -> Recipe:
        """The recipe from `to_dict`. Fields that only older recipes have are ignored.

        Raises:
            TypeError: if a field is unknown.
        """
        return Recipe(
            **{name: tuples(value) for name, value in fields.items() if name not in RETIRED}
        )

    def mixes(self, epoch: int) -> bool:
        """Whether faces are mixed in an epoch (from 1)."""
        late = (epoch - 1) / self.max_epochs >= self.mix_from
        return self.augment and late and self.mixup + self.cutmix > 0

    @property
    def one_side(self) -> bool:
        """Whether all epochs see faces of the side that the network takes."""
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
        scale = self.input_side // FACE_SIDE
        if epoch >= self.last_stage:
            return self.input_side
        passed = (epoch - 1) / self.max_epochs
        return next(side for share, side in self.stages if passed < share) * scale


@cache
def kinds() -> dict[str, Any]:
    """Type of each field of a recipe."""
    return typing.get_type_hints(Recipe)


@cache
def _bounds() -> tuple[tuple[str, Bounds], ...]:
    """Each field that has bounds, with them."""
    hints = typing.get_type_hints(Recipe, include_extras=True)
    return tuple(
        (name, bounds)
        for name, hint in hints.items()
        for bounds in getattr(hint, "__metadata__", ())
    )


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


def tuples(value: Any) -> Any:
    """Lists, as JSON has them, as tuples."""
    return tuple(tuples(one) for one in value) if isinstance(value, list) else value
