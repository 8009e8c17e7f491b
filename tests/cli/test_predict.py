"""The verb `predict` as its user meets it."""

from __future__ import annotations

import base64
import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from toy_bundle import write_toy
from typer.testing import CliRunner

from mien.bundle import open_bundle
from mien.cli.app import app
from mien.cli.predict import SOME_UNREADABLE
from mien.cli.sources import collect
from mien.data.synthetic import draw_faces
from mien.errors import DataError, UsageError
from mien.labels import FER2013
from mien.predict import Options, Outputs, predict
from mien.recognizer import Recognizer
from mien.results import Frame
from mien.video.writer import VideoCopy
from mien.vision.detections import Detections

ROOT = Path(__file__).parents[2]


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Four pictures in two folders, two with one name; a text; one broken picture."""
    faces = draw_faces(np.arange(4) % len(FER2013), seed=3)
    places = ["a/one.png", "a/two.png", "b/one.png", "b/three.JPG"]
    for face, place in zip(faces, places, strict=True):
        path = tmp_path / "album" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(face[..., 0]).save(path, "PNG")
    (tmp_path / "album" / "b" / "notes.txt").write_text("no picture")
    (tmp_path / "album" / "b" / "zbroken.png").write_bytes(b"\x89PNG\r\n\x1a\n cut off")
    return tmp_path / "album"


def film(path: Path, num: int = 5) -> Path:
    """A face that stays for so many frames, ten a second."""
    face = np.repeat(draw_faces(np.array([3]), seed=3)[0], 3, axis=2)
    copy = VideoCopy(path)
    for number in range(num):
        copy.write(number / 10, face)
    copy.close()
    return path


def run(*words: object, toy: Path) -> Any:
    command = ["predict", *map(str, words), "--bundle", str(toy), "--detector", "none"]
    return CliRunner().invoke(app, command, catch_exceptions=False)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_folder_gives_a_row_for_each_picture_and_says_what_failed(
    album: Path, toy: Path, tmp_path: Path
) -> None:
    done = run(album, "--out", tmp_path / "t.csv", toy=toy)
    assert done.exit_code == SOME_UNREADABLE == 8
    rows = table(tmp_path / "t.csv")
    assert [Path(row["source"]).name for row in rows] == [
        "one.png",
        "two.png",
        "one.png",
        "three.JPG",
        "zbroken.png",
    ]
    assert [bool(row["label"]) for row in rows] == [True] * 4 + [False]
    assert "zbroken.png" in rows[4]["error"]
    for row in rows[:4]:
        assert sum(float(row[f"p_{name}"]) for name in FER2013) == pytest.approx(1, abs=1e-5)
    assert len(done.stdout.splitlines()) == 5
    assert "4 faces in 5 pictures or frames" in done.stderr and "1 could not be read" in done.stderr
    assert "left out 1 file without the name of a picture or video" in done.stderr


def test_the_next_command_has_the_options_that_decide_the_answer(album: Path, toy: Path) -> None:
    def next_command(*options: str) -> str:
        done = CliRunner().invoke(app, ["predict", str(album), "--detector", "none", *options])
        return next(line for line in done.stderr.splitlines() if line.startswith("Next: "))

    first, last = f"Next: mien predict {album}", "--out faces.csv --draw marked"
    assert next_command("--fast") == f"{first} --detector none {last}"
    own = f"--bundle {toy} --detector none"
    assert next_command("--bundle", str(toy)) == f"{first} {own} {last}"
    given = "--prior balanced --every 0.5s --smooth 0s --best"
    assert next_command(*given.split()) == f"{first} --detector none {given} {last}"


def test_json_on_stdout_is_one_document(album: Path, toy: Path) -> None:
    done = run(album / "a", "--json", toy=toy)
    assert done.exit_code == 0
    frames = [Frame.from_dict(one) for one in json.loads(done.stdout)["frames"]]
    assert [Path(frame.source).name for frame in frames] == ["one.png", "two.png"]
    assert all(frame.faces[0].labels == FER2013.names for frame in frames)


def test_resume_leaves_out_what_is_there(album: Path, toy: Path, tmp_path: Path) -> None:
    out = tmp_path / "t.csv"
    assert run(album / "a", "--out", out, toy=toy).exit_code == 0
    first = out.read_text()
    # Killed in the middle of a row, then the whole album.
    out.write_text(first[:-20])
    done = run(album / "a", album / "b", "--out", out, "--resume", toy=toy)
    assert done.exit_code == SOME_UNREADABLE
    assert "1 source already in the table" in done.stderr
    assert out.read_text().startswith(first)
    assert len(table(out)) == 5 and len({row["source"] for row in table(out)}) == 5
    refused = subprocess_mien("predict", album, "--resume")
    assert refused.returncode == 2 and "--out" in refused.stderr


def test_resume_tries_what_failed_or_broke_off_again(
    album: Path, toy: Path, tmp_path: Path
) -> None:
    for form in ("csv", "jsonl"):
        out = tmp_path / f"t.{form}"
        assert run(album, "--out", out, toy=toy).exit_code == SOME_UNREADABLE
        before = out.read_text().splitlines()
        broken = album / "b" / "zbroken.png"
        data = broken.read_bytes()
        broken.write_bytes((album / "a" / "two.png").read_bytes())  # mended
        done = run(album, "--out", out, "--resume", toy=toy)
        assert done.exit_code == 0 and "4 sources already in the table" in done.stderr
        after = out.read_text().splitlines()
        assert (
            len(after) == len(before) and after[:-1] == before[:-1] and "cut off" not in after[-1]
        )
        # A video that was under way when the program ended: its rows go, and it is looked at again.
        mark = out.with_name(out.name + ".unfinished")
        mark.write_text(str(album / "a" / "one.png"))
        done = run(album, "--out", out, "--resume", toy=toy)
        assert done.exit_code == 0 and "4 sources already in the table" in done.stderr
        assert sorted(out.read_text().splitlines()) == sorted(after)
        broken.write_bytes(data)


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_resume_by_other_means_is_refused_and_loses_nothing(
    album: Path, toy: Path, tmp_path: Path, form: str
) -> None:
    other, out = tmp_path / "other.zip", tmp_path / f"t.{form}"
    digest = write_toy(other, name="other").digest[:16]
    assert run(album, "--out", out, toy=toy).exit_code == SOME_UNREADABLE
    beside = tmp_path / f"t.{form}.settings.json"
    kept = json.loads(beside.read_text())
    known = f"toy {open_bundle(toy).digest[:16]}"
    assert kept == {
        "format": "mien.settings/1",
        "bundle": known,
        "mode": "fast",
        "prior": "training",
        "detector": "none",
    }
    before = {path: path.read_bytes() for path in (out, beside)}
    for bundle, words, said in (
        (other, (), f"got --resume with bundle other {digest}; expected bundle {known}"),
        (toy, ("--best",), "got --resume with mode best; expected mode fast"),
        (
            other,
            ("--best",),
            f"got --resume with bundle other {digest}, mode best; expected bundle {known}, mode "
            "fast",
        ),
    ):
        with pytest.raises(UsageError, match=re.escape(said)) as refused:
            run(album, "--out", out, "--resume", *words, toy=bundle)
        assert "--out" in str(refused.value) and "--overwrite" in str(refused.value)
        assert {path: path.read_bytes() for path in before} == before
    moved = tmp_path / "moved.zip"  # the same network by another name of its file
    moved.write_bytes(toy.read_bytes())
    done = run(album, "--out", out, "--resume", toy=moved)
    assert (
        done.exit_code == SOME_UNREADABLE
        and "4 sources already in the table" in done.stderr
        and "unknown" not in done.stderr
    )
    assert run(album, "--out", out, "--overwrite", "--best", toy=other).exit_code == SOME_UNREADABLE
    assert json.loads(beside.read_text())["mode"] == "best"
    assert run(album, "--out", out, "--resume", "--best", toy=other).exit_code == SOME_UNREADABLE


def test_resume_of_a_table_without_its_settings(album: Path, toy: Path, tmp_path: Path) -> None:
    out, beside = tmp_path / "t.csv", tmp_path / "t.csv.settings.json"
    assert run(album / "a", "--out", out, toy=toy).exit_code == 0
    beside.unlink()  # as an older mien left it
    for _ in range(2):  # the earlier rows stay of an unknown network
        done = run(album / "a", album / "b" / "one.png", "--out", out, "--resume", toy=toy)
        assert done.exit_code == 0 and len(table(out)) == 3
        assert f"{out}: the network and settings of its earlier rows are unknown" in done.stderr
    with pytest.raises(UsageError, match="got --resume with mode best; expected mode fast"):
        run(album, "--out", out, "--resume", "--best", toy=toy)
    for text, got in (
        ("{", "not JSON"),
        ("[]", "another JSON file"),
        ('{"format": "mine"}', "another JSON file"),
    ):
        beside.write_text(text)
        for word in ("--resume", "--overwrite"):
            with pytest.raises(DataError, match=f"settings.json: got .*{got}"):
                run(album / "a", "--out", out, word, toy=toy)
        assert beside.read_text() == text and len(table(out)) == 3
    beside.unlink()
    out.write_text(out.read_text().splitlines(keepends=True)[0])  # no earlier rows
    done = run(album / "a", "--out", out, "--resume", toy=toy)
    assert done.exit_code == 0 and "unknown" not in done.stderr


def test_settings_of_videos_count_where_there_are_videos(
    album: Path, toy: Path, tmp_path: Path
) -> None:
    out = tmp_path / "t.csv"
    talk = film(tmp_path / "talk.mp4")
    assert run(album / "a", "--out", out, toy=toy).exit_code == 0
    assert (
        run(album / "a", talk, "--out", out, "--resume", "--every", "0.2s", toy=toy).exit_code == 0
    )
    before = out.read_text()
    for words, said in (
        (("--every", "0.1s"), "got --resume with every_s 0.1; expected every_s 0.2"),
        ((), "got --resume with every_s none; expected every_s 0.2"),
        (
            ("--every", "200ms", "--smooth", "0s"),
            "got --resume with smooth_s 0.0; expected smooth_s 0.3",
        ),
    ):
        with pytest.raises(UsageError, match=re.escape(said)):
            run(talk, "--out", out, "--resume", *words, toy=toy)
    assert out.read_text() == before
    assert (
        run(
            talk, "--out", out, "--resume", "--every", "200ms", "--smooth", "0.3s", toy=toy
        ).exit_code
        == 0
    )
    assert (
        run(album / "b" / "one.png", "--out", out, "--resume", toy=toy).exit_code == 0
    )  # no video, no matter


class Blind:
    """Looks for faces, and finds none."""

    geometry, note = "yunet", ""

    def __init__(self, name: str) -> None:
        self.name = name

    def detect(self, image: np.ndarray) -> Detections:
        return Detections(
            np.zeros((0, 4), np.float32), np.zeros(0, np.float32), None, self.geometry
        )


def test_resume_with_another_detector_or_size_is_refused(
    album: Path, toy: Path, tmp_path: Path
) -> None:
    def go(name: str, max_side: int | None, *, resume: bool) -> None:
        outputs = Outputs(tmp_path / "t.csv", resume=resume)
        with Recognizer(open_bundle(toy), Blind(name)) as recognizer:
            predict(
                [str(album / "a" / "one.png")],
                recognizer,
                outputs,
                Options(max_side=max_side),
                say=print,
                show=print,
            )

    go("blind-1", None, resume=False)
    with pytest.raises(
        UsageError, match="got --resume with detector blind-2; expected detector blind-1"
    ):
        go("blind-2", None, resume=True)
    with pytest.raises(UsageError, match="got --resume with max_side 640; expected max_side 2560"):
        go("blind-1", 640, resume=True)
    go("blind-1", 2560, resume=True)  # what the default is
    assert len(table(tmp_path / "t.csv")) == 1


def test_what_it_wrote_is_not_looked_at_again(album: Path, toy: Path, tmp_path: Path) -> None:
    photos = album / "a"
    film(photos / "talk.mp4")
    for name in (
        "selfie-face0.png",
        "talk-face0.png",
        "friends_persons/person-0.png",
        "one-face.png",
    ):
        (photos / name).parent.mkdir(exist_ok=True)
        (photos / name).write_bytes(
            (photos / "two.png").read_bytes()
        )  # the user's own, though it is named so
    for number in range(3):
        done = run(
            photos, "--draw", photos, "--explain", photos, "--summary", photos, "--json", toy=toy
        )
        assert done.exit_code == 0
        frames = json.loads(done.stdout)["frames"]
        assert len(frames) == 6 + 5 and {Path(frame["source"]).name for frame in frames} == {
            *("one.png", "two.png", "talk.mp4"),
            *("selfie-face0.png", "talk-face0.png", "person-0.png", "one-face.png"),
        }
        # Marked copies and maps of six pictures, a marked copy, a timeline and an
        # overview of the video.
        assert ("skipped 15 files that this command wrote" in done.stderr) == (number > 0)
    assert (photos / "talk_persons" / "person-0.png").exists() and (
        photos / "one-face0.png"
    ).exists()
    # The settings of a table are no picture either.
    assert run(photos / "one.png", "--out", photos / "t.csv", toy=toy).exit_code == 0
    assert "t.csv.settings.json" in os.listdir(photos)
    found = collect([str(photos), str(photos / "t*")], say=lambda sentence: None)
    assert not any("t.csv" in source for source in found)


def test_very_long_names(album: Path, toy: Path, tmp_path: Path) -> None:
    photos, marked = tmp_path / "long", tmp_path / "marked"
    photos.mkdir()
    picture = (album / "a" / "one.png").read_bytes()
    odd = os.fsdecode(b"\xff" * 240)  # no UTF-8
    names = ("a" * 249, "a" * 250, "é" * 124, "é" * 123 + "ab", "b" * 235, "c", odd)
    for name in names:
        (photos / f"{name}.png").write_bytes(picture)
    film(photos / f"{'v' * 240}.mp4")
    for number in range(2):
        words = ("--draw", marked, "--explain", marked, "--summary", marked)
        folders = (photos, marked) if number else (photos,)
        done = run(*folders, *words, "--out", tmp_path / f"{number}.jsonl", toy=toy)
        assert done.exit_code == 0
        sources = [
            json.loads(line)["source"]
            for line in (tmp_path / f"{number}.jsonl").read_text().splitlines()
        ]
        assert len(sources) == 7 + 5 and {Path(source).stem for source in sources} == {
            *names,
            "v" * 240,
        }
        assert ("skipped 17 files" in done.stderr) == (number > 0)
        written = os.listdir(marked)
        for end, count in (
            ("-marked.jpg", 7),
            ("-face0.png", 7),
            ("-marked.mp4", 1),
            ("_summary.csv", 1),
        ):
            found = [name for name in written if name.endswith(end)]
            assert len(found) == count and all(len(os.fsencode(name)) <= 255 for name in found)
        assert {"c-marked.jpg", "c-face0.png", "b" * 235 + "-face0.png"} <= set(written)
    # The settings of a table that is named so, too.
    out = tmp_path / ("t" * 245 + ".csv")
    assert run(album / "a", "--out", out, toy=toy).exit_code == 0
    with pytest.raises(UsageError, match="mode best"):
        run(album / "a", "--out", out, "--resume", "--best", toy=toy)


def test_a_summary_that_cannot_be_written_leaves_nothing_behind(toy: Path, tmp_path: Path) -> None:
    talk, folder = film(tmp_path / "talk.mp4"), tmp_path / "sums"
    (folder / "talk_summary.csv").mkdir(parents=True)
    with pytest.raises(
        UsageError, match=r"talk_summary\.csv: got an error while writing \(Is a directory\)"
    ):
        run(talk, "--summary", folder, toy=toy)
    assert os.listdir(folder) == ["talk_summary.csv"]
    (folder / "talk_summary.csv").rmdir()
    (folder / ".talk.jsonl").mkdir()  # where the frames are kept meanwhile
    with pytest.raises(
        UsageError, match=r"\.talk\.jsonl: got an error while writing \(Is a directory\)"
    ):
        run(talk, "--summary", folder, toy=toy)
    (folder / ".talk.jsonl").rmdir()
    assert run(talk, "--summary", folder, toy=toy).exit_code == 0
    assert sorted(os.listdir(folder)) == [
        "talk_events.json",
        "talk_events.tsv",
        "talk_persons",
        "talk_summary.csv",
    ]


def test_nothing_of_the_users_is_overwritten(album: Path, toy: Path, tmp_path: Path) -> None:
    precious = tmp_path / "mine.csv"
    precious.write_text("mine\n")
    refused = subprocess_mien(
        "predict", album / "a", "--out", precious, "--bundle", toy, "--detector", "none"
    )
    assert (
        refused.returncode == 2
        and "--overwrite" in refused.stderr
        and precious.read_text() == "mine\n"
    )
    assert run(album / "a", "--out", precious, "--overwrite", toy=toy).exit_code == 0
    assert len(table(precious)) == 2
    pictures = {path: path.read_bytes() for path in (album / "a").iterdir()}
    for _ in range(
        2
    ):  # the second time the marked copies lie among the pictures, and are not looked at
        done = run(album / "a", "--draw", album / "a", toy=toy)
        assert done.exit_code == 0 and "2 faces in 2 pictures or frames" in done.stderr
    assert {path: path.read_bytes() for path in pictures} == pictures
    assert "skipped 2 files that this command wrote" in done.stderr


def test_marked_copies_and_explanations(album: Path, toy: Path, tmp_path: Path) -> None:
    done = run(album, "--draw", tmp_path / "marked", "--explain", tmp_path / "why", toy=toy)
    assert done.exit_code == SOME_UNREADABLE
    names = ("a/one", "a/two", "b/one", "b/three")
    marked, why = tmp_path / "marked", tmp_path / "why"
    assert sorted(marked.rglob("*.*")) == [marked / f"{name}-marked.jpg" for name in names]
    assert sorted(why.rglob("*.*")) == [why / f"{name}-face0.png" for name in names]
    with Image.open(tmp_path / "why" / "a" / "one-face0.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    assert (pixels.max(axis=2) - pixels.min(axis=2)).max() > 30  # the map is in colour


def test_a_picture_on_stdin(album: Path, toy: Path) -> None:
    data = (album / "a" / "one.png").read_bytes()
    done = subprocess_mien(
        "predict", "-", "--bundle", toy, "--detector", "none", "--json", input=data
    )
    assert done.returncode == 0, done.stderr
    [frame] = json.loads(done.stdout)["frames"]
    assert frame["source"] == "-" and len(frame["faces"]) == 1


def test_presets_name_their_columns(album: Path, toy: Path, tmp_path: Path) -> None:
    assert (
        run(album / "a", "--out", tmp_path / "p.csv", "--columns", "pyfeat", toy=toy).exit_code == 0
    )
    assert {"input", "happiness", "FaceRectX"} <= set(table(tmp_path / "p.csv")[0])
    assert (
        run(album / "a", "--out", tmp_path / "o.csv", "--columns", "openface", toy=toy).exit_code
        == 0
    )
    assert {"frame", "timestamp", "confidence", "success"} <= set(table(tmp_path / "o.csv")[0])


def test_what_cannot_be_meant_is_refused_before_work(
    album: Path, toy: Path, tmp_path: Path
) -> None:
    for name in ("folder.csv", "folder.parquet"):
        (tmp_path / name).mkdir()
    for words, said in (
        (["--out", tmp_path / "t.xlsx"], ".xlsx"),
        (
            ["--every", "often"],
            "--every: got 'often'; expected a time above 0. Fix: write one such as 0.2s",
        ),
        (["--smooth", "-1s"], "--smooth: got '-1s'"),
        (["--overwrite"], "--out FILE"),
        (["--columns", "openface"], "--out FILE"),
        (["--columns", "openface", "--out", tmp_path / "t.jsonl"], ".csv or .parquet"),
        (["--out", tmp_path / "t.csv", "--resume", "--overwrite"], "expected one"),
        (["--out", tmp_path / "folder.csv", "--resume"], "folder.csv: got a folder"),
        (["--out", tmp_path / "folder.parquet", "--overwrite"], "folder.parquet: got a folder"),
        (["--max-side", "640"], "detector none: got max_side 640"),
    ):
        with pytest.raises(UsageError, match=re.escape(said)):
            run(album, *words, toy=toy)
    done = subprocess_mien(
        "predict", album, "--every", "often", "--bundle", toy, "--detector", "none"
    )
    assert done.returncode == 2 and "0.2s" in done.stderr and "Traceback" not in done.stderr
    done = subprocess_mien(
        "predict", album, "--bundle", tmp_path / "nothing.zip", "--detector", "none"
    )
    assert done.returncode == 7 and "nothing.zip" in done.stderr


def test_options_for_the_other_kind_of_source_are_said(
    album: Path, toy: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    done = run(album / "a", "--every", "1s", "--smooth", "0s", "--summary", folder, toy=toy)
    assert [line for line in done.stderr.splitlines() if "only" in line] == [
        f"--{option} is only for videos: it has no effect on 2 other sources"
        for option in ("summary", "every", "smooth")
    ]
    done = run(album / "a", "lost.mp4", "--every", "1s", "--explain", folder, toy=toy)
    assert [line for line in done.stderr.splitlines() if "only" in line] == [
        "--explain is only for pictures: it has no effect on 1 other source"
    ]


def test_collect_takes_patterns_and_keeps_order(album: Path, tmp_path: Path) -> None:
    said: list[str] = []
    found = collect(
        [str(album / "b" / "three.JPG"), str(album / "*" / "one.png"), str(album)], say=said.append
    )
    assert [str(Path(one).relative_to(album)) for one in found] == [
        "b/three.JPG", "a/one.png", "b/one.png", "a/two.png", "b/zbroken.png"
    ]  # fmt: skip
    assert list(collect(["nowhere.png", "-", "camera:0"], say=said.append)) == [
        "nowhere.png",
        "-",
        "camera:0",
    ]
    assert said == [f"{album}: left out 1 file without the name of a picture or video"]
    (tmp_path / "empty").mkdir()
    for nothing in (tmp_path / "empty", tmp_path / "*.png"):
        with pytest.raises(UsageError, match="no picture and no video"):
            collect([str(nothing)], say=said.append)
    assert len(collect([str(tmp_path / "empty"), str(album / "a")], say=said.append)) == 2
    (album / "a" / "self").symlink_to(album / "a")  # not followed, or it would never end
    assert len(collect([str(album)], say=said.append)) == 5


def subprocess_mien(*words: object, input: bytes | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "mien", *map(str, words)],
        input=input,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


def test_nothing_is_written_into_the_home_folder(album: Path, toy: Path, tmp_path: Path) -> None:
    """ONNX Runtime's telemetry would leave files there, and send them."""
    home = tmp_path / "home"
    home.mkdir()
    env = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    command = [
        sys.executable,
        "-m",
        "mien",
        "predict",
        album / "a",
        "--bundle",
        toy,
        "--detector",
        "none",
    ]
    subprocess.run(
        command,
        check=True,
        capture_output=True,
        env={**env, "HOME": str(home), "PYTHONPATH": str(ROOT)},
    )
    assert [str(path) for path in home.rglob("*")] == []


def moving(path: Path) -> Path:
    """Three drawn faces, 0.3 s each."""
    faces = [Image.fromarray(face[..., 0]) for face in draw_faces(np.arange(3), seed=3)]
    faces[0].save(path, save_all=True, append_images=faces[1:], duration=300)
    return path


def test_a_moving_picture_is_the_video_it_is(toy: Path, tmp_path: Path) -> None:
    gif, out = moving(tmp_path / "joy.gif"), tmp_path / "t.csv"
    pages = tmp_path / "pages.tiff"
    moving(pages)
    done = run(gif, pages, "--out", out, "--draw", tmp_path / "marked", toy=toy)
    assert done.exit_code == 0
    rows = {name: [r for r in table(out) if r["source"].endswith(name)] for name in ("gif", "tiff")}
    assert [float(row["time_s"]) for row in rows["gif"]] == pytest.approx([0, 0.3, 0.6])
    assert [row["note"] for row in rows["tiff"]] == ["first of 3 frames"]
    assert [row["drawn"] for row in rows["tiff"]] == [str(tmp_path / "marked" / "pages-marked.jpg")]
    assert {row["drawn"] for row in rows["gif"]} == {str(tmp_path / "marked" / "joy-marked.mp4")}
    assert (tmp_path / "marked" / "joy-marked.mp4").exists()
    assert "first of 3 frames" in done.stdout


def test_a_summary_prints_a_table_of_persons(toy: Path, tmp_path: Path) -> None:
    done = run(film(tmp_path / "talk.mp4"), "--summary", tmp_path / "sums", toy=toy)
    assert done.exit_code == 0
    head, *lines = done.stdout.splitlines()[-3:]
    assert head.endswith("talk.mp4") and lines[0].split()[:2] == ["person", "seen"]
    assert lines[1].split()[:3] == ["0", "0.5", "s"]
    rows = table(tmp_path / "sums" / "talk_summary.csv")
    assert len(rows) == 1 and rows[0]["faces"] == "5" and rows[0]["mean_valence"] != ""


def test_quiet_prints_errors_only(album: Path, toy: Path, tmp_path: Path) -> None:
    done = run(album, film(tmp_path / "a.mp4"), "--quiet", "--out", tmp_path / "t.csv", toy=toy)
    assert done.exit_code == SOME_UNREADABLE and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert "zbroken.png: not read" in line
    assert len(table(tmp_path / "t.csv")) == 10


def test_addresses_and_their_names(toy: Path, tmp_path: Path) -> None:
    held = io.BytesIO()
    Image.fromarray(draw_faces(np.array([3]), seed=3)[0, ..., 0]).save(held, "PNG")
    data = "data:image/png;base64," + base64.b64encode(held.getvalue()).decode()
    out = tmp_path / "t.csv"
    done = run(
        *(data, "http://127.0.0.1:9/who/is?it=this", "file:///etc/passwd"),
        *("--out", out, "--draw", tmp_path / "marked"),
        toy=toy,
    )
    assert done.exit_code == SOME_UNREADABLE
    one, two, three = table(out)
    assert one["source"].startswith("data: URL of") and one["label"]
    assert "may be offline" in two["error"] and "kind file:" in three["error"]
    assert os.listdir(tmp_path / "marked") == ["data-marked.jpg"]
    assert max(len(line) for line in done.stdout.splitlines()) < 500


def test_folders_are_mirrored_and_several_told_apart(
    album: Path, toy: Path, tmp_path: Path
) -> None:
    (album / "b" / "zbroken.png").unlink()
    done = run(album / "a", album / "b", "--draw", tmp_path / "marked", toy=toy)
    assert done.exit_code == 0
    written = sorted(p.relative_to(tmp_path / "marked").as_posix() for p in tmp_path.rglob("*.jpg"))
    assert written == [f"{name}-marked.jpg" for name in ("a/one", "a/two", "b/one", "b/three")]
    assert run(album / "*" / "one.png", "--draw", tmp_path / "two", toy=toy).exit_code == 0
    written = sorted(
        p.relative_to(tmp_path / "two").as_posix() for p in (tmp_path / "two").rglob("*.jpg")
    )
    assert written == ["a/one-marked.jpg", "b/one-marked.jpg"]
