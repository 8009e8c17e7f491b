"""How hard the drawn faces are, and how fast they are drawn.

    python benchmarks/drawn_faces.py [--epochs 20]

Draws the default set, fits multinomial logistic regression on its pixels (scikit-learn, the named
alternative) and trains the small network, and prints the accuracy of both on the drawn test split.
"""

from __future__ import annotations

import os
import tempfile
import time
import warnings
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import harness
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from mien.data.dataset import Dataset
from mien.data.synthetic import drawn_dataset
from mien.training import fit, recipes
from mien.training.runs import load_network, predict


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument(
        "--epochs", type=int, help="of the small network; the recipe's own by default"
    )
    options = parser.parse_args()
    began, busy = time.perf_counter(), time.process_time()
    dataset = drawn_dataset()
    seconds, busy = time.perf_counter() - began, time.process_time() - busy
    print(
        f"drawing: {len(dataset) / seconds:.0f} faces/s ({len(dataset)} faces, {busy:.1f} s of "
        "processor time)"
    )
    training, test = dataset.part("training"), dataset.part("test")
    for steps in (30, 100, 600):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # stopped on purpose
            linear = LogisticRegression(max_iter=steps).fit(flat(training), training.labels)
        print(
            f"logistic regression, {steps} steps: test {linear.score(flat(test), test.labels):.1%} "
            f"(n = {len(test)}), training {linear.score(flat(training), training.labels):.1%}",
            flush=True,
        )
    recipe = recipes.recipe("small", max_epochs=options.epochs)
    with tempfile.TemporaryDirectory() as folder:
        run = fit.fit(dataset, recipe, folder=Path(folder) / "small")
        probabilities = predict(load_network(run), test.images)
    reached = [f"{line['val_accuracy']:.0%}" for line in run.facts["history"]]
    print(f"small network, validation by epoch: {' '.join(reached)}")
    print(
        f"small network: test {np.mean(probabilities.argmax(axis=1) == test.labels):.1%} (n = "
        f"{len(test)}, seed 0)"
    )


def flat(part: Dataset) -> np.ndarray:
    return part.images.reshape(len(part), -1).astype(np.float32) / 255


if __name__ == "__main__":
    main()
