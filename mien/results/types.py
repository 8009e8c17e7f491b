"""The result for one face: label, probabilities, box, quality, pose."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from mien.errors import DataError
from mien.results.mappings import Probabilities, ReadOnly

if TYPE_CHECKING:
    import numpy as np

# Left and right are the person's, not the picture's.
LANDMARKS = ("right_eye", "left_eye", "nose", "right_mouth", "left_mouth")

NO_FACE = "perhaps no face"  # a reason for an uncertain prediction
ANGLES = ("yaw", "pitch", "roll")  # of a head, in degrees
UNPLEASANT = ("angry", "disgust", "fear", "sad", "contempt")


def valence(labels: Sequence[str], probabilities: Sequence[float]) -> float | None:
    """How pleasant an expression looks: P(happy) minus the highest P of an unpleasant expression.

    The definition is FaceReader's (Loijens and Krips, FaceReader methodology note, Noldus): the
    intensity of happy minus that of the most intense negative expression; surprise counts as
    neither. Here both are probabilities, not intensities: a faint but unmistakable smile has a
    valence near 1.

    Returns:
        A number in [-1, 1]; None if the labels lack happy or have no unpleasant expression.

    >>> valence(("angry", "happy", "neutral"), (0.25, 0.5, 0.25))
    0.25
    """
    by_label = dict(zip(labels, probabilities, strict=True))
    unpleasant = [by_label[name] for name in UNPLEASANT if name in by_label]
    return by_label["happy"] - max(unpleasant) if "happy" in by_label and unpleasant else None


@dataclass(frozen=True)
class Quality:
    """How well a face is visible.

    Attributes:
        size_px: Shorter side of its box, in pixels of the picture.
        sharpness: 0 or more, higher is sharper; `mien.recognizer` explains the measure.
        turn: From 0 (frontal) to 1 (profile), estimated from the landmarks; None without them.
        brightness: Mean of the network's input, from 0 (black) to 1; None if not measured.
    """

    size_px: float
    sharpness: float
    turn: float | None = None
    brightness: float | None = None

    def __post_init__(self) -> None:
        for name in ("size_px", "sharpness", "turn", "brightness"):
            value = getattr(self, name)
            if value is not None or name not in ("turn", "brightness"):
                object.__setattr__(self, name, finite_number(value, name))


@dataclass(frozen=True, repr=False)
class Face:
    """One face and what its expression looks like. It says nothing about what the person feels.

    `face["happy"]` is the probability of a label; a notebook shows the face with a bar for each.

    Attributes:
        box: x0, y0, x1, y1 in pixels of the picture, origin top left.
        score: The detector's confidence, 0 to 1.
        landmarks: Five points (x, y) in pixels, in the order of `LANDMARKS`, or None.
        label: The likeliest of `labels`.
        probabilities: Label -> calibrated probability in label order; they sum to 1 and hold 32-bit
            values. Those of a video are smoothed over time. Read-only; `.values()` is the row.
        entropy: -sum(p ln p) / ln K, from 0 (one label is certain) to 1 (all are equally likely).
        quality: How well the face is visible.
        uncertain: Whether the label should not be relied upon.
        reason: Why it is uncertain; '' if it is not.
        track: Number of the person in a video; None without tracking.
        raw: Probabilities of this frame alone, if `probabilities` are smoothed.
        heads: Probabilities of the network's other heads: name -> label -> probability.
        pose: The head's yaw, pitch and roll in degrees (`mien.vision.head_pose`), or None.
        crop: The network's input, uint8 (48, 48, 1); None if it was not kept, as in a face read
            from JSON. It is not compared.

    Raises:
        DataError: for impossible values.

    >>> face = mien.load(detector="none").faces("face.png")[0]
    >>> face
    Face('happy' 1.00, box=(0, 0, 120, 120))
    >>> list(face.probabilities)
    ['angry', 'disgust', 'fear', 'happy', 'sad', 'surprise', 'neutral']
    >>> round(sum(face.probabilities.values()), 3)
    1.0
    """

    box: tuple[float, float, float, float]
    score: float
    landmarks: tuple[tuple[float, float], ...] | None
    label: str
    probabilities: Mapping[str, float]
    entropy: float
    quality: Quality
    uncertain: bool = False
    reason: str = ""
    track: int | None = None
    raw: Mapping[str, float] | None = None
    heads: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    pose: tuple[float, float, float] | None = None
    crop: np.ndarray | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        set_field(self, "box", tuple(finite_number(value, "box") for value in self.box))
        set_field(self, "score", finite_number(self.score, "score"))
        set_field(self, "entropy", finite_number(self.entropy, "entropy"))
        set_field(self, "uncertain", bool(self.uncertain))
        set_field(self, "probabilities", _probabilities(self.probabilities, "probabilities"))
        if self.raw is not None:
            set_field(self, "raw", _probabilities(self.raw, "raw"))
            if tuple(self.raw) != self.labels:
                raise invalid_value(
                    f"raw for {', '.join(self.raw)}", "the labels of the probabilities"
                )
        if self.track is not None:
            set_field(self, "track", int(self.track))
        if self.pose is not None:
            set_field(self, "pose", tuple(finite_number(value, "pose") for value in self.pose))
            if len(self.pose) != 3:
                raise invalid_value(f"the pose {self.pose}", "yaw, pitch and roll, or None")
        if self.landmarks is not None:
            points = tuple(
                (finite_number(x, "landmarks"), finite_number(y, "landmarks"))
                for x, y in self.landmarks
            )
            set_field(self, "landmarks", points)
            if len(points) != len(LANDMARKS):
                raise invalid_value(f"{len(points)} landmarks", f"{len(LANDMARKS)}, or None")
        heads = {
            str(name): _probabilities(answer, f"heads[{name!r}]")
            for name, answer in self.heads.items()
        }
        set_field(self, "heads", ReadOnly(heads))
        if len(self.box) != 4 or self.box[0] > self.box[2] or self.box[1] > self.box[3]:
            raise invalid_value(f"the box {self.box}", "x0, y0, x1, y1 with x0 <= x1 and y0 <= y1")
        if self.label not in self.labels:
            raise invalid_value(f"the label {self.label!r}", "one of " + ", ".join(self.labels))
        for name in ("score", "entropy"):
            if not -1e-6 <= getattr(self, name) <= 1 + 1e-6:
                raise invalid_value(f"{name} {getattr(self, name)}", "a number from 0 to 1")

    def __getitem__(self, label: str) -> float:
        """The probability of a label.

        Raises:
            KeyError: for an unknown label; it lists the known ones.
        """
        return self.probabilities[label]

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of all expressions, in the order of the network's outputs."""
        return tuple(self.probabilities)

    @property
    def top(self) -> tuple[str, float]:
        """The likeliest label and its probability."""
        return self.label, self[self.label]

    def __repr__(self) -> str:
        box = ", ".join(f"{value:.0f}" for value in self.box)
        doubt = f", uncertain: {self.reason}" if self.uncertain else ""
        return f"Face({self.label!r} {self[self.label]:.2f}, box=({box}){doubt})"

    def _repr_html_(self) -> str:
        from mien.results.html import face_html

        return face_html(self)

    @property
    def perhaps_no_face(self) -> bool:
        """Whether the prediction is uncertain because there may be no face at all."""
        return NO_FACE in self.reason

    @property
    def valence(self) -> float | None:
        """How pleasant the face looks, in [-1, 1]; None if `labels` do not allow it (`valence`)."""
        return valence(self.labels, tuple(self.probabilities.values()))

    def to_dict(self) -> dict[str, Any]:
        """The face as plain values for JSON."""
        return {
            "box": list(self.box),
            "score": self.score,
            "landmarks": None
            if self.landmarks is None
            else [list(point) for point in self.landmarks],
            "label": self.label,
            "probabilities": dict(self.probabilities),
            "valence": self.valence,
            "entropy": self.entropy,
            "pose": None if self.pose is None else dict(zip(ANGLES, self.pose, strict=True)),
            "quality": asdict(self.quality),
            "uncertain": self.uncertain,
            "reason": self.reason,
            "track": self.track,
            "raw": None if self.raw is None else dict(self.raw),
            "heads": {name: dict(answer) for name, answer in self.heads.items()},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Face:
        """The inverse of `to_dict`.

        Raises:
            DataError: if a value is missing or impossible.
        """
        try:
            points, raw, pose = values["landmarks"], values["raw"], values.get("pose")
            return cls(
                tuple(values["box"]),
                values["score"],
                None if points is None else tuple((x, y) for x, y in points),
                values["label"],
                values["probabilities"],
                values["entropy"],
                Quality(**values["quality"]),
                values["uncertain"],
                values["reason"],
                values["track"],
                None if raw is None else {name: raw[name] for name in values["probabilities"]},
                values["heads"],
                None if pose is None else tuple(pose[name] for name in ANGLES),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise invalid_value(
                f"values that are not a face ({type(error).__name__}: {error})",
                "those of Face.to_dict",
            ) from error


def finite_number(value: Any, name: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise invalid_value(f"{name} {value!r}", "a finite number")
    return number


def _probabilities(values: Mapping[str, Any], name: str) -> Probabilities:
    if not isinstance(values, Mapping):
        raise invalid_value(f"{name} as {type(values).__name__}", "a mapping label -> number")
    numbers = {str(label): finite_number(value, name) for label, value in values.items()}
    in_range = all(-1e-6 <= number <= 1 + 1e-6 for number in numbers.values())
    if not in_range or abs(sum(numbers.values()) - 1) > 1e-3:
        raise invalid_value(f"{name} {numbers}", "numbers from 0 to 1 that sum to 1")
    return Probabilities(numbers)


def invalid_value(got: str, expected: str) -> DataError:
    return DataError("result", got=got, expected=expected, fix="create it with valid values")
