"""A word that there is not is answered with the nearest that there is; errors can be pickled."""

from __future__ import annotations

import copy
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from mien.bundle import open_bundle
from mien.bundle.classifier import Classifier, check_mode
from mien.data.label_names import names_for
from mien.data.synthetic import drawn_dataset
from mien.errors import (
    BundleError,
    DataError,
    DownloadError,
    MienError,
    MissingExtraError,
    RunError,
    UsageError,
    meant,
)
from mien.evaluation.weighted import parse_weights
from mien.results.columns import column_kinds
from mien.serving.limits import parse_limits
from mien.training import init_names
from mien.training.recipes import recipe, settings
from mien.training.runs import load_run
from mien.training.transfer import input_side
from mien.vision.detect import find_detector

WORDS: dict[str, tuple[Callable[[], object], str]] = {
    "labels": (lambda: names_for("rafbd"), "rafdb"),
    "weights": (lambda: parse_weights("naturl"), "natural"),
    "prior": (lambda: Classifier(open_bundle("shipped")).rule("everday"), "everyday"),
    "field": (lambda: settings(["max_epoch=2"]), "max_epochs"),
    "optimizer": (lambda: recipe("small", optimizer="sdg"), "sgd"),
    "score": (lambda: recipe("small", choose_by="los"), "loss"),
    "precision": (lambda: recipe("small", precision="BFLOAT"), "bfloat16"),
    "initializer": (lambda: recipe("small", initializer="henormal"), "he_normal"),
    "layout": (lambda: recipe("small", layout="plian"), "plain"),
    "backbone": (lambda: recipe("small", backbone="mobilenetv2"), "MobileNetV2"),
    "class weights": (lambda: recipe("small", class_weights="balansed"), "balanced"),
    "recipe": (lambda: recipe("lrage"), "large"),
    "field in Python": (lambda: recipe("small", batchsize=8), "batch_size"),
    "init": (lambda: init_names.check("miem"), "mien"),
    "init of ImageNet": (lambda: init_names.check("imagenet:resnet50"), "ResNet50"),
    "detector": (lambda: find_detector("yunett"), "yunet"),
    "split": (lambda: drawn_dataset(7, 7, 7).mask("tests"), "test"),
    "mode": (lambda: check_mode("bst"), "best"),
    "columns": (lambda: column_kinds(("a", "b"), "openfase"), "openface"),
    "limit": (lambda: parse_limits(["que=20"]), "queue"),
}


@pytest.mark.parametrize("kind", WORDS)
def test_near_misses(kind: str) -> None:
    ask, word = WORDS[kind]
    with pytest.raises(UsageError, match=rf"Fix: write {word}, if that was meant$"):
        ask()


def test_the_network_in_the_package_has_two_names() -> None:
    assert input_side("shipped") == input_side("mien") == open_bundle("shipped").side


def test_values_are_read_as_json_or_as_python_writes_them() -> None:
    texts = ["augment=True", "learning_rate=.5", "blocks=((8,),(8,))", "optimizer=sgd", "seed=7"]
    assert settings(texts) == {
        "augment": True,
        "learning_rate": 0.5,
        "blocks": ((8,), (8,)),
        "optimizer": "sgd",
        "seed": 7,
    }


def test_a_word_like_none_has_the_general_fix() -> None:
    assert meant("xyzzy", ("natural", "balanced"), "write pairs") == "write pairs"


@pytest.mark.parametrize("kind", ["name", "folder", "zip"])
def test_a_bundle_in_the_place_of_a_run_is_told(tmp_path: Path, kind: str) -> None:
    given = {"name": "shipped", "folder": str(tmp_path / "b"), "zip": str(tmp_path / "b.zip")}[kind]
    if kind == "folder":
        (tmp_path / "b").mkdir()
        (tmp_path / "b" / "bundle.json").touch()
    if kind == "zip":
        with zipfile.ZipFile(given, "w") as archive:
            archive.writestr("b/bundle.json", "{}")
    with pytest.raises(RunError, match=r"got a bundle; .*Fix: .*mien evaluate --bundle .* DATA"):
        load_run(given)


@pytest.mark.parametrize(
    "error",
    [
        MienError("got a; expected b. Fix: c"),
        UsageError("got a; expected b. Fix: c"),
        DataError("d.csv", got="a", expected="b", fix="c", row=3),
        RunError("got a; expected b. Fix: c"),
        DownloadError("got a; expected b. Fix: c"),
        MissingExtraError("av", "video"),
        BundleError("b.zip", "bundle.json", got="a", expected="b"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_survives_the_way_out_of_a_worker_process(error: MienError) -> None:
    error.add_note("in the worker")
    for back in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error)):  # noqa: S301
        assert type(back) is type(error) and str(back) == str(error)
        assert vars(back) == vars(error) and back.exit_code == error.exit_code
