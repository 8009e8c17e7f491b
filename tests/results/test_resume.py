"""Going on with a table: by the same means only, and with names that leave room."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mien.errors import DataError, UsageError
from mien.results.resume import (
    MAX_ENDING_BYTES,
    check_same_settings,
    read_settings,
    shortened,
    write_settings,
)


def test_settings_beside_a_table(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.settings.json"
    assert read_settings(path) is None
    settings = {"bundle": "toy 0123", "every_s": None, "smooth_s": 0.3}
    write_settings(path, settings)
    assert read_settings(path) == settings and os.listdir(tmp_path) == [path.name]
    check_same_settings(tmp_path, settings, settings)
    check_same_settings(tmp_path, {"mode": "fast"}, {"every_s": 1.0})  # nothing that both say
    with pytest.raises(
        UsageError,
        match=r"got --resume with every_s 0\.2; expected every_s none, with which its rows",
    ):
        check_same_settings(tmp_path, settings, settings | {"every_s": 0.2})
    for foreign in (b"\xff", b"{}", b"[]", b'{"format": "mien.settings/2"}'):
        path.write_bytes(foreign)
        with pytest.raises(DataError, match=r"t\.csv\.settings\.json: got"):
            read_settings(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(DataError, match="cannot be read"):
        read_settings(path)


def test_names_that_leave_room_for_what_is_put_behind_them() -> None:
    room = 255 - MAX_ENDING_BYTES
    assert shortened("a" * room) == "a" * room
    for letter in ("a", "é", "😀", os.fsdecode(b"\xff")):
        long = [letter * (room // len(os.fsencode(letter))) + "b" * more for more in (5, 6)]
        cut = [shortened(name) for name in long]
        assert len(set(cut)) == 2 and all(
            room - 3 <= len(os.fsencode(name)) <= room for name in cut
        )
        assert all(name.startswith(letter * 50) for name in cut)
        assert cut == [shortened(name) for name in cut]
