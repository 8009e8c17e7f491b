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

LANDMARKS = (
    "right_eye",
    "left_eye",
    "nose",
    "right_mouth",
    "left_mouth",
)  # of the person, not of the picture

NO_FACE = "perhaps no face"  # a reason to doubt
ANGLES = ("yaw", "pitch", "roll")  # of a head, in degrees
UNPLEASANT = ("angry", "disgust", "fear", "sad", "contempt")


def valence(labels: Sequence[str], probabilities: Sequence[float]) -> float | None:
    """How pleasant an expression looks: the probability of happy less that of the likeliest
    unpleasant expression, from -1 to 1.

    The definition is FaceReader's (Noldus, FaceReader methodology note; Loijens and Krips): the
    intensity of happy less that of the most intense negative expression; surprise counts as
    neither. Here both are probabilities, not intensities: a faint smile that is surely one has a
    valence near 1.

    Returns:
        None where the labels have no happy or no unpleasant expression.

    >>> valence(("angry", "happy", "neutral"), (0.25, 0.5, 0.25))
    0.25
    """
    named = dict(zip(labels, probabilities, strict=True))
    unpleasant = [named[name] for name in UNPLEASANT if name in named]
    return named["happy"] - max(unpleasant) if "happy" in named and unpleasant else None


@dataclass(frozen=True)
class Quality:
    """How well a face is visible.

    Attributes:
        size_px: Shorter side of its box, in pixels of the picture.
        sharpness: Higher is sharper; `mien.recognizer` says how it is measured.
        turn: From 0 (frontal) to 1 (profile), estimated from the landmarks; None without them.
        brightness: Mean of the face as the network sees it, from 0 (black) to 1; None if not
            measured.
    """

    size_px: float
    sharpness: float
    turn: float | None = None
    brightness: float | None = None

    def __post_init__(self) -> None:
        for name in ("size_px", "sharpness", "turn", "brightness"):
            value = getattr(self, name)
            if value is not None or name not in ("turn", "brightness"):
                object.__setattr__(self, name, number_of(value, name))


@dataclass(frozen=True, repr=False)
class Face:
    """One face and what its expression looks like. It says nothing about what the person feels.

    `face["happy"]` is the probability of a label; a notebook shows the face with a bar for each.

    Attributes:
        box: x0, y0, x1, y1 in pixels of the picture, origin top left.
        score: The detector's, 0 to 1.
        landmarks: Five points (x, y) in the order of `LANDMARKS`, or None.
        label: The likeliest of `labels`.
        probabilities: Label -> calibrated probability, a float that holds a 32-bit value, in the
            order of the network, sum 1; of a video smoothed in time. Read-only; `.values()` is
            the row.
        entropy: -sum(p ln p) / ln K, from 0 (sure) to 1 (no idea).
        quality: How well the face can be seen.
        uncertain: Whether the label should not be relied upon, for `reason` ('' if it may).
        track: Number of the person in a video; None where faces were not followed.
        raw: Probabilities of this frame alone, where `probabilities` are smoothed.
        heads: Probabilities of further outputs of the network: name -> label -> probability.
        pose: The head's yaw, pitch and roll in degrees (`mien.vision.head_pose`), or None.
        crop: The face as the network sees it, uint8 (48, 48, 1); None where it was not kept, as in
            a face that was read from JSON. It takes no part in comparing.

    Raises:
        DataError: for values that cannot be so.

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
        put = object.__setattr__
        put(self, "box", tuple(number_of(value, "box") for value in self.box))
        put(self, "score", number_of(self.score, "score"))
        put(self, "entropy", number_of(self.entropy, "entropy"))
        put(self, "uncertain", bool(self.uncertain))
        put(self, "probabilities", _probabilities(self.probabilities, "probabilities"))
        if self.raw is not None:
            put(self, "raw", _probabilities(self.raw, "raw"))
            if tuple(self.raw) != self.labels:
                raise wrong(f"raw of {', '.join(self.raw)}", "the labels of the probabilities")
        if self.track is not None:
            put(self, "track", int(self.track))
        if self.pose is not None:
            put(self, "pose", tuple(number_of(value, "pose") for value in self.pose))
            if len(self.pose) != 3:
                raise wrong(f"the pose {self.pose}", "yaw, pitch and roll, or None")
        if self.landmarks is not None:
            points = tuple(
                (number_of(x, "landmarks"), number_of(y, "landmarks")) for x, y in self.landmarks
            )
            put(self, "landmarks", points)
            if len(points) != len(LANDMARKS):
                raise wrong(f"{len(points)} landmarks", f"{len(LANDMARKS)}, or None")
        heads = {
            str(name): _probabilities(answer, f"heads[{name!r}]")
            for name, answer in self.heads.items()
        }
        put(self, "heads", ReadOnly(heads))
        if len(self.box) != 4 or self.box[0] > self.box[2] or self.box[1] > self.box[3]:
            raise wrong(f"the box {self.box}", "x0, y0, x1, y1 with x0 <= x1 and y0 <= y1")
        if self.label not in self.labels:
            raise wrong(f"the label {self.label!r}", "one of " + ", ".join(self.labels))
        for name in ("score", "entropy"):
            if not -1e-6 <= getattr(self, name) <= 1 + 1e-6:
                raise wrong(f"{name} {getattr(self, name)}", "a number from 0 to 1")

    def __getitem__(self, label: str) -> float:
        """The probability of a label.

        Raises:
            KeyError: for another label; it lists those that there are.
        """
        return self.probabilities[label]

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of all expressions, in the order of the network."""
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
        """How pleasant the face looks, -1 to 1; None where `labels` have no happy face or no
        unpleasant one.
        """
        return valence(self.labels, tuple(self.probabilities.values()))

    def to_dict(self) -> dict[str, Any]:
        """For JSON; `probabilities` and `raw` are label -> number, in the order of `labels`."""
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
        """The way back from `to_dict`.

        Raises:
            DataError: if something is missing or cannot be so.
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
            raise wrong(
                f"values that are not a face ({type(error).__name__}: {error})",
                "those of Face.to_dict",
            ) from error


def number_of(value: Any, name: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise wrong(f"{name} {value!r}", "a finite number")
    return number


def _probabilities(values: Mapping[str, Any], name: str) -> Probabilities:
    if not isinstance(values, Mapping):
        raise wrong(f"{name} as {type(values).__name__}", "a mapping label -> number")
    numbers = {str(label): number_of(value, name) for label, value in values.items()}
    inside = all(-1e-6 <= number <= 1 + 1e-6 for number in numbers.values())
    if not inside or abs(sum(numbers.values()) - 1) > 1e-3:
        raise wrong(f"{name} {numbers}", "numbers from 0 to 1 whose sum is 1")
    return Probabilities(numbers)


def wrong(got: str, expected: str) -> DataError:
    return DataError("result", got=got, expected=expected, fix="create it with valid values")
