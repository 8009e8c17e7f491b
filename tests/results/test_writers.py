"""Tables and files of answers: every frame has a row, every number comes back, every form is
flushed.
"""

import csv
import io
import json
import math
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from some_frames import frame, random_face

from mien.constants import COLUMNS
from mien.errors import DataError, MissingExtraError, UsageError
from mien.labels import FER2013
from mien.results import Frame
from mien.results.columns import column_kinds, rows
from mien.results.resume import SETTINGS, keep_complete_sources, source_cell
from mien.results.writers import FORMAT, FORMS, open_writer

NAMES = FER2013.names

FRAMES = (
    frame(random_face(1, track=2), random_face(2), source="film.mp4", index=3, time_s=0.1),
    frame(source="empty.jpg"),
    frame(source="bad.jpg", error="a corrupt picture (x, y)", width=0, height=0),
)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def written(path: Path, form: str = "csv", frames: tuple[Frame, ...] = FRAMES, **how: Any) -> Path:
    with open_writer(path, form, labels=NAMES, **how) as writer:
        for one in frames:
            writer.write(one)
    return path


@pytest.mark.parametrize("columns", COLUMNS)
def test_every_frame_has_a_row(tmp_path: Path, columns: str) -> None:
    got = read(written(tmp_path / "a.csv", columns=columns))
    assert list(got[0]) == list(column_kinds(NAMES, columns))
    source = "input" if columns == "pyfeat" else "source"
    assert [row[source] for row in got] == ["film.mp4", "film.mp4", "empty.jpg", "bad.jpg"]
    assert [row["error"] for row in got] == ["", "", "", "a corrupt picture (x, y)"]
    assert all(
        set(row) <= set(column_kinds(NAMES, columns))
        for one in FRAMES
        for row in rows(one, columns)
    )


def test_columns_of_mien(tmp_path: Path) -> None:
    heads = {"votes": {"happy": 0.25, "contempt": 0.75}}
    one = random_face(
        5, raw=random_face(6).probabilities, heads=heads, uncertain=True, reason="small"
    )
    path = written(
        tmp_path / "a.csv",
        frames=(frame(one), *FRAMES),
        raw=True,
        heads={"votes": ("happy", "contempt")},
    )
    got = read(path)
    assert len(got) == 5
    row = got[0]
    assert [row[name] for name in ("frame", "faces", "face", "track", "time_s")] == [
        "0",
        "1",
        "0",
        "",
        "",
    ]
    assert row["uncertain"] == "true" and row["reason"] == "small" and row["label"] == one.label
    assert one.labels == NAMES and one.raw is not None
    for name, value in one.probabilities.items():
        assert np.float32(row[f"p_{name}"]) == np.float32(value)
        assert np.float32(row[f"raw_{name}"]) == np.float32(one.raw[name])
    assert np.float32(row["x0"]) == np.float32(one.box[0]) and row["left_mouth_x"] == "65"
    assert (row["p_votes_happy"], row["p_votes_contempt"]) == ("0.25", "0.75")
    assert got[1]["time_s"] == "0.1" and got[1]["track"] == "2" and got[2]["face"] == "1"
    assert [got[3][name] for name in ("faces", "face", "label", "p_happy", "uncertain")] == [
        "0",
        "",
        "",
        "",
        "",
    ]
    assert [got[4][name] for name in ("faces", "width")] == ["", "0"]


def test_columns_of_openface(tmp_path: Path) -> None:
    got = read(written(tmp_path / "a.csv", columns="openface"))
    assert list(got[0])[:5] == ["frame", "face_id", "timestamp", "confidence", "success"]
    first, second, empty, bad = got
    assert (first["frame"], first["face_id"], first["timestamp"], first["success"]) == (
        "4",
        "2",
        "0.1",
        "1",
    )
    assert np.float32(first["confidence"]) == np.float32(0.9) and second["face_id"] == "1"
    assert (first["x_30"], first["y_48"], first["x_54"]) == ("50", "80", "65")
    turned = [math.degrees(float(first[name])) for name in ("pose_Ry", "pose_Rx", "pose_Rz")]
    assert turned == pytest.approx([-12, 5, -3])
    assert float(first["happy"]) > 0 and not any(name.startswith("AU") for name in first)
    for row in (empty, bad):
        assert (row["success"], row["confidence"], row["happy"]) == ("0", "0", "")


def test_columns_of_pyfeat(tmp_path: Path) -> None:
    got = read(written(tmp_path / "a.csv", columns="pyfeat"))
    emotions = ["anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral"]
    assert list(got[0])[5:8] == ["Pitch", "Roll", "Yaw"] and list(got[0])[8:15] == emotions
    one = FRAMES[0].faces[0]
    assert sum(float(got[0][name]) for name in emotions) == pytest.approx(1, abs=1e-6)
    assert np.float32(got[0]["happiness"]) == np.float32(one["happy"])
    assert float(got[0]["FaceRectWidth"]) == pytest.approx(one.box[2] - one.box[0])
    assert (got[0]["Identity"], got[1]["Identity"], got[0]["frame"]) == ("Person_2", "", "3")
    yaw, pitch, roll = one.pose or (0, 0, 0)
    assert [float(got[0][name]) for name in ("Pitch", "Roll", "Yaw")] == [pitch, roll, -yaw]
    assert got[2]["FaceRectX"] == "" and got[2]["anger"] == ""


@pytest.mark.parametrize("form", ["csv", "jsonl", "json"])
def test_each_frame_is_on_disk_when_written(tmp_path: Path, form: str) -> None:
    path = tmp_path / "out"
    with open_writer(path, form, labels=NAMES) as writer:
        for number, one in enumerate(FRAMES, 1):
            writer.write(one)
            text = path.read_text()
            assert (
                text.count("film.mp4") + text.count("empty.jpg") + text.count("bad.jpg") >= number
            )
    writer.close()  # twice is harmless


def single(value: Any) -> Any:
    """Numbers as 32-bit floats, which nine digits bring back exactly; times as they are."""
    if isinstance(value, dict):
        return {name: one if name == "time_s" else single(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [single(one) for one in value]
    return np.float32(value) if isinstance(value, float) else value


def test_json_and_jsonl_hold_everything(tmp_path: Path) -> None:
    lines = written(tmp_path / "a.jsonl", "jsonl").read_text().splitlines()
    assert [single(json.loads(line)) for line in lines] == [single(f.to_dict()) for f in FRAMES]
    numbers = re.findall(r"\d\.(\d+)", "".join(lines))
    assert max(len(digits.lstrip("0")) for digits in numbers) <= 9
    assert all(Frame.from_dict(json.loads(line)) for line in lines)
    document = json.loads(written(tmp_path / "a.json", "json").read_text())
    assert document["format"] == FORMAT
    assert [single(values) for values in document["frames"]] == [
        single(f.to_dict()) for f in FRAMES
    ]
    assert json.loads(written(tmp_path / "b.json", "json", ()).read_text()) == {
        "format": FORMAT,
        "frames": [],
    }


def test_streams_stay_open() -> None:
    for stream in (io.StringIO(newline=""), io.BytesIO()):
        with open_writer(stream, "csv", labels=NAMES) as writer:
            writer.write(FRAMES[0])
        assert not stream.closed
        got = stream.getvalue()
        assert len((got if isinstance(got, str) else got.decode()).splitlines()) == 3


def test_names_that_are_formulas_or_no_text(tmp_path: Path) -> None:
    strange = (
        '=HYPERLINK("x")',
        "+1",
        "-2.jpg",
        "@a",
        "\tb",
        'a,b\n"c"',
        os.fsdecode(b"\xff.jpg"),
        "é.jpg",
    )
    frames = tuple(frame(source=name, error=f"{name}: bad") for name in strange)
    got = read(written(tmp_path / "a.csv", frames=frames))
    assert [row["source"] for row in got] == [
        *("./" + name for name in strange[:5]),
        strange[5],
        "\\udcff.jpg",
        "é.jpg",
    ]
    assert all(row["error"][0] not in "=+-@\t" for row in got)
    assert (
        keep_complete_sources(tmp_path / "a.csv", "csv") == set()
    )  # all failed, so all are to be looked at again
    assert read(tmp_path / "a.csv") == []
    frames = tuple(frame(source=name) for name in strange)
    written(tmp_path / "a.csv", frames=frames)
    assert keep_complete_sources(tmp_path / "a.csv", "csv") == {
        source_cell(name, "csv") for name in strange
    }
    lines = written(tmp_path / "a.jsonl", "jsonl", frames=frames).read_text().splitlines()
    assert tuple(Frame.from_dict(json.loads(line)).source for line in lines) == strange
    assert keep_complete_sources(tmp_path / "a.jsonl", "jsonl") == set(strange)


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_going_on_with_a_file_that_was_cut_off(tmp_path: Path, form: str) -> None:
    path = written(tmp_path / "out", form)
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    assert keep_complete_sources(path, form) == {"film.mp4", "empty.jpg"}
    with open_writer(path, form, labels=NAMES, append=True) as writer:
        writer.write(FRAMES[2])
    assert path.read_bytes() == whole
    written(tmp_path / "new", form, append=True)
    assert (tmp_path / "new").read_bytes() == whole
    path.write_bytes(whole[:3])  # not even a header
    written(path, form, append=True)
    assert path.read_bytes() == whole


def test_going_on_with_another_table_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", columns="pyfeat")
    before = path.read_bytes()[:-1]  # the last line of another file is not ours to remove
    path.write_bytes(before)
    with pytest.raises(DataError, match="other columns"):
        open_writer(path, "csv", labels=NAMES, append=True)
    assert path.read_bytes() == before
    for form in ("json", "parquet"):
        with pytest.raises(UsageError):
            open_writer(path, form, labels=NAMES, append=True)
    (tmp_path / "b.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="without a source"):
        keep_complete_sources(tmp_path / "b.csv", "csv")


def test_what_cannot_be_meant(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="csv, jsonl, json, parquet"):
        open_writer(tmp_path / "a", "xlsx", labels=NAMES)
    with pytest.raises(UsageError, match="mien, openface, pyfeat"):
        open_writer(tmp_path / "a", "csv", labels=NAMES, columns="excel")
    other = random_face(0, probabilities={"happy": 0.5, "sad": 0.5}, label="sad")
    with (
        open_writer(tmp_path / "a", "csv", labels=NAMES) as writer,
        pytest.raises(DataError, match="a face with the labels happy, sad"),
    ):
        writer.write(frame(other))


def test_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr("mien.results.writers.ROWS_A_GROUP", 2)
    path = tmp_path / "a.parquet"
    with open_writer(path, "parquet", labels=NAMES) as writer:
        for one in FRAMES:
            writer.write(one)
        assert not path.exists()
    table = parquet.read_table(path)
    assert table.column_names == list(column_kinds(NAMES)) and table.num_rows == 4
    got = table.to_pylist()
    assert [row["source"] for row in got] == ["film.mp4", "film.mp4", "empty.jpg", "bad.jpg"]
    assert np.float32(got[0]["p_happy"]) == np.float32(FRAMES[0].faces[0]["happy"])
    assert got[0]["time_s"] == 0.1 and got[0]["uncertain"] is False and got[2]["p_happy"] is None
    assert os.listdir(tmp_path) == ["a.parquet"]


def test_parquet_without_its_package_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"pip install '\.\[parquet\]'"):
        open_writer(tmp_path / "a", "parquet", labels=NAMES)


def test_forms_and_presets_are_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "results-format.md").read_text(encoding="utf-8")
    for columns in COLUMNS:
        missing = [
            name
            for name in column_kinds(NAMES, columns)
            if f"`{name}`" not in page and name not in NAMES
        ]
        assert [name for name in missing if not name.startswith("p_")] == []
    for word in (*FORMS, FORMAT, SETTINGS):
        assert f"`{word}`" in page
