"""Answers: a face, and a frame with its faces. A frame is what was looked at: a picture, or one
picture of a video.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from mien.errors import DataError

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
    """How well a face can be seen.

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
                object.__setattr__(self, name, _number(value, name))


@dataclass(frozen=True, repr=False)
class Face:
    """One face and what its expression looks like. It says nothing about what the person feels.

    Attributes:
        box: x0, y0, x1, y1 in pixels of the picture, origin top left.
        score: The detector's, 0 to 1.
        landmarks: Five points (x, y) in the order of `LANDMARKS`, or None.
        label: The likeliest of `labels`.
        labels: The names of all expressions, in the order of the network.
        probabilities: Calibrated, one for each label, sum 1; of a video smoothed in time.
        entropy: -sum(p ln p) / ln K, from 0 (sure) to 1 (no idea).
        quality: How well the face can be seen.
        uncertain: Whether the label should not be relied upon, for `reason` ('' if it may).
        track: Number of the person in a video; None where faces were not followed.
        raw: Probabilities of this frame alone, where `probabilities` are smoothed.
        heads: Probabilities of further outputs of the network: name -> label -> probability.
        pose: The head's yaw, pitch and roll in degrees (`mien.vision.head_pose`), or None.

    Raises:
        DataError: for values that cannot be so.
    """

    box: tuple[float, float, float, float]
    score: float
    landmarks: tuple[tuple[float, float], ...] | None
    label: str
    labels: tuple[str, ...]
    probabilities: tuple[float, ...]
    entropy: float
    quality: Quality
    uncertain: bool = False
    reason: str = ""
    track: int | None = None
    raw: tuple[float, ...] | None = None
    heads: Mapping[str, Mapping[str, float]] = field(default_factory=dict, hash=False)
    pose: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "box", tuple(_number(value, "box") for value in self.box))
        put(self, "score", _number(self.score, "score"))
        put(self, "entropy", _number(self.entropy, "entropy"))
        put(self, "uncertain", bool(self.uncertain))
        put(self, "labels", tuple(str(name) for name in self.labels))
        put(
            self,
            "probabilities",
            _probabilities(self.probabilities, len(self.labels), "probabilities"),
        )
        if self.raw is not None:
            put(self, "raw", _probabilities(self.raw, len(self.labels), "raw"))
        if self.track is not None:
            put(self, "track", int(self.track))
        if self.pose is not None:
            put(self, "pose", tuple(_number(value, "pose") for value in self.pose))
            if len(self.pose) != 3:
                raise _wrong(f"the pose {self.pose}", "yaw, pitch and roll, or None")
        if self.landmarks is not None:
            points = tuple(
                (_number(x, "landmarks"), _number(y, "landmarks")) for x, y in self.landmarks
            )
            put(self, "landmarks", points)
            if len(points) != len(LANDMARKS):
                raise _wrong(f"{len(points)} landmarks", f"{len(LANDMARKS)}, or None")
        heads = {}
        for name, answer in self.heads.items():
            values = _probabilities(tuple(answer.values()), len(answer), f"heads[{name!r}]")
            heads[name] = dict(zip(answer, values, strict=True))
        put(self, "heads", heads)
        if len(self.box) != 4 or self.box[0] > self.box[2] or self.box[1] > self.box[3]:
            raise _wrong(f"the box {self.box}", "x0, y0, x1, y1 with x0 <= x1 and y0 <= y1")
        if self.label not in self.labels:
            raise _wrong(f"the label {self.label!r}", "one of " + ", ".join(self.labels))
        for name in ("score", "entropy"):
            if not -1e-6 <= getattr(self, name) <= 1 + 1e-6:
                raise _wrong(f"{name} {getattr(self, name)}", "a number from 0 to 1")

    def __getitem__(self, label: str) -> float:
        """The probability of a label."""
        try:
            return self.probabilities[self.labels.index(label)]
        except ValueError:
            raise KeyError(f"{label!r}: expected one of {', '.join(self.labels)}") from None

    @property
    def top(self) -> tuple[str, float]:
        """The likeliest label and its probability."""
        return self.label, self[self.label]

    def __repr__(self) -> str:
        box = ", ".join(f"{value:.0f}" for value in self.box)
        doubt = f", uncertain: {self.reason}" if self.uncertain else ""
        return f"Face({self.label!r} {self[self.label]:.2f}, box=({box}){doubt})"

    @property
    def perhaps_no_face(self) -> bool:
        """Whether the reason to doubt is that there may be no face at all."""
        return NO_FACE in self.reason

    @property
    def valence(self) -> float | None:
        """How pleasant the face looks, -1 to 1; None where `labels` have no happy face or no
        unpleasant one.
        """
        return valence(self.labels, self.probabilities)

    def to_dict(self) -> dict[str, Any]:
        """For JSON; `probabilities` and `raw` are label -> number, in the order of `labels`."""
        return {
            "box": list(self.box),
            "score": self.score,
            "landmarks": None
            if self.landmarks is None
            else [list(point) for point in self.landmarks],
            "label": self.label,
            "probabilities": dict(zip(self.labels, self.probabilities, strict=True)),
            "valence": self.valence,
            "entropy": self.entropy,
            "pose": None if self.pose is None else dict(zip(ANGLES, self.pose, strict=True)),
            "quality": asdict(self.quality),
            "uncertain": self.uncertain,
            "reason": self.reason,
            "track": self.track,
            "raw": None if self.raw is None else dict(zip(self.labels, self.raw, strict=True)),
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
                tuple(values["probabilities"]),
                tuple(values["probabilities"].values()),
                values["entropy"],
                Quality(**values["quality"]),
                values["uncertain"],
                values["reason"],
                values["track"],
                None if raw is None else tuple(raw[name] for name in values["probabilities"]),
                values["heads"],
                None if pose is None else tuple(pose[name] for name in ANGLES),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _wrong(
                f"values that are no face ({type(error).__name__}: {error})",
                "those of Face.to_dict",
            ) from error


@dataclass(frozen=True, repr=False)
class Frame:
    """What was looked at, and the faces in it.

    Attributes:
        source: The file, as the user named it.
        index: Number of the frame in its video, from 0; 0 for a picture.
        time_s: Seconds since the video's beginning; None for a picture.
        width, height: Of the picture, upright, in pixels; 0 if it could not be read.
        detector: Which detector looked for faces.
        faces: What it found.
        error: What went wrong; then there are no faces.
        prior: The class prior under which the probabilities were made (`mien.load`).
        note: What a person should know of the picture, such as `first of 4 frames`.
        drawn: Where the copy with the answers drawn in was written, or None.

    Raises:
        DataError: for values that cannot be so.
    """

    source: str
    index: int
    time_s: float | None
    width: int
    height: int
    detector: str
    faces: tuple[Face, ...] = ()
    error: str | None = None
    prior: str = ""
    note: str = ""
    drawn: str | None = None

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "source", os.fspath(self.source))
        put(self, "faces", tuple(self.faces))
        for name in ("index", "width", "height"):
            put(self, name, int(getattr(self, name)))
            if getattr(self, name) < 0:
                raise _wrong(f"{name} {getattr(self, name)}", "0 or more")
        if self.time_s is not None:
            put(self, "time_s", _number(self.time_s, "time_s"))
        if self.error is not None and self.faces:
            raise _wrong(f"{len(self.faces)} faces and an error", "faces or an error")

    def __repr__(self) -> str:
        time = "" if self.time_s is None else f" at {self.time_s:.3f} s"
        what = self.error or list(self.faces)
        return f"Frame({self.source!r}{time}, {self.width}x{self.height}, {what!r})"

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        names = ("source", "index", "time_s", "width", "height", "detector", "prior")
        values = {"faces": [face.to_dict() for face in self.faces], "error": self.error}
        last = {"note": self.note, "drawn": self.drawn}
        return {name: getattr(self, name) for name in names} | values | last

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Frame:
        """The way back from `to_dict`.

        Raises:
            DataError: if something is missing or cannot be so.
        """
        try:
            later: dict[str, Any] = {
                "note": "",
                "drawn": None,
                "prior": "",
            }  # older files lack these
            known = {**later, **values}
            rest = {name: known[name] for name in cls.__dataclass_fields__ if name != "faces"}
            return cls(**rest, faces=tuple(Face.from_dict(face) for face in values["faces"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _wrong(
                f"values that are no frame ({type(error).__name__}: {error})", "Frame.to_dict's"
            ) from error


def _number(value: Any, name: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise _wrong(f"{name} {value!r}", "a finite number")
    return number


def _probabilities(values: tuple[Any, ...], expected: int, name: str) -> tuple[float, ...]:
    numbers = tuple(_number(value, name) for value in values)
    if len(numbers) != expected:
        raise _wrong(f"{len(numbers)} {name}", f"{expected}, one for each label")
    if any(not -1e-6 <= number <= 1 + 1e-6 for number in numbers) or abs(sum(numbers) - 1) > 1e-3:
        raise _wrong(f"{name} {numbers}", "numbers from 0 to 1 whose sum is 1")
    return numbers


def _wrong(got: str, expected: str) -> DataError:
    return DataError("result", got=got, expected=expected, fix="make the result anew")
