"""The command line as a user meets it: real processes for exit codes, in process for the rest."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from toy_bundle import write_toy
from typer.testing import CliRunner

from mien.bundle import open_bundle
from mien.bundle.classifier import Classifier
from mien.cli.app import _app_of, app
from mien.cli.data import data_app
from mien.cli.train import info
from mien.data.convert import convert
from mien.data.dataset import Dataset
from mien.data.readers import load_dataset
from mien.data.source import Source, make_folder, write_audit
from mien.data.synthetic import draw_faces
from mien.errors import RunError, UsageError
from mien.evaluation.predictions import unique_names

ROOT = Path(__file__).parents[2]


def mien(*words: object, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mien", *map(str, words)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, env=env, **options)


def answer(*words: object) -> Any:
    done = CliRunner().invoke(
        app, [str(word) for word in (*words, "--json")], catch_exceptions=False
    )
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def csv(faces: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return convert(faces, tmp_path_factory.mktemp("csv") / "faces.csv")


@pytest.fixture(scope="module")
def job(csv: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """`mien run` with two networks of one epoch."""
    out = tmp_path_factory.mktemp("job") / "out"
    words = [
        "run",
        csv,
        "--out",
        out,
        "--recipe",
        "small",
        "--recipe",
        "medium",
        "--epochs",
        1,
        "--json",
    ]
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0
    return out, json.loads(done.stdout)


@pytest.mark.slow
def test_run_does_everything(job: tuple[Path, dict[str, Any]]) -> None:
    out, printed = job
    report = out / "report"
    assert Path(printed["report"]) == report / "report.html"
    page = (report / "report.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>") or page.startswith("<!doctype html>")
    stored = json.loads((report / "report.json").read_text(encoding="utf-8"))
    assert [network["name"] for network in stored["networks"]] == ["small", "medium"]
    for name in ("small", "medium"):
        assert json.loads((out / "networks" / name / "run.json").read_text())["epochs"] == 1
    assert (report / "report.md").stat().st_size > 500
    assert json.loads((out / "audit" / "audit.json").read_text())
    assert len(list((out / "audit").glob("*.png"))) > 0
    assert len(list(report.rglob("*.png"))) > 5


@pytest.mark.slow
def test_evaluate_and_info_read_the_runs(
    job: tuple[Path, dict[str, Any]], csv: Path, tmp_path: Path
) -> None:
    out, first = job
    again = answer(
        "evaluate", out / "networks" / "small", "--data", csv, "--out", tmp_path / "report"
    )
    assert [network["name"] for network in again["networks"]] == ["small"]
    assert again["networks"][0]["splits"] == first["networks"][0]["splits"]
    runs = answer("info", out / "networks" / "small", out / "networks" / "medium")["runs"]
    assert [run["recipe"]["name"] for run in runs] == ["small", "medium"]
    shown = CliRunner().invoke(app, ["info", str(out / "networks" / "small")])
    for words in ("parameters", "multiply-adds", "s per epoch", "peak MB", "496,511"):
        assert words in shown.stdout


def test_with_a_bundle_the_argument_is_the_data(csv: Path, tmp_path: Path) -> None:
    run, report = tmp_path / "nowhere", tmp_path / "report"
    both = ("evaluate", "--bundle", "shipped")
    for words, error, says in (
        ((*both, csv, "--run", run), RunError, "nowhere: got no run.json"),
        (
            (*both, csv, run),
            UsageError,
            "expected one argument, the data. Fix: name runs with --run RUN",
        ),
        ((*both, csv, "--data", csv), UsageError, "expected one argument, the data"),
        (("evaluate", "--run", run), UsageError, "expected run folders as arguments"),
    ):
        with pytest.raises(error, match=says):
            answer(*words, "--out", report)
    assert not report.exists()


def test_info_without_a_run_lists_the_recipes() -> None:
    names = ["small", "medium", "large", "champion", "everyday", "finetune"]
    assert [one["name"] for one in answer("info")["recipes"]] == names


@pytest.mark.slow
def test_a_bundle_is_judged_in_both_modes(
    csv: Path, faces: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "mien.evaluation.evaluate.NUM_MAPS", 1
    )  # maps of this network take most of the time
    facts = answer("evaluate", "--bundle", "shipped", csv, "--out", tmp_path / "report")
    shipped = open_bundle("shipped")
    name, head = shipped.name, shipped.heads[0].name
    # As shown under the default prior, under the other one, and the main head by itself.
    kinds = (name, f"{name}, balanced", f"{name}, {head}")
    expected = [f"{kind} --{mode}" for mode in ("fast", "best") for kind in kinds]
    assert [network["name"] for network in facts["networks"]] == expected
    part = faces.part("validation")
    with Classifier(shipped) as classify:
        for network, mode in zip(facts["networks"][::3], ("fast", "best"), strict=True):
            right = (
                classify.answer(classify(part.images, mode=mode), mode=mode).argmax(axis=1)
                == part.labels
            )
            assert network["splits"]["validation"]["accuracy"]["value"] == pytest.approx(
                right.mean()
            )
            assert not network["same_data"] and network["splits"]["test"]["n"] == len(
                faces.part("test")
            )
    assert (
        facts["networks"][0]["splits"]["training"]
        and not facts["networks"][3]["splits"]["training"]
    )
    single = mien("evaluate", "--bundle", "shipped", "--ensemble", csv)
    assert (
        single.returncode == 2
        and "got 0 run(s) and 1 bundle(s); expected two or more runs, or two or more bundles"
        in single.stderr
    )
    empty = mien("evaluate")
    assert (
        empty.returncode == 2 and "got no network; expected run folders or a bundle" in empty.stderr
    )


@pytest.mark.slow
def test_the_mean_of_bundles_is_judged(csv: Path, tmp_path: Path) -> None:
    write_toy(
        tmp_path / "toy", ("expression", "mood")
    )  # made elsewhere, of whose data only a fingerprint is known
    mean = (
        "evaluate",
        *("--bundle", tmp_path / "toy") * 2,
        "--ensemble",
        csv,
        "--out",
        tmp_path / "mean",
    )
    found = {one["name"]: one["splits"]["validation"] for one in answer(*mean)["networks"]}
    assert len(found) == 12  # two bundles and their mean, two answers each, in two modes
    assert found["mean of 2 --best"] == found["toy 1 --best"]
    assert "Trained on other data, an unnamed source. " in (
        tmp_path / "mean" / "report.html"
    ).read_text("utf-8")


@pytest.mark.slow
def test_paths_that_are_not_utf8(
    job: tuple[Path, dict[str, Any]], csv: Path, tmp_path: Path
) -> None:
    place = tmp_path / os.fsdecode(b"gr\xf6sse")
    try:
        place.mkdir()
    except OSError:
        pytest.skip("this file system has names in UTF-8 only")
    run = place / os.fsdecode(b"l\xe4uf")
    shutil.copytree(job[0] / "networks" / "small", run)
    shutil.copy(csv, place / "faces.csv")
    told = answer("evaluate", run, "--data", place / "faces.csv", "--out", place / "report")
    stored = json.loads((place / "report" / "report.json").read_text("utf-8"))
    for one in (told, stored):
        assert one["networks"][0]["name"] == "l\\udce4uf"
        assert one["data"]["source"].endswith("gr\\udcf6sse/faces.csv")
    answer("data", "audit", place / "faces.csv", "--out", place / "audit")
    assert "gr\\udcf6sse" in (place / "audit" / "audit.txt").read_text("utf-8")
    assert (
        CliRunner()
        .invoke(app, ["info", str(run)], catch_exceptions=False)
        .stdout.count("l\\udce4uf")
        == 1
    )


def test_folders_for_results_that_cannot_be_written(faces: Dataset, tmp_path: Path) -> None:
    (tmp_path / ".write").mkdir()  # whatever another process has there
    make_folder(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".write"]
    (tmp_path / "audit.txt").mkdir()
    with pytest.raises(
        RunError,
        match="got an error while writing .*Fix: choose another folder with --out, or check",
    ):
        write_audit(faces, tmp_path, say=print)


def test_doctor() -> None:
    facts = answer("doctor")
    assert {
        "mien",
        "python",
        "processor",
        "threads",
        "bf16_instructions",
        "backend",
        "data",
        "packages",
    } <= facts.keys()
    assert facts["backend"].startswith("TensorFlow 2.21")
    assert facts["data"].startswith("none found")


def test_data_verbs(csv: Path, faces: Dataset, tmp_path: Path) -> None:
    info = answer("data", "info", csv)
    assert (
        info["counts"]["training"]["happy"] == int(faces.counts()[0, 3])
        and info["num_unlabelled"] == 0
    )
    given = [str(csv), "--on-error", "skip", "--labels", "fer2013"]
    done = CliRunner().invoke(app, ["data", "info", *given], catch_exceptions=False)
    assert done.stderr.splitlines()[-1] == f"Next: mien data audit {shlex.join(given)}"
    audit = answer("data", "audit", csv, "--out", tmp_path / "audit")
    assert json.loads((tmp_path / "audit" / "audit.json").read_text()) == audit
    drawn = answer("data", "draw", "--num", 80, "--out", tmp_path / "drawn")
    assert drawn == {"written": str(tmp_path / "drawn"), "num_faces": 80}
    turned = answer("data", "convert", tmp_path / "drawn", tmp_path / "drawn.csv.gz")
    assert turned["num_faces"] == 80
    one, other = load_dataset(tmp_path / "drawn"), load_dataset(tmp_path / "drawn.csv.gz")
    np.testing.assert_array_equal(one.images, other.images)
    np.testing.assert_array_equal(one.labels, other.labels)


@pytest.mark.slow
def test_bad_rows_are_refused_or_skipped_and_said(csv: Path, tmp_path: Path) -> None:
    lines = csv.read_text().splitlines()
    lines[3] = "9" + lines[3][1:]
    bad = tmp_path / "bad.csv"
    bad.write_text("\n".join(lines) + "\n")
    refused = mien("data", "info", bad)
    assert refused.returncode == 3
    assert refused.stdout == ""
    assert "bad.csv, row 4: got" in refused.stderr and "Traceback" not in refused.stderr
    skipped = answer("data", "info", bad, "--on-error", "skip")
    assert len(skipped["left_out"]) == 1 and skipped["left_out"][0]["row"] == 4
    out = tmp_path / "out"
    words = ["run", bad, "--on-error", "skip", "--recipe", "small", "--epochs", "1", "--out", out]
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0
    assert "row 4" in (out / "report" / "report.html").read_text(encoding="utf-8")
    small, zipped = out / "networks" / "small", tmp_path / "small.zip"
    words = ["export", small, zipped, "--data", bad, "--on-error", "skip"]
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert (
        done.exit_code == 0
        and "! 35 labelled validation faces are too few to calibrate" in done.stderr
    )
    assert open_bundle(zipped).training["data"]["left_out"] == 1
    (tmp_path / "one" / "happy").mkdir(parents=True)
    Image.fromarray(draw_faces(np.array([3]))[0, ..., 0]).save(tmp_path / "one" / "happy" / "a.png")
    words = [
        "evaluate",
        "--bundle",
        zipped,
        tmp_path / "one",
        "--out",
        tmp_path / "report",
    ]  # too few to be split
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0 and ": 1 face, 7 classes" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["train", "nowhere.csv"], 3, "nowhere.csv: got nothing"),
        (["train", "--recipe", "huge"], 2, "huge"),
        (["train", "--learning-rate", "7"], 2, "expected more than 0 and less than 1"),
        (["evaluate", "nowhere"], 4, "expected a folder that `mien train` wrote"),
        (["data", "get", "affectnet"], 2, "got 'affectnet'; expected fer2013"),
        (
            ["evaluate", __file__],
            4,
            "got a file; expected a folder that `mien train` wrote. Fix: name data with",
        ),
        (["train", "--seed", "4294967296"], 2, "seed: got 4294967296; expected less than 2^32"),
        (["train", "--set", "erase=null"], 2, "got 'erase=null'; expected a value"),
        (
            ["data", "draw", "--out", "faces.csv"],
            2,
            "got the name of a csv for a folder; expected the name of a folder",
        ),
        (["data", "draw", "--out", ".", "--form", "csv"], 2, "already exists"),
        (["data", "draw", "--out", "/proc/mien"], None, "/proc/mien"),
        (
            ["run", "--recipe", "small", "--recipe", "everyday"],
            2,
            "everyday, which starts from a trained network",
        ),
        (["run", "--out", "/proc/mien"], 4, "choose another folder with --out"),
    ],
)
def test_wrong_use_gets_one_message_and_its_exit_code(
    words: list[str], code: int | None, says: str
) -> None:
    done = mien(*words)
    assert done.returncode == code if code is not None else done.returncode in (1, 2, 3, 4)
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_results_go_to_stdout_and_the_rest_to_stderr(csv: Path) -> None:
    done = mien("data", "info", csv, "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["source"].endswith("faces.csv")
    assert mien("--version").stdout.startswith("mien 0.")


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_by_a_signal(csv: Path, tmp_path: Path, number: int, code: int) -> None:
    command = [
        sys.executable,
        "-m",
        "mien",
        "train",
        csv,
        "--recipe",
        "small",
        "--epochs",
        "300",
        "--patience",
        "300",
    ]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    out = tmp_path / "run"

    def listen() -> None:  # a shell starts what runs in its background with Ctrl-C ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    with subprocess.Popen(
        [*command, "--out", out], stdout=-1, stderr=-1, text=True, env=env, preexec_fn=listen
    ) as process:
        deadline = time.monotonic() + 120
        while not (out / "history.jsonl").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert "continues after the last complete epoch" in errors and "Traceback" not in errors
    facts = json.loads((out / "run.json").read_text())
    assert facts["epochs"] >= 1 and "stopped" not in facts
    assert Source(None).or_of_runs([out]).path == str(csv)  # for: mien evaluate, mien export


def test_the_script_is_mien_run() -> None:
    command = [sys.executable, ROOT / "facial_expression_recognition.py", "--help"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0
    assert "Do everything: read and audit data" in done.stdout


def test_every_verb_has_help_with_an_example() -> None:
    verbs = [[command.callback.__name__] for command in app.registered_commands if command.callback]
    verbs += [["data", str(command.name)] for command in data_app.registered_commands]
    assert len(verbs) == 16
    for verb in verbs:
        done = CliRunner().invoke(app, [*verb, "--help"])
        assert f"Example: mien {' '.join(verb)}" in done.stdout


@pytest.mark.slow
def test_a_network_is_averaged_with_itself(csv: Path, tmp_path: Path) -> None:
    facts = answer("average", "shipped", "shipped", "--data", csv, "--out", tmp_path / "run")
    assert [one["share"] for one in facts["averaged"]] == [0.5, 0.5] and facts["epochs"] == 1
    assert facts["seconds_per_epoch"] is None  # nothing was trained
    assert Source(None).or_of_runs([tmp_path / "run"]).path == str(csv)
    cells = (
        CliRunner().invoke(app, ["info", str(tmp_path / "run")]).stdout.splitlines()[1].split("  ")
    )
    assert [cell.strip() for cell in cells if cell.strip()][3:7] == ["n/a"] * 4
    alone = mien("average", "shipped", "--data", csv, "--out", tmp_path / "alone")
    assert (
        alone.returncode == 2
        and "got 1 bundle(s)" in alone.stderr
        and not (tmp_path / "alone").exists()
    )


def test_networks_of_one_name_are_numbered() -> None:
    assert unique_names(["a", "b"]) == ["a", "b"]
    assert unique_names(["a", "b", "a"]) == ["a 1", "b", "a 3"]
    assert unique_names(["a", "a", "a 2"]) == ["a 1", "a 2", "a 2 3"]


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("train x --recipe lrage", "large"),
        ("run x --recipe small --recipe meduim", "medium"),
        ("predict a.png --detector yunte", "yunet"),
        ("data draw --form cvs", "csv"),
    ],
)
def test_a_near_miss_is_told_the_word_meant(words: str, meant: str) -> None:
    done = CliRunner().invoke(app, words.split())
    assert done.exit_code == 2 and f"Fix: write {meant}" in done.stderr
    assert "Value error" not in done.stderr


@pytest.mark.parametrize(
    "words", ["doctor {}", "{}", "train a b {}", "predict a.png --detector {}"]
)
def test_typers_own_errors_star_out_passwords(words: str) -> None:
    said = CliRunner().invoke(app, words.format("rtsp://me:secret@camera").split()).stderr
    assert "rtsp://me:***@camera" in said and "secret" not in said


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("mien ev", ["evaluate"]),
        ("mien data co", ["convert"]),
        ("mien train --recipe l", ["large"]),
        ("mien train --set opt", ["optimizer="]),
        ("mien predict --detector y", ["yunet", "yunet-close"]),
    ],
)
def test_shells_complete_verbs_and_values(line: str, completed: list[str]) -> None:
    words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1)}
    done = subprocess.run(
        [str(Path(sys.executable).parent / "mien")],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "_MIEN_COMPLETE": "complete_bash", **words},
        check=True,
    )
    assert done.stdout.split() == completed


def test_an_empty_pattern_says_it_once(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mien", "predict", str(tmp_path / "*.png")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("no picture") == 1 and len(done.stderr.splitlines()) == 1


def test_a_verb_is_built_alone_and_an_unknown_one_with_all() -> None:
    assert [command.callback for command in _app_of("info").registered_commands] == [info]
    assert _app_of("inof") is _app_of("data") is app
