"""HTML of results for notebooks.

All text from outside is escaped. Colours are inherited from the page, so that it is readable on
light and dark backgrounds.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from mien.errors import MienError, counted, printable
from mien.labels import LabelSet
from mien.results.drawing import drawn

if TYPE_CHECKING:
    from PIL.Image import Image

    from mien.results.frame import Frame
    from mien.results.types import Face

_WIDEST_PX = 640  # of a picture
_MOST = 20  # faces of a picture, or frames of a list, that are shown
_ROW = "display:flex;flex-wrap:wrap;gap:8px 16px;align-items:flex-start"
_TRACK = "rgba(128,128,128,.25)"  # reads on white and on black


def face_html(face: Face) -> str:
    """The face as the network sees it, its label, and a bar for each probability."""
    return _outer(_face(face))


def faces_html(faces: Sequence[Face]) -> str:
    """The faces of one picture, side by side."""
    if not faces:
        return _outer(_line("no face"))
    return _outer(_side_by_side(map(_face, faces[:_MOST])), _more(len(faces)))


def frame_html(frame: Frame) -> str:
    """The picture with the answers drawn in, and below it each face."""
    time = "" if frame.time_s is None else f" at {frame.time_s:.3f} s"
    if frame.error is not None:
        return _outer(_line(f"{frame.source}{time}: {frame.error}"))
    size = f"{frame.width} x {frame.height}"
    note = f", {frame.note}" if frame.note else ""
    head = f"{frame.source}{time}: {size}, {counted(len(frame.faces), 'face')}{note}"
    try:
        picture = _picture(drawn(frame), f"{head}, with the answers drawn in")
    except MienError as error:  # a frame of a video, or a file that is no longer there
        picture = _line(f"The picture is not shown: {error}", "font-size:85%;opacity:.75")
    faces = _side_by_side(map(_face, frame.faces[:_MOST]))
    return _outer(_line(head), picture, faces, _more(len(frame.faces)))


def frames_html(frames: Sequence[Frame]) -> str:
    """A row for each picture: its name and its faces."""
    faces = sum(len(frame.faces) for frame in frames)
    errors = sum(frame.error is not None for frame in frames)
    head = f"{counted(len(frames), 'picture')}, {counted(faces, 'face')}"
    head += f", {counted(errors, 'error')}" if errors else ""
    rows = []
    for frame in frames[:_MOST]:
        found = [_small(face) for face in frame.faces[:_MOST]]
        what = _side_by_side(found) if found else _line(frame.error or "no face", "opacity:.75")
        time = "" if frame.time_s is None else f" at {frame.time_s:.3f} s"
        cell = "text-align:left;vertical-align:top;padding:4px 16px 4px 0"
        rows.append(
            f'<tr><td style="{cell}">{_text(frame.source + time)}</td>'
            f'<td style="{cell}">{what}{_more(len(frame.faces))}</td></tr>'
        )
    table = f'<table style="border-collapse:collapse">{"".join(rows)}</table>'
    return _outer(_line(head), table, _more(len(frames)))


def _face(face: Face) -> str:
    doubt = _line(f"uncertain: {face.reason}", "font-size:85%") if face.uncertain else ""
    who = "" if face.track is None else f"person {face.track}: "
    label = f"<b>{_text(who + face.label)}</b> {face[face.label]:.0%}"
    return _side_by_side([_crop(face, 96), f"<div><div>{label}</div>{doubt}{_bars(face)}</div>"])


def _small(face: Face) -> str:
    doubt = f"? ({face.reason})" if face.uncertain else ""
    return (
        f"<div>{_crop(face, 48)}<div>{_text(face.label + doubt)} {face[face.label]:.0%}</div></div>"
    )


def _bars(face: Face) -> str:
    labels = LabelSet(face.labels) if len(face.labels) > 1 else None
    rows = []
    for number, (label, value) in enumerate(face.probabilities.items()):
        colour = labels.colour(number) if labels else "#666666"
        bar = f"height:10px;width:{100 * min(1, max(0, value)):.1f}%;background:{colour}"
        rows.append(
            '<div style="display:flex;align-items:center;gap:8px;line-height:1.35;font-size:85%">'
            f'<span style="width:70px;overflow-wrap:anywhere">{_text(label)} </span>'
            f'<span style="width:120px;background:{_TRACK}"><span style="display:block;{bar}">'
            f'</span></span><span style="width:4em;text-align:right">{value:.1%}</span></div>'
        )
    return "".join(rows)


def _crop(face: Face, side: int) -> str:
    if face.crop is None:
        return ""
    from PIL import Image

    alt = _text(f"the face as the network sees it: {face.label}")
    source = _uri(Image.fromarray(face.crop.squeeze()), "PNG")
    return f'<img src="{source}" alt="{alt}" width="{side}" height="{side}" style="margin:0">'


def _picture(image: Image, alt: str) -> str:
    width, height = image.size
    shown = min(width, _WIDEST_PX)
    if width > 2 * _WIDEST_PX:  # sharp on a dense screen, and no larger
        image = image.resize((2 * _WIDEST_PX, max(1, round(2 * _WIDEST_PX * height / width))))
    source = _uri(image, "JPEG")
    style = "max-width:100%;height:auto;margin:4px 0 8px"
    return f'<div><img src="{source}" alt="{_text(alt)}" width="{shown}" style="{style}"></div>'


def _uri(image: Image, kind: str) -> str:
    held = io.BytesIO()
    image.save(held, kind, **({"quality": 85} if kind == "JPEG" else {}))
    return f"data:image/{kind.lower()};base64,{base64.b64encode(held.getvalue()).decode()}"


def _side_by_side(parts: Iterable[str]) -> str:
    return f'<div style="{_ROW}">{"".join(parts)}</div>'


def _line(text: str, style: str = "") -> str:
    return f'<div style="{style}">{_text(text)}</div>'


def _more(number: int) -> str:
    return _line(f"... {number - _MOST:,} more") if number > _MOST else ""


def _text(text: str) -> str:
    return escape(printable(text))


def _outer(*parts: str) -> str:
    return f'<div style="max-width:{2 * _WIDEST_PX}px">{"".join(parts)}</div>'
