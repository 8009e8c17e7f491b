"""The picture of a frame with its answers drawn in, and where it comes from."""

import dataclasses
import io
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageShow
from some_frames import face, frame

from mien.errors import DataError, UsageError
from mien.results import Frame

GRAY = np.full((240, 320, 3), 128, np.uint8)
ONE = frame(face(), width=320, height=240, source="nowhere.jpg")


def test_it_is_a_copy_with_the_answers() -> None:
    given = dataclasses.replace(ONE, picture=GRAY)
    drawn = given.draw()
    assert isinstance(drawn, Image.Image) and drawn.size == (320, 240)
    assert np.any(np.asarray(drawn) != GRAY) and np.all(GRAY == 128)
    assert np.array_equal(np.asarray(ONE.draw(GRAY)), np.asarray(drawn))
    empty = dataclasses.replace(given, faces=())
    assert np.array_equal(np.asarray(empty.draw()), GRAY)


def test_a_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(GRAY).save(path)
    stored = Frame.from_dict(dataclasses.replace(ONE, source=str(path)).to_dict())
    assert stored.draw().size == (320, 240)
    Image.fromarray(GRAY[:100]).save(path)
    with pytest.raises(
        DataError, match=r"got a picture of 320 x 100 .* 320 x 240\. Fix: pass that picture, frame"
    ):
        stored.draw()


@pytest.mark.parametrize(
    "changes", [{}, {"time_s": 0.5, "source": __file__}, {"source": "http://127.0.0.1:9/a.png"}]
)
def test_a_frame_without_its_picture_says_so(changes: dict[str, object]) -> None:
    with pytest.raises(
        UsageError, match=r"does not know its picture.*Fix: pass it, frame\.draw\(picture\)"
    ):
        dataclasses.replace(ONE, **changes).draw()


def test_an_error_cannot_be_drawn() -> None:
    with pytest.raises(UsageError, match=r"got a frame without a picture \(a corrupt picture\)"):
        frame(error="a corrupt picture").draw()


def test_it_is_shown_in_a_notebook_or_by_a_viewer(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Image.Image] = []
    monkeypatch.setattr(ImageShow, "show", lambda image: shown.append(image) or True)
    ONE.show(GRAY)
    assert len(shown) == 1 and shown[0].size == (320, 240)
    monkeypatch.setattr(ImageShow, "show", lambda image: False)
    with pytest.raises(UsageError, match=r"Fix: save the picture, frame\.draw\(\)\.save"):
        ONE.show(GRAY)
    display = types.ModuleType("IPython.display")
    display.display = shown.append  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    ONE.show(io.BytesIO(_png()))
    assert len(shown) == 2


def _png() -> bytes:
    held = io.BytesIO()
    Image.fromarray(GRAY).save(held, "PNG")
    return held.getvalue()
