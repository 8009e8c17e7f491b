"""Contact sheets."""

from __future__ import annotations

import numpy as np
import pytest

from mien.errors import UsageError
from mien.vision.contact_sheet import contact_sheet


def plates(*tones: int) -> np.ndarray:
    return np.stack([np.full((48, 48, 1), tone, np.uint8) for tone in tones])


def test_every_face_is_on_the_sheet_in_order() -> None:
    tones = (0, 60, 120, 180, 220)
    sheet = contact_sheet(plates(*tones), columns=3, scale=2)
    assert sheet.dtype == np.uint8
    assert sheet.shape == (10 + 96 + 6 + 96 + 10, 10 + 3 * 96 + 2 * 6 + 10, 3)
    centres = [
        sheet[10 + 48 + row * 102, 10 + 48 + column * 102] for row in (0, 1) for column in (0, 1, 2)
    ]
    assert [centre.tolist() for centre in centres[:5]] == [[tone] * 3 for tone in tones]
    assert centres[5].tolist() == [255] * 3  # paper


def test_captions_and_title_leave_ink() -> None:
    faces = plates(255, 255)
    bare, told = (
        contact_sheet(faces, title=""),
        contact_sheet(faces, ["row 2\nhappy", ""], title="Faces"),
    )
    assert bare.min() == 255
    assert told.shape[0] == bare.shape[0] + 2 * 13 + 2 * 13
    below = told[10 + 26 + 96 :]
    assert below[:, : 10 + 96].min() < 128  # the first caption
    assert below[:, 10 + 96 + 6 :].min() == 255  # the second is empty
    assert told[:30].min() < 128  # the title


def test_a_long_caption_stays_in_its_cell() -> None:
    sheet = contact_sheet(
        plates(255, 255), ["a caption far too long for ninety-six pixels of width", ""]
    )
    below = sheet[10 + 96 :]
    assert below[:, : 10 + 96].min() < 128
    assert below[:, 10 + 96 :].min() == 255


def test_pairs_stand_together() -> None:
    apart = contact_sheet(plates(0, 0, 0, 0), columns=4)
    paired = contact_sheet(plates(0, 0, 0, 0), columns=4, together=2)
    assert paired.shape[1] == apart.shape[1] + 12


def test_fewer_faces_than_columns_need_less_paper() -> None:
    assert contact_sheet(plates(0), columns=8).shape == (116, 116, 3)


@pytest.mark.parametrize(
    ("images", "captions", "columns", "together"),
    [
        (np.zeros((0, 48, 48, 1), np.uint8), [], 8, 1),
        (np.zeros((2, 48, 48, 3), np.uint8), [], 8, 1),
        (np.zeros((2, 48, 48, 1), np.float32), [], 8, 1),
        (np.zeros((2, 48, 48, 1), np.uint8), ["one"], 8, 1),
        (np.zeros((2, 48, 48, 1), np.uint8), [], 0, 1),
        (np.zeros((2, 48, 48, 1), np.uint8), [], 3, 2),
    ],
)
def test_what_does_not_fit(
    images: np.ndarray, captions: list[str], columns: int, together: int
) -> None:
    with pytest.raises(UsageError, match="contact sheet: got"):
        contact_sheet(images, captions, columns=columns, together=together)
