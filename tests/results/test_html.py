"""What a notebook shows: complete, escaped, and bounded."""

import base64
import dataclasses
import html.parser
import io
import re

import numpy as np
import pytest
from PIL import Image
from some_frames import face, frame

from mien.results import Faces, Frames

CROP = np.arange(48 * 48, dtype=np.uint8).reshape(48, 48, 1)
EVIL = "<script>alert('x')</script>\"&.jpg"
VOID = {"img", "br"}


class Checker(html.parser.HTMLParser):
    """Every tag is closed; the names of tags and the text are kept."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.text = ""
        self.images: list[dict[str, str | None]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag == "img":
            self.images.append(dict(attrs))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def decoded(source: str | None) -> Image.Image:
    match = re.fullmatch(r"data:image/(png|jpeg);base64,(.+)", source or "")
    assert match is not None
    return Image.open(io.BytesIO(base64.b64decode(match[2])))


def test_a_face_has_its_crop_and_a_bar_for_each_label() -> None:
    one = face(crop=CROP, uncertain=True, reason="small")
    shown = Checker(one._repr_html_())
    assert np.array_equal(np.asarray(decoded(shown.images[0]["src"])), CROP[..., 0])
    assert shown.images[0]["alt"] == "the face as the network sees it: happy"
    for label, value in one.probabilities.items():
        assert f"{label} {value:.1%}" in shown.text
    assert "uncertain: small" in shown.text
    assert one._repr_html_().count("display:block;height:10px") == 7
    assert Checker(face()._repr_html_()).images == []


def test_a_frame_has_its_picture_drawn_in_and_each_face() -> None:
    picture = np.full((480, 640, 3), 128, np.uint8)
    one = frame(face(crop=CROP), face(crop=CROP), picture=picture, note="first of 4 frames")
    shown = Checker(one._repr_html_())
    assert len(shown.images) == 3
    assert decoded(shown.images[0]["src"]).size == (640, 480)
    assert "a.jpg: 640 x 480, 2 faces, first of 4 frames" in shown.text
    large = dataclasses.replace(
        one, picture=np.zeros((100, 4000, 3), np.uint8), width=4000, height=100, faces=()
    )
    shown = Checker(large._repr_html_())
    assert decoded(shown.images[0]["src"]).size == (1280, 32)
    assert shown.images[0]["width"] == "640"


def test_a_frame_whose_picture_is_gone_says_so() -> None:
    shown = Checker(frame(face(), source="gone.jpg")._repr_html_())
    assert "The picture is not shown: gone.jpg: got a frame that does not know" in shown.text
    assert "happy 70%" in shown.text
    assert (
        "a.jpg: a corrupt picture" in Checker(frame(error="a corrupt picture")._repr_html_()).text
    )


def test_lists_are_bounded() -> None:
    many = Frames([frame(*[face(crop=CROP)] * 30)] * 30)
    shown = Checker(many._repr_html_())
    assert "30 pictures, 900 faces" in shown.text and len(shown.images) == 400
    assert shown.text.count("... 10 more") == 21
    assert len(Checker(Faces([face(crop=CROP)] * 30)._repr_html_()).images) == 20
    some = Frames([frame(), frame(source="b.jpg", error="corrupt")])
    assert "2 pictures, 0 faces, 1 error" in Checker(some._repr_html_()).text
    assert "no face" in Checker(some._repr_html_()).text
    assert Checker(Faces()._repr_html_()).text == "no face"


@pytest.mark.parametrize("picture", [None, np.zeros((480, 640, 3), np.uint8)])
def test_what_comes_from_outside_is_escaped(picture: np.ndarray | None) -> None:
    label = "<b onclick='x'>\"happy\""
    one = face(
        label=label, probabilities={label: 0.5, "<i>": 0.5}, crop=CROP, uncertain=True, reason=EVIL
    )
    evil = frame(one, source=EVIL, note=EVIL, picture=picture)
    failed = frame(source=EVIL + "\udcff", error=EVIL)
    for text in (
        *(one._repr_html_(), evil._repr_html_(), failed._repr_html_()),
        *(Faces([one])._repr_html_(), Frames([evil, failed])._repr_html_()),
    ):
        text.encode("utf-8")
        shown = Checker(text)
        assert shown.tags <= {"div", "span", "b", "img", "table", "tr", "td"}
        assert "<b onclick" not in text and "<i>" not in text and "<script" not in text
        assert not any("onclick" in name for image in shown.images for name in image)
