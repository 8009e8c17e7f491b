"""What beginning with the package's network is worth on few labelled faces, against the same
network from scratch.

    python benchmarks/transfer.py FER2013_WITH_VOTES [--per-class 50] [--seed 0] [--epochs 30]
    [--work FOLDER]

FER2013's Training rows taught the package's network, so all faces here are of PublicTest: some of
each class to train on (at most half of a class; of those a tenth chooses the epoch, as `mien train`
does it), all others to judge; faces with equal pixels go together. PublicTest chose the epoch of
the package's network, which flatters a little what begins with it.

Two label sets: FER2013's seven, which the network knows, and four moods made of the FER+
annotators' majority (negative, positive, and the known neutral and surprise). Each by `--init
mien`, by the recipe `champion` and by `small` from scratch with the same batches, and by the
package's network as it is (moods: sums of its probabilities). Prints a line as each is done.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import harness
import numpy as np

from mien.bundle import open_bundle
from mien.bundle.classifier import Classifier
from mien.data.dataset import SPLITS, UNLABELLED, Dataset
from mien.data.readers import load_dataset
from mien.data.split import with_validation
from mien.data.votes import majority
from mien.labels import FER2013, FERPLUS, LabelSet
from mien.training import fit, runs
from mien.training.recipes import recipe
from mien.training.scoring import accuracy

MOODS = LabelSet(("negative", "neutral", "positive", "surprise"))
_MOOD_OF = {
    "happy": "positive",
    "neutral": "neutral",
    "surprise": "surprise",
}  # all others: negative


def mood_of(labels: LabelSet) -> np.ndarray:
    """int (K,): position in MOODS of each label."""
    return np.array([MOODS.index(_MOOD_OF.get(name, "negative")) for name in labels])


def few_and_rest(dataset: Dataset, per_class: int, seed: int) -> tuple[Dataset, Dataset]:
    """Some faces of each class as a data set to train on, and all others."""
    order = np.random.default_rng(seed).permutation(len(dataset))
    chosen = np.zeros(len(dataset), bool)
    for label in range(len(dataset.label_set)):
        members = order[dataset.labels[order] == label]
        chosen[members[: min(per_class, len(members) // 2)]] = True
    twin = np.isin(dataset.digests, dataset.digests[chosen]) & ~chosen
    few = dataset.take(chosen)
    few = dataclasses.replace(
        few, splits=np.full(len(few), SPLITS.index("training"), np.uint8), votes=None
    )
    return with_validation(few), dataset.take(~chosen & ~twin)


def line(
    labels: str,
    few: Dataset,
    network: str,
    rest: Dataset,
    probabilities: np.ndarray,
    seconds: float,
) -> str:
    found = accuracy(rest.labels, probabilities)["accuracy"]
    hits = probabilities.argmax(1) == rest.labels
    recall = np.mean([hits[rest.labels == label].mean() for label in np.unique(rest.labels)])
    return (
        f"{labels:16} {len(few):10}  {network:15}  {found['value']:.1%} ({found['low']:.1%} to "
        f"{found['high']:.1%}), n = {len(rest)}   {recall:11.1%} {seconds:9.0f}"
    )


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument("data")
    parser.add_argument("--per-class", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=30, help="of the network from scratch")
    parser.add_argument("--work", type=Path)
    options = parser.parse_args()
    public = load_dataset(options.data).part("validation")
    if public.votes is None:
        raise SystemExit(
            "got data without votes; expected FER+'s file (ferplus_votes.csv) beside the csv"
        )
    winners = majority(public.votes)
    moods = np.where(winners >= 0, mood_of(FERPLUS)[winners], UNLABELLED)
    sets = {
        "FER2013's seven": public,
        "four moods": dataclasses.replace(public, labels=moods, label_set=MOODS).take(
            moods != UNLABELLED
        ),
    }
    bundle = open_bundle()
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        print(
            f"PublicTest, n = {len(public)}; it chose the epoch of the package's network, "
            f"{bundle.name}"
        )
        print(f"seed {options.seed}, at most {options.per_class} faces a class to train on")
        print(
            "labels           trained on  network          accuracy on the rest (95 %)     mean "
            "recall   seconds"
        )
        for name, dataset in sets.items():
            few, rest = few_and_rest(dataset, options.per_class, options.seed)

            with Classifier(bundle) as classify:
                known = classify.answer(classify(rest.images))
            if dataset.label_set != FER2013:
                known = known @ np.eye(len(MOODS), dtype=np.float32)[mood_of(FER2013)]
            print(line(name, few, "as it is", rest, known, 0), flush=True)
            tuned = recipe("finetune", seed=options.seed)
            scratch = recipe(
                "champion",
                max_epochs=options.epochs,
                patience=options.epochs,
                batch_size=tuned.batch_size,
                seed=options.seed,
                votes_weight=0.0,
            )
            small = recipe(
                "small",
                seed=options.seed,
                max_epochs=2 * options.epochs,
                batch_size=tuned.batch_size,
            )
            networks = (
                ("--init mien", tuned),
                ("from scratch", scratch),
                ("small, scratch", small),
            )
            for network, one in networks:
                began = time.perf_counter()
                done = fit.fit(
                    few, one, folder=work / f"{name} {network}".replace(" ", "-").replace(",", "")
                )
                seconds = time.perf_counter() - began
                answers = runs.predict(runs.load_network(done), rest.images)
                print(line(name, few, network, rest, answers, seconds), flush=True)


if __name__ == "__main__":
    main()
