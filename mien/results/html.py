"""HTML of results for notebooks.

All text from outside is escaped. Colours are inherited from the page, so the text is readable on
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
from mien.results.drawing import draw_frame

if TYPE_CHECKING:
    from PIL.Image import Image

    from mien.results.frame import Frame
    from mien.results.types import Face

_MAX_WIDTH_PX = 640  # of a picture
_MAX_SHOWN = 20  # faces of a picture, or frames of a list
_ROW = "display:flex;flex-wrap:wrap;gap:8px 16px;align-items:flex-start"
_TRACK = "rgba(128,128,128,.25)"  # visible on white and on black


def face_html(face: Face) -> str:
    """The face as the network sees it, its label, and a bar for each probability."""
    return _outer(_face(face))


def faces_html(faces: Sequence[Face]) -> str:
    """The faces of one picture, side by side."""
    if not faces:
        return _outer(_line("no face"))
    return _outer(_side_by_side(map(_face, faces[:_MAX_SHOWN])), _remainder(len(faces)))


def frame_html(frame: Frame) -> str:
    """The picture with the predictions drawn in, and each face below it."""
    time = "" if frame.time_s is None else f" at {frame.time_s:.3f} s"
    if frame.error is not None:
        return _outer(_line(f"{frame.source}{time}: {frame.error}"))
    size = f"{frame.width} x {frame.height}"
    note = f", {frame.note}" if frame.note else ""
    title = f"{frame.source}{time}: {size}, {counted(len(frame.faces), 'face')}{note}"
    try:
        picture = _picture(draw_frame(frame), f"{title}, with the predictions drawn in")
    except MienError as error:  # a frame of a video, or a file that is no longer there
        picture = _line(f"The picture is not shown: {error}", "font-size:85%;opacity:.75")
    faces = _side_by_side(map(_face, frame.faces[:_MAX_SHOWN]))
    return _outer(_line(title), picture, faces, _remainder(len(frame.faces)))


def frames_html(frames: Sequence[Frame]) -> str:
    """A row for each picture: its name and its faces."""
    faces = sum(len(frame.faces) for frame in frames)
    errors = sum(frame.error is not None for frame in frames)
    title = f"{counted(len(frames), 'picture')}, {counted(faces, 'face')}"
    title += f", {counted(errors, 'error')}" if errors else ""
    rows = []
    for frame in frames[:_MAX_SHOWN]:
        thumbnails = [_small(face) for face in frame.faces[:_MAX_SHOWN]]
        content = (
            _side_by_side(thumbnails)
            if thumbnails
            else _line(frame.error or "no face", "opacity:.75")
        )
        time = "" if frame.time_s is None else f" at {frame.time_s:.3f} s"
        cell = "text-align:left;vertical-align:top;padding:4px 16px 4px 0"
        rows.append(
            f'<tr><td style="{cell}">{_text(frame.source + time)}</td>'
            f'<td style="{cell}">{content}{_remainder(len(frame.faces))}</td></tr>'
        )
    table = f'<table style="border-collapse:collapse">{"".join(rows)}</table>'
    return _outer(_line(title), table, _remainder(len(frames)))


def _face(face: Face) -> str:
    doubt = _line(f"uncertain: {face.reason}", "font-size:85%") if face.uncertain else ""
    person = "" if face.track is None else f"person {face.track}: "
    label = f"<b>{_text(person + face.label)}</b> {face[face.label]:.0%}"
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
    display_width = min(width, _MAX_WIDTH_PX)
    if width > 2 * _MAX_WIDTH_PX:  # twice the width is sharp on high-density screens
        image = image.resize((2 * _MAX_WIDTH_PX, max(1, round(2 * _MAX_WIDTH_PX * height / width))))
    source = _uri(image, "JPEG")
    style = "max-width:100%;height:auto;margin:4px 0 8px"
    image_tag = f'<img src="{source}" alt="{_text(alt)}" width="{display_width}" style="{style}">'
    return f"<div>{image_tag}</div>"


def _uri(image: Image, kind: str) -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind, **({"quality": 85} if kind == "JPEG" else {}))
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _side_by_side(parts: Iterable[str]) -> str:
    return f'<div style="{_ROW}">{"".join(parts)}</div>'


def _line(text: str, style: str = "") -> str:
    return f'<div style="{style}">{_text(text)}</div>'


def _remainder(number: int) -> str:
    return _line(f"... {number - _MAX_SHOWN:,} more") if number > _MAX_SHOWN else ""


def _text(text: str) -> str:
    return escape(printable(text))


def _outer(*parts: str) -> str:
    return f'<div style="max-width:{2 * _MAX_WIDTH_PX}px">{"".join(parts)}</div>'
