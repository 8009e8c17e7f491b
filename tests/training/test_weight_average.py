"""Means of weights: of a network and of itself trained further."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from small_recipes import DOUBLE, TINY

from mien.bundle import Bundle
from mien.bundle.classifier import Classifier
from mien.data.dataset import Dataset
from mien.errors import DataError, RunError, UsageError
from mien.training import fit, rebuild, runs
from mien.training.export import export
from mien.training.weight_average import average

PLAIN = dataclasses.replace(DOUBLE, votes_weight=0.0, soft_label_weight=0.0, max_epochs=2)


@pytest.fixture(scope="module")
def pair(faces: Dataset, tmp_path_factory: pytest.TempPathFactory) -> list[Bundle]:
    """A network, and what one epoch more made of it."""
    folder = tmp_path_factory.mktemp("average")
    first = export(fit.fit(faces, PLAIN, folder=folder / "first"), folder / "first.zip")
    more = dataclasses.replace(
        PLAIN,
        init=str(folder / "first.zip"),
        restore_batch_norm=True,
        max_epochs=1,
        learning_rate=0.01,
        stages=((1.0, 48),),
    )
    return [first, export(fit.fit(faces, more, folder=folder / "more"), folder / "more.zip")]


def test_the_mean_is_of_the_weights_in_their_shares(
    pair: list[Bundle], faces: Dataset, tmp_path: Path
) -> None:
    run = average(faces, pair, tmp_path / "run", shares=[1, 3])
    bundle = export(run, tmp_path / "mean.zip", half=True)
    weights = [rebuild.rebuilt(one, one.name)[1].get_weights() for one in (*pair, bundle)]
    for first, second, mean in zip(*weights, strict=True):
        np.testing.assert_allclose(mean, 0.25 * first + 0.75 * second, rtol=2e-3, atol=1e-4)
    assert any(
        not np.allclose(first, second, atol=1e-3) for first, second, _ in zip(*weights, strict=True)
    )
    told = bundle.training["averaged"]
    assert [(one["digest"], one["share"]) for one in told] == [
        (pair[0].digest, 0.25),
        (pair[1].digest, 0.75),
    ]
    assert bundle.training["data"]["fingerprints"] == faces.fingerprints
    part = faces.part("validation")
    with Classifier(bundle) as classify:
        right = classify(part.images)["expression"].argmax(axis=1) == part.labels
    assert run.facts["history"][0]["val_accuracy"] == pytest.approx(right.mean(), abs=0.03)
    assert "nothing was trained: the mean of the weights of double" in run.facts["stopped"]
    assert runs.load_network(run).count_params() == run.facts["parameters"]


def test_one_averaged_with_itself_answers_as_before(
    pair: list[Bundle], faces: Dataset, tmp_path: Path
) -> None:
    bundle = export(average(faces, [pair[0], pair[0]], tmp_path / "run"), tmp_path / "mean.zip")
    for name, logits in bundle.golden_logits.items():
        np.testing.assert_allclose(logits, pair[0].golden_logits[name], atol=1e-3)


def test_the_mean_remembers_what_any_of_them_learned_from(
    pair: list[Bundle], faces: Dataset, tmp_path: Path
) -> None:
    few = faces.take(np.flatnonzero(~faces.mask("validation") | (np.arange(len(faces)) % 2 == 0)))
    leaky = dict(pair[0].training, recipe={**pair[0].training["recipe"], "keep_leaks": True})
    run = average(few, [dataclasses.replace(pair[0], training=leaky), pair[1]], tmp_path / "run")
    assert (
        run.recipe.keep_leaks
        and run.facts["data"]["fingerprint"] == faces.fingerprint != few.fingerprint
    )
    assert (
        run.facts["num_validation"]
        == len(few.part("validation"))
        < run.facts["data"]["num_validation"]
    )
    here = dict(pair[1].training, data={**pair[1].training["data"], "fingerprint": few.fingerprint})
    for order in ((0, 1), (1, 0)):
        bundles = [pair[0], dataclasses.replace(pair[1], training=here)]
        run = average(few, [bundles[n] for n in order], tmp_path / f"run{order[0]}")
        assert (
            run.facts["data"]["fingerprint"] == faces.fingerprint
        )  # the one that the data here is other than


def test_what_cannot_be_averaged(pair: list[Bundle], faces: Dataset, tmp_path: Path) -> None:
    share = "Fix: give such a share for each"
    for bundles, shares, fix in (
        (pair[:1], [], "Fix: name another bundle"),
        (pair, [1.0], share),
        (pair, [1.0, 0.0], share),
        (pair, [np.nan, 1], share),
        (pair, [1, np.inf], share),
        (pair, [1e308, 1e308], share),
    ):
        with pytest.raises(
            UsageError, match=f"expected two or more bundles, and a positive share.*{fix}"
        ):
            average(faces, bundles, tmp_path / "run", shares=shares)
    other = export(
        fit.fit(faces, dataclasses.replace(TINY, max_epochs=1), folder=tmp_path / "o"),
        tmp_path / "o.zip",
    )
    with pytest.raises(UsageError, match="got tiny .*of other layers or labels than double"):
        average(faces, [pair[0], other], tmp_path / "run")
    with pytest.raises(DataError, match="got no labelled validation rows"):
        average(faces.part("test"), pair, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    average(faces, pair, tmp_path / "run")
    with pytest.raises(RunError, match="got a folder with a run.*Fix"):
        average(faces, pair, tmp_path / "run")
    average(faces, pair, tmp_path / "run", fresh=True)
