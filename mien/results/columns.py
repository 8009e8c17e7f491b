"""Frames as flat rows. docs/results-format.md names every column.

Every frame has at least one row: one for each face, or a single row that reports that there is no
face or what went wrong. Nothing is left out.

There are three presets of columns: `mien` has everything; `openface` and `pyfeat` use the names,
units and signs of those tools, so that scripts made for them work. Action units, gaze and 3-D
positions are not measured, so their columns are absent, not zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from mien.constants import COLUMNS
from mien.errors import DataError, check_word
from mien.results.frame import Frame
from mien.results.types import ANGLES, LANDMARKS, Face

# py-feat's names for our labels, in its order. Labels that it lacks follow under our names.
_PYFEAT = {
    "angry": "anger",
    "disgust": "disgust",
    "fear": "fear",
    "happy": "happiness",
    "sad": "sadness",
    "surprise": "surprise",
    "neutral": "neutral",
}
# Our landmarks among OpenFace's 68, which have no point at the centre of an eye.
_OPENFACE = {30: 2, 48: 3, 54: 4}

Row = dict[str, Any]


def rows(frame: Frame, columns: str = "mien") -> list[Row]:
    """A frame as flat rows: one for each face, or exactly one if there is no face.

    Raises:
        UsageError: for an unknown preset of columns.
    """
    make = _preset(columns)[1]
    return [make(frame, number, face) for number, face in enumerate(frame.faces)] or [
        make(frame, None, None)
    ]


def column_kinds(
    labels: Sequence[str],
    columns: str = "mien",
    *,
    heads: Mapping[str, Sequence[str]] | None = None,
    raw: bool = False,
) -> dict[str, str]:
    """The columns of a table, in order, with their types: text, integer, float, time or boolean.

    Args:
        labels: The labels of the network's main head.
        columns: The preset: `mien`, `openface` or `pyfeat`.
        heads: The labels of its other heads, by name (`mien` only).
        raw: Whether to include the unsmoothed probabilities of each frame (`mien` only).

    Raises:
        UsageError: for an unknown preset.
    """
    return _preset(columns)[0](labels, heads or {}, raw)


def check_labels(frame: Frame, labels: Sequence[str]) -> None:
    """Refuse a frame that does not fit into a table with the columns of `labels`.

    Raises:
        DataError: if one of its faces has other labels.
    """
    for face in frame.faces:
        if face.labels != tuple(labels):
            raise DataError(
                frame.source,
                got="a face with the labels " + ", ".join(face.labels),
                expected=", ".join(labels),
                fix="write the predictions of each network to a file of its own",
            )


def _mien_columns(
    labels: Sequence[str], heads: Mapping[str, Sequence[str]], raw: bool
) -> dict[str, str]:
    points = [f"{name}_{axis}" for name in LANDMARKS for axis in "xy"]
    texts = ("source", "detector", "prior", "label", "reason", "error", "note", "drawn")
    integers = ("frame", "width", "height", "faces", "face", "track")
    probabilities = [f"p_{name}" for name in labels] + [f"raw_{name}" for name in labels if raw]
    probabilities += [f"p_{head}_{name}" for head, names in heads.items() for name in names]
    order = ["source", "frame", "time_s", "width", "height", "detector", "prior"]
    order += ["faces", "face", "track"]
    order += [
        "x0",
        "y0",
        "x1",
        "y1",
        "score",
        *points,
        "label",
        *probabilities,
        "valence",
        "entropy",
        "uncertain",
        "reason",
    ]
    order += ["size_px", "sharpness", "turn", "brightness", *ANGLES, "error", "note", "drawn"]
    kinds = (
        dict.fromkeys(texts, "text")
        | dict.fromkeys(integers, "integer")
        | {"time_s": "time", "uncertain": "boolean"}
    )
    return {name: kinds.get(name, "float") for name in order}


def _mien_row(frame: Frame, number: int | None, face: Face | None) -> Row:
    row: Row = {
        "source": frame.source,
        "frame": frame.index,
        "time_s": frame.time_s,
        "width": frame.width,
        "height": frame.height,
        "detector": frame.detector,
        "prior": frame.prior,
        "faces": None if frame.error is not None else len(frame.faces),
        "error": frame.error,
        "note": frame.note or None,
        "drawn": frame.drawn,
    }
    if face is None:
        return row
    row |= {
        "face": number,
        "track": face.track,
        "score": face.score,
        "label": face.label,
        "valence": face.valence,
        "entropy": face.entropy,
    }
    if face.pose is not None:
        row |= dict(zip(ANGLES, face.pose, strict=True))
    row |= dict(zip(("x0", "y0", "x1", "y1"), face.box, strict=True))
    for name, point in zip(LANDMARKS, face.landmarks or (), strict=face.landmarks is not None):
        row[f"{name}_x"], row[f"{name}_y"] = point
    row |= {f"p_{name}": value for name, value in face.probabilities.items()}
    row |= {f"raw_{name}": value for name, value in (face.raw or {}).items()}
    row |= {
        f"p_{head}_{name}": value
        for head, answer in face.heads.items()
        for name, value in answer.items()
    }
    return row | {"uncertain": face.uncertain, "reason": face.reason or None} | asdict(face.quality)


def _openface_columns(
    labels: Sequence[str], heads: Mapping[str, Sequence[str]], raw: bool
) -> dict[str, str]:
    """The part of OpenFace's header that we have (no gaze, position in space, 3-D landmarks or
    action units), followed by our own columns.
    """
    kinds = {
        "frame": "integer",
        "face_id": "integer",
        "timestamp": "time",
        "confidence": "float",
        "success": "integer",
    }
    kinds |= dict.fromkeys(("pose_Rx", "pose_Ry", "pose_Rz"), "float")
    kinds |= dict.fromkeys([f"{axis}_{number}" for axis in "xy" for number in _OPENFACE], "float")
    kinds |= dict.fromkeys(labels, "float")
    return (
        kinds
        | {"label": "text", "valence": "float", "source": "text"}
        | {
            "prior": "text",
            "error": "text",
        }
    )


def _openface_row(frame: Frame, number: int | None, face: Face | None) -> Row:
    row: Row = {
        "frame": frame.index + 1,
        "timestamp": frame.time_s,
        "confidence": 0.0,
        "success": 0,
    }
    row |= {"source": frame.source, "prior": frame.prior, "error": frame.error}
    if face is None:
        return row
    if face.landmarks is not None:
        for openface_index, our_index in _OPENFACE.items():
            row[f"x_{openface_index}"], row[f"y_{openface_index}"] = face.landmarks[our_index]
    if face.pose is not None:  # radians; down, to the left of the picture, clockwise
        yaw, pitch, roll = (math.radians(angle) for angle in face.pose)
        row |= {"pose_Rx": -pitch, "pose_Ry": -yaw, "pose_Rz": roll}
    row |= face.probabilities
    row["valence"] = face.valence
    identity = number if face.track is None else face.track
    return row | {"face_id": identity, "confidence": face.score, "success": 1, "label": face.label}


def _pyfeat_columns(
    labels: Sequence[str], heads: Mapping[str, Sequence[str]], raw: bool
) -> dict[str, str]:
    boxes = ("FaceRectX", "FaceRectY", "FaceRectWidth", "FaceRectHeight", "FaceScore")
    angles = ("Pitch", "Roll", "Yaw")
    extra_labels = [name for name in labels if name not in _PYFEAT]
    kinds = dict.fromkeys((*boxes, *angles, *_PYFEAT.values(), *extra_labels), "float")
    return kinds | {
        "valence": "float",
        "input": "text",
        "frame": "integer",
        "Identity": "text",
        "time_s": "time",
        "prior": "text",
        "error": "text",
    }


def _pyfeat_row(frame: Frame, number: int | None, face: Face | None) -> Row:
    row: Row = {
        "input": frame.source,
        "frame": frame.index,
        "time_s": frame.time_s,
        "prior": frame.prior,
        "error": frame.error,
    }
    if face is None:
        return row
    x0, y0, x1, y1 = face.box
    row |= {"FaceRectX": x0, "FaceRectY": y0, "FaceRectWidth": x1 - x0, "FaceRectHeight": y1 - y0}
    row |= {_PYFEAT.get(name, name): value for name, value in face.probabilities.items()}
    if face.pose is not None:  # degrees; up, clockwise, to the left of the picture
        row |= {"Pitch": face.pose[1], "Roll": face.pose[2], "Yaw": -face.pose[0]}
    return row | {
        "valence": face.valence,
        "FaceScore": face.score,
        "Identity": None if face.track is None else f"Person_{face.track}",
    }


_Columns = Callable[[Sequence[str], Mapping[str, Sequence[str]], bool], dict[str, str]]
_Preset = tuple[_Columns, Callable[[Frame, int | None, Face | None], Row]]
_PRESETS: dict[str, _Preset] = dict(
    zip(
        COLUMNS,
        (
            (_mien_columns, _mien_row),
            (_openface_columns, _openface_row),
            (_pyfeat_columns, _pyfeat_row),
        ),
        strict=True,
    )
)


def _preset(columns: str) -> _Preset:
    check_word("columns", columns, _PRESETS)
    return _PRESETS[columns]
