"""What is written reads back equal."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mien.cli.data import data_convert
from mien.data.convert import convert
from mien.data.dataset import UNLABELLED, Dataset
from mien.data.readers import load_dataset
from mien.errors import DataError, UsageError
from mien.labels import FER2013, LabelSet


def some(label_set: LabelSet = FER2013) -> Dataset:
    rng = np.random.default_rng(0)
    count = 6 * len(label_set)
    return Dataset(
        rng.integers(0, 256, (count, 48, 48, 1), dtype=np.uint8),
        np.arange(count) % len(label_set),
        np.repeat([0, 1, 2], count // 3).astype(np.uint8),
        np.arange(count),
        label_set,
        "some",
    )


@pytest.mark.parametrize("name", ["out.csv", "out.csv.gz", "deep/er/out.csv"])
def test_csv_reads_back_equal(tmp_path: Path, name: str) -> None:
    dataset = some()
    assert convert(dataset, tmp_path / name) == tmp_path / name
    again = load_dataset(tmp_path / name, cache=False)
    assert again.fingerprint == dataset.fingerprint and again.votes is None
    assert [path for path in tmp_path.rglob(".new-*")] == []


def test_votes_are_written_beside_a_csv(tmp_path: Path) -> None:
    votes = np.random.default_rng(1).integers(0, 5, (42, 10), dtype=np.uint8)
    dataset = dataclasses.replace(some(), votes=votes)
    again = load_dataset(convert(dataset, tmp_path / "fer2013.csv"), cache=False)
    assert again.votes is not None
    np.testing.assert_array_equal(again.votes, votes)
    with pytest.raises(
        UsageError,
        match="ferplus_votes.csv: got a path that already exists.*Fix: name a csv in",
    ):
        convert(dataset, tmp_path / "second.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fer2013.csv", "ferplus_votes.csv"]


@pytest.mark.parametrize("name", ["out.csv", "out.csv.gz", "folder"])
def test_persons_are_kept(tmp_path: Path, name: str) -> None:
    persons = [f'Pat "the Cat", {n % 6}' if n % 3 else f"p{n % 6}" for n in range(42)]
    dataset = dataclasses.replace(some(), groups=np.array(persons, object))
    again = load_dataset(convert(dataset, tmp_path / name), cache=False)
    assert again.groups is not None

    def rows(data: Dataset) -> list[tuple[bytes, str]]:
        groups = [] if data.groups is None else data.groups.tolist()
        return sorted(
            (one.tobytes(), group) for one, group in zip(data.images, groups, strict=True)
        )

    assert rows(again) == rows(dataset)


def test_equal_data_give_equal_bytes(tmp_path: Path) -> None:
    first, second = (convert(some(), tmp_path / name / "x.csv.gz").read_bytes() for name in "ab")
    assert first == second


@pytest.mark.parametrize(
    "label_set", [FER2013, LabelSet(("angry", "neutral", "contempt", "bored"))]
)
def test_a_folder_reads_back_equal(tmp_path: Path, label_set: LabelSet) -> None:
    dataset = some(label_set)
    again = load_dataset(convert(dataset, tmp_path / "faces"), cache=False)
    assert again.label_set == label_set and len(again) == len(dataset)

    def rows(data: Dataset) -> list[tuple[bytes, int, int]]:
        columns = zip(data.images, data.labels, data.splits, strict=True)
        return sorted((image.tobytes(), int(label), int(split)) for image, label, split in columns)

    assert rows(again) == rows(dataset)


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "there.csv").write_text("mine")
    with pytest.raises(UsageError, match="already exists"):
        convert(some(), tmp_path / "there.csv")
    assert (tmp_path / "there.csv").read_text() == "mine"
    with pytest.raises(
        UsageError,
        match="faces.zip: got the name of a file that mien does not write; expected .csv",
    ):
        convert(some(), tmp_path / "faces.zip")
    with pytest.raises(DataError, match="convert to a folder"):
        convert(some(LabelSet(("cat", "dog"))), tmp_path / "pets.csv")
    labels = some().labels.copy()
    labels[-3:] = UNLABELLED
    dataset = dataclasses.replace(some(), labels=labels)
    with pytest.raises(DataError, match="3 rows without a label"):
        convert(dataset, tmp_path / "x.csv")
    convert(dataset, tmp_path / "x.csv", labelled_only=True)
    assert len(load_dataset(tmp_path / "x.csv", cache=False, on_error="skip")) == 39


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_the_next_command_skips_what_this_one_skipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = convert(some(), tmp_path / "faces")
    data_convert(str(folder), tmp_path / "out", on_error="skip")
    assert f"Next: mien train {tmp_path / 'out'} --on-error skip" in capsys.readouterr().err
    data_convert(str(folder), tmp_path / "again")
    assert "--on-error" not in capsys.readouterr().err


@pytest.mark.parametrize("label", ["../../evil", "happy/smile", ".hidden", "a\\b"])
def test_labels_do_not_become_paths(tmp_path: Path, label: str) -> None:
    with pytest.raises(DataError, match="no name of a folder.*--labels"):
        convert(some(LabelSet(("sad", label))), tmp_path / "deep" / "er" / "faces")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path\n"
        "from test_convert import some\n"
        "from mien.data.convert import convert\n"
        "from mien.errors import DataError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: convert(some(), Path(sys.argv[1]) / 'x.csv')\n"
        "except DataError as error: print(error)\n"
    )
    here = Path(__file__).parent
    command = [sys.executable, "-c", code, str(tmp_path), str(here)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=here.parent)
    assert "File too large" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_votes_do_not_stay_where_the_csv_could_not_be_put(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = dataclasses.replace(some(), votes=np.ones((42, 10), np.uint8))
    real = os.rename

    def rename(old: Path, new: Path) -> None:
        if new.name == "fer2013.csv":
            raise OSError("no")
        real(old, new)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", rename)
        with pytest.raises(
            DataError,
            match="fer2013.csv: got an error while writing .no.; expected a place to write to",
        ):
            convert(dataset, tmp_path / "fer2013.csv")
    assert list(tmp_path.iterdir()) == []
    assert load_dataset(convert(dataset, tmp_path / "fer2013.csv"), cache=False).votes is not None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fer2013.csv", "ferplus_votes.csv"]
