"""Fetching from Kaggle, through the real kagglehub, against a prepared cache and a server on this
machine.
"""

import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from local_server import Reply, serving

from mien.data.download import COMPETITION, DATASETS, get_fer2013
from mien.data.readers import load_dataset
from mien.errors import DownloadError, MissingExtraError

pytest.importorskip("kagglehub")

PIXELS = " ".join(["9"] * 2304)
CSV = "emotion,pixels,Usage\n" + "".join(f"{label},{PIXELS},Training\n" for label in range(7))


class Kaggle:
    """What the local server answers, by the name of the call; and the calls it got."""

    def __init__(self) -> None:
        self.replies: dict[str, Reply] = {}
        self.calls: list[str] = []

    def answer(self, path: str) -> Reply:
        call = path.rsplit("/", 1)[-1]
        self.calls.append(call)
        return self.replies.get(call, Reply(404))

    def archive(self, call: str, **files: str) -> None:
        held = io.BytesIO()
        with zipfile.ZipFile(held, "w") as archive:
            for name, text in files.items():
                archive.writestr(name.replace("__", "/").replace("_csv", ".csv"), text)
        self.replies[call] = Reply(body=held.getvalue(), kind="application/zip")

    def version(self, number: int = 1) -> None:
        answer = {"currentVersionNumber": number, "ref": DATASETS[0]}
        self.replies["GetDataset"] = Reply(
            body=json.dumps(answer).encode(), kind="application/json"
        )


@pytest.fixture
def kaggle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kaggle]:
    """kagglehub's own switch for a local service, reached through a proxy on a free port."""
    state = Kaggle()
    with serving(state.answer) as address:
        environment(tmp_path, monkeypatch, address)
        yield state


def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    for name in (
        "KAGGLE_USERNAME",
        "KAGGLE_KEY",
        "KAGGLE_API_TOKEN",
        "KAGGLE_KERNEL_RUN_TYPE",
        "no_proxy",
        "NO_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, proxy)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path / "home"))
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "LOCALHOST")
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))


def test_the_public_data_set_is_fetched_without_an_account(kaggle: Kaggle, tmp_path: Path) -> None:
    kaggle.version(3)
    kaggle.archive("DownloadDataset", fer2013_csv=CSV)
    path = get_fer2013()
    assert (
        path
        == tmp_path
        / "hub"
        / "datasets"
        / "deadskull7"
        / "fer2013"
        / "versions"
        / "3"
        / "fer2013.csv"
    )
    assert kaggle.calls == ["GetDataset", "DownloadDataset"]
    assert len(load_dataset(path)) == 7
    assert get_fer2013() == path
    assert kaggle.calls.count("DownloadDataset") == 1  # kagglehub kept it


def test_a_destination_gets_a_copy_once(kaggle: Kaggle, tmp_path: Path) -> None:
    kaggle.version()
    kaggle.archive("DownloadDataset", fer2013__fer2013_csv=CSV)
    path = get_fer2013(tmp_path / "data")
    assert path == tmp_path / "data" / "fer2013.csv" and path.read_text() == CSV
    assert [entry.name for entry in (tmp_path / "data").iterdir()] == ["fer2013.csv"]
    kaggle.calls.clear()
    assert get_fer2013(tmp_path / "data") == path
    assert kaggle.calls == []


def test_a_prepared_kagglehub_cache_is_enough(kaggle: Kaggle, tmp_path: Path) -> None:
    kaggle.version(7)
    folder = tmp_path / "hub" / "datasets" / "deadskull7" / "fer2013"
    (folder / "versions" / "7").mkdir(parents=True)
    (folder / "versions" / "7" / "fer2013.csv").write_text(CSV)
    (folder / "7.complete").touch()
    assert get_fer2013() == folder / "versions" / "7" / "fer2013.csv"
    assert kaggle.calls == ["GetDataset"]


def test_the_competition_comes_next_for_who_has_an_account(
    kaggle: Kaggle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", "token")
    kaggle.archive("DownloadDataFiles", icml_face_data_csv=CSV, train_csv="emotion,pixels\n")
    path = get_fer2013()
    assert path == tmp_path / "hub" / "competitions" / COMPETITION / "icml_face_data.csv"
    assert kaggle.calls == ["GetDataset", "DownloadDataFiles"]


def test_without_credentials_the_error_says_what_to_do(kaggle: Kaggle) -> None:
    with pytest.raises(DownloadError) as caught:
        get_fer2013()
    text = str(caught.value)
    assert kaggle.calls == ["GetDataset", "GetDataset"]
    advice = ("KAGGLE_API_TOKEN", "accept the competition's rules", "fer2013.csv in a browser")
    for part in (*DATASETS, COMPETITION, *advice):
        assert part in text


def test_without_network_it_stops_at_once_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment(tmp_path, monkeypatch, "http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(DownloadError, match="got no answer from Kaggle.*check the connection"):
        get_fer2013(tmp_path / "data")
    assert not (tmp_path / "data").exists()


REPLIES: dict[str, tuple[Callable[[Kaggle], None], str]] = {
    "no archive": (
        lambda kaggle: kaggle.replies.update(
            DownloadDataset=Reply(body=b"not a zip", kind="application/zip")
        ),
        "Unsupported archive type",
    ),
    "other content": (
        lambda kaggle: kaggle.archive("DownloadDataset", prices_csv="a,b\n1,2\n"),
        "got a download without FER2013",
    ),
    "server error": (
        lambda kaggle: kaggle.replies.update(DownloadDataset=Reply(500, b"oops", "text/plain")),
        "500",
    ),
}


@pytest.mark.parametrize("case", REPLIES)
def test_a_bad_answer_is_a_download_error(kaggle: Kaggle, case: str) -> None:
    prepare, said = REPLIES[case]
    kaggle.version()
    prepare(kaggle)
    with pytest.raises(DownloadError, match=said):
        get_fer2013()


def test_a_destination_that_cannot_be_written(kaggle: Kaggle, tmp_path: Path) -> None:
    kaggle.version()
    kaggle.archive("DownloadDataset", fer2013_csv=CSV)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DownloadError, match="expected a folder to write fer2013.csv to"):
        get_fer2013(tmp_path / "file" / "data")


def test_without_kagglehub_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        sys.modules, "kagglehub", None
    )  # what Python itself does for a missing module
    with pytest.raises(MissingExtraError, match=r"kagglehub.*extra \[train\]"):
        get_fer2013(tmp_path)


def test_progress_goes_to_the_standard_error(kaggle: Kaggle, tmp_path: Path) -> None:
    """In a fresh process, as kagglehub takes hold of the standard output when it is imported."""
    kaggle.version()
    kaggle.archive("DownloadDataset", fer2013_csv=CSV)
    code = "from mien.data.download import get_fer2013; print(get_fer2013())"
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root
    )
    assert done.stdout.splitlines() == [str(get_fer2013())]
    assert "Downloading" in done.stderr
