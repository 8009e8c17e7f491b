"""The written report: complete, self-contained, escaped, and true to report.json."""

from __future__ import annotations

import dataclasses
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from mien.constants import FACE_SIDE
from mien.data.dataset import SPLITS, Dataset, LeftOut
from mien.errors import RunError
from mien.evaluation.evaluate import Evaluation, Predictions, evaluate
from mien.evaluation.report import write_report
from mien.labels import FERPLUS_VOTES, LabelSet

EVIL = "<script>alert(1)</script>"


class Page(HTMLParser):
    """Tags with their attributes, and the visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def network(
    dataset: Dataset, name: str, skill: float, seed: int, splits: tuple[str, ...] = SPLITS
) -> Predictions:
    generator = np.random.default_rng(seed)
    probabilities = {}
    for split in splits:
        labels = dataset.part(split).labels
        k = len(dataset.label_set)
        exp = np.exp(generator.normal(size=(len(labels), k)) + skill * np.eye(k)[labels])
        probabilities[split] = (exp / exp.sum(1, keepdims=True)).astype(np.float32)
    history = [
        {"epoch": e, "loss": 2 / e, "accuracy": 0.2 * e, "val_loss": 2 / e, "val_accuracy": 0.2 * e}
        for e in (1, 2, 3)
    ]
    info = {
        "parameters": 56789,
        "multiply_adds": 1_200_000,
        "seconds_per_epoch": 4.25,
        "peak_memory_mb": 456.0,
        "epochs": 3,
        "best_epoch": 3,
        "recipe": {"batch_size": 64, "note": EVIL},
        "history": history,
        "stopped": "All epochs were done.",
        "num_trained_on": 139,
    }
    return Predictions(name, probabilities, info)


@pytest.fixture(scope="module")
def evaluation(faces: Dataset) -> Evaluation:
    votes = (
        np.random.default_rng(0).integers(0, 5, (len(faces), len(FERPLUS_VOTES))).astype(np.uint8)
    )
    networks = [network(faces, "small", 2, 0), network(faces, "large", 3, 1)]
    for turn, one in enumerate(networks):  # the annotators side with each of them now and then
        rows = np.flatnonzero(faces.mask("validation"))[turn::2]
        answers = one.probabilities["validation"].argmax(1)[turn::2]
        votes[rows, [FERPLUS_VOTES.index(faces.label_set[a]) for a in answers]] = 9
    left_out = tuple(LeftOut("faces.csv", i, "2303 pixels") for i in range(60))
    data = dataclasses.replace(faces, votes=votes, notes=("A note.",), left_out=left_out)
    return evaluate(data, networks, num_bootstrap=100)


@pytest.fixture(scope="module")
def written(evaluation: Evaluation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    page = write_report(evaluation, tmp_path_factory.mktemp("report") / "new" / "folder")
    assert page.name == "report.html"
    return page.parent


def test_every_file_is_written_and_no_half_one_left(written: Path, evaluation: Evaluation) -> None:
    assert sorted(p.name for p in written.iterdir()) == [
        "pictures",
        "report.html",
        "report.json",
        "report.md",
    ]
    pictures = sorted(p.name for p in (written / "pictures").iterdir())
    each = [
        "confusion-test",
        "confusion-training",
        "confusion-validation",
        "correct",
        "curves",
        "doubtful",
    ]
    each += ["reliability", "worst", "wrong"]
    assert pictures == [f"{n}-{kind}.png" for n in ("1-small", "2-large") for kind in each] + [
        "accuracy.png"
    ]
    assert json.loads((written / "report.json").read_text("utf-8")) == evaluation.to_dict()


def test_the_page_asks_nothing_of_the_network_and_runs_nothing(written: Path) -> None:
    text = (written / "report.html").read_text("utf-8")
    page = Page(text)
    assert not page.open  # every tag is closed
    assert not page.all("script")
    addresses = [
        value
        for _, a in page.tags
        for key, value in a.items()
        if key in ("src", "href", "srcset", "action")
    ]
    assert len(addresses) > 30
    assert all(value and value.startswith(("data:", "#")) for value in addresses)
    assert "@import" not in text and "url(" not in text
    assert "default-src 'none'" in text


def test_every_picture_has_words_and_every_link_a_goal(written: Path) -> None:
    page = Page((written / "report.html").read_text("utf-8"))
    images = page.all("img")
    assert len(images) > 60
    assert all(i["alt"] and i["width"] and i["height"] for i in images)
    ids = [a["id"] for _, a in page.tags if "id" in a]
    goals = {a["href"] for a in page.all("a")}
    assert len(ids) == len(set(ids)) and goals and goals <= {f"#{i}" for i in ids}
    assert len(page.all("h1")) == 1 and page.all("html") == [{"lang": "en"}]


def test_the_first_screen_is_a_verdict_and_the_table(written: Path, evaluation: Evaluation) -> None:
    text = "".join(Page((written / "report.html").read_text("utf-8")).text).replace("\u00a0", " ")
    truth = evaluation.to_dict()
    assert truth["best"]["name"] == "large"
    assert "Of 2 networks, large is the best on validation" in text[:600]
    assert text.index("The networks side by side") < 900
    for number in (
        "56,789",
        "1.2 M",
        "4.2",
        "456 MB",
        "Trained on 139 faces.",
        truth["data"]["fingerprint"],
    ):
        assert number in text
    for n in truth["networks"]:
        assert f"{100 * n['splits']['test']['accuracy']['value']:.1f} %" in text
        assert truth["words"]["gaps"][n["name"]] in text
    assert "used for choosing" in text and "felt emotion" in text and "A note." in text
    assert "60 rows could not be read" in text and "the first 50 are listed" in text


def test_the_markdown_has_the_same_numbers(written: Path, evaluation: Evaluation) -> None:
    text = (written / "report.md").read_text("utf-8")
    truth = evaluation.to_dict()
    assert evaluation.table() in text
    for n in truth["networks"]:
        accuracy = n["splits"]["validation"]["accuracy"]
        low, high = 100 * accuracy["low"], 100 * accuracy["high"]
        assert f"{100 * accuracy['value']:.1f} % ({low:.1f}\u2013{high:.1f})" in text
    linked = re.findall(r"\]\((pictures/[^)]+)\)", text)
    assert len(linked) == 19 and all((written / link).is_file() for link in linked)
    assert text.count("2303 pixels") == 60


def test_what_a_phone_does_not_need_at_once_is_folded(written: Path) -> None:
    text = (written / "report.html").read_text("utf-8")
    page = Page(text)
    folds = page.all("details")
    # comparison: pairs, F1; each network: curves, reliability, recipe, by class, confusion and four
    # sheets
    assert len(folds) == len(page.all("summary")) == 2 + 2 * 9
    assert not any("open" in fold for fold in folds)
    assert "details::details-content" in text  # on a wide screen and on paper they are open


def test_cells_of_cards_name_their_column(written: Path) -> None:
    """A narrow screen shows each row as a card: without its column's name a figure there says
    nothing.
    """
    page = Page((written / "report.html").read_text("utf-8"))
    cards = [a for a in page.all("table") if a.get("class") == "cards"]
    assert len(cards) == 4 and all(a["role"] == "table" for a in cards)
    cells = [a for a in page.all("td") if a.get("role") == "cell"]
    assert (
        len(cells) == 2 * 10 + 2 * 9 + 4 * 5 + 6 * 8
    )  # networks, pairs, twins, votes: rows times cells
    assert all(a["data-th"] for a in cells)


def test_what_no_network_knows_of_its_training_takes_no_column(
    faces: Dataset, tmp_path: Path
) -> None:
    """Bundles do not say what their training cost, and a mean of weights had no epochs."""
    one = network(faces, "champion, fer2013 --best", 2, 0)
    one = dataclasses.replace(
        one, info={"parameters": 5, "epochs": 1, "best_epoch": 1, "averaged": [{}]}
    )
    text = write_report(evaluate(faces, [one], num_bootstrap=20), tmp_path).read_text("utf-8")
    columns = [a["data-th"] for a in Page(text).all("td") if a.get("role") == "cell"][:8]
    assert columns[-3:] == ["parameters", "multiply-adds", "epochs (kept)"]
    assert 'data-th="epochs (kept)">n/a</td>' in text
    assert (
        'champion, fer2013 <span class="mode">--best</span></a>' in text
    )  # not broken after its hyphens


def test_captions_and_sentences_of_the_page(written: Path, evaluation: Evaluation) -> None:
    text = " ".join(
        "".join(Page((written / "report.html").read_text("utf-8")).text)
        .replace("\u00a0", " ")
        .split()
    )
    said = evaluation.to_dict()["words"]
    for name in ("small", "large"):
        assert said["curves"][name] in text and said["worst"][name] in text
    assert "measured while training" in said["curves"]["small"]
    assert text.count("Errors where the annotators side with it, validation") == 2
    assert "next to no probability" not in text


def test_other_data_is_on_the_first_screen_of_the_page(faces: Dataset, tmp_path: Path) -> None:
    one = network(faces, "small", 2, 0)
    one = dataclasses.replace(
        one, info={**one.info, "data": {"source": EVIL, "fingerprint": "0123456789abcdef"}}
    )
    truth_page = write_report(evaluate(faces, [one], num_bootstrap=20), tmp_path)
    page = Page(truth_page.read_text("utf-8"))
    text = "".join(page.text).replace("\u00a0", " ")
    assert text.index("Other data: small was trained on") < text.index("The networks side by side")
    assert "used for choosing" not in text and not page.all("script")


def hostile() -> Dataset:
    generator = np.random.default_rng(0)
    labels = np.tile([0, 1, 2], 8)
    return Dataset(
        generator.integers(0, 256, (24, FACE_SIDE, FACE_SIDE, 1), dtype=np.uint8),
        labels,
        np.repeat(np.array([0, 1], np.uint8), 12),
        np.arange(24) + 2,
        LabelSet((EVIL, "a|b", "$x_1$ & `y`")),
        f"{EVIL}.csv",
        notes=(EVIL,),
        left_out=(LeftOut(EVIL, None, EVIL),),
    )


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    data = hostile()
    splits = ("training", "validation")
    evaluation = evaluate(
        data,
        [network(data, EVIL, 1, 0, splits), network(data, "../../up", 0, 1, splits)],
        num_bootstrap=10,
    )
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "report.json").write_text("an older report")
    folder = write_report(evaluation, tmp_path / "r").parent
    assert json.loads((folder / "report.json").read_text("utf-8"))["data"]["labels"][0] == EVIL
    text = (folder / "report.html").read_text("utf-8")
    page = Page(text)
    assert not page.all("script") and not page.open
    assert "<script" not in text and "&lt;script&gt;" in text
    assert EVIL in "".join(page.text)
    before_table, _, after = (
        (folder / "report.md").read_text("utf-8").partition("```\n")[2].partition("```\n")
    )
    assert "<script" not in after and before_table == evaluation.table() + "\n"
    names = [p.name for p in (folder / "pictures").iterdir()]
    assert len(names) == 15 and all(re.fullmatch(r"[a-z0-9.-]+", name) for name in names)
    assert [p.name for p in tmp_path.iterdir()] == ["r"]


@pytest.mark.parametrize("num_classes", [2, 20])
def test_any_label_set_one_network_one_split(tmp_path: Path, num_classes: int) -> None:
    """No history, recipe, votes or test split, a class that never occurs, all right."""
    data = Dataset(
        np.random.default_rng(0).integers(0, 256, (30, FACE_SIDE, FACE_SIDE, 1), dtype=np.uint8),
        np.zeros(30, np.int64),
        np.ones(30, np.uint8),
        np.arange(30),
        LabelSet(tuple(f"name {k}" for k in range(num_classes))),
        "folder",
    )
    sure = np.full((30, num_classes), 0.1 / (num_classes - 1), np.float32)
    sure[:, 0] = 0.9
    evaluation = evaluate(data, [Predictions("only", {"validation": sure}, {})], num_bootstrap=10)
    text = "".join(Page(write_report(evaluation, tmp_path).read_text("utf-8")).text)
    assert "n/a" in text and "The data has no test pictures" in text and "None." in text


def test_a_folder_that_is_a_file_is_a_clear_error(tmp_path: Path) -> None:
    data = hostile()
    evaluation = evaluate(data, [network(data, "n", 1, 0, ("validation",))], num_bootstrap=0)
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(
        RunError, match="taken: got an error while writing .*Fix: choose another folder"
    ):
        write_report(evaluation, tmp_path / "taken")
    assert (tmp_path / "taken").read_text() == "a file"


def test_each_file_is_written_under_a_name_of_its_own(tmp_path: Path) -> None:
    """Another process may write the same report."""
    data = hostile()
    evaluation = evaluate(data, [network(data, "n", 1, 0, ("validation",))], num_bootstrap=0)
    for name in ("report.json", "report.md", "report.html"):
        (tmp_path / f".{name}.part").mkdir()
    write_report(evaluation, tmp_path)
    (tmp_path / "report.md").unlink()
    (tmp_path / "report.md").mkdir()
    with pytest.raises(RunError, match="got an error while writing .Is a directory"):
        write_report(evaluation, tmp_path)
    left = [path.name for path in tmp_path.rglob("*.part")]
    assert sorted(left) == [".report.html.part", ".report.json.part", ".report.md.part"]


def test_names_that_are_not_utf8_are_written_as_letters(tmp_path: Path) -> None:
    data = hostile()
    one = network(data, "n", 1, 0, ("validation",))
    odd = {"source": "gr\udcf6sse", "fingerprint": "0123456789abcdef"}  # as an older run has it
    evaluation = evaluate(
        data, [dataclasses.replace(one, info={**one.info, "data": odd})], num_bootstrap=0
    )
    write_report(evaluation, tmp_path)
    for name in ("report.md", "report.html"):
        assert "gr\\udcf6sse" in (tmp_path / name).read_text("utf-8"), name
    told = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert told["networks"][0]["info"]["data"]["source"] == "gr\\udcf6sse"
