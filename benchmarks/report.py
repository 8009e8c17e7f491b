"""How long a report takes beyond prediction: three networks on FER2013's sizes, made-up pictures
and answers.

    python benchmarks/report.py [--no-training]

Prints JSON: wall and processor seconds of `evaluate` and of `write_report`, and the size of
report.html. The issue's bound: 30 s for 7,178 evaluation faces.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness
import numpy as np

from mien.constants import FACE_SIDE
from mien.data.dataset import SPLITS, Dataset
from mien.evaluation.evaluate import Predictions, evaluate
from mien.evaluation.report import write_report
from mien.labels import FER2013, FERPLUS_VOTES

SIZES = {"training": 28709, "validation": 3589, "test": 3589}


def fake_data() -> Dataset:
    generator = np.random.default_rng(0)
    n = sum(SIZES.values())
    images = generator.integers(0, 256, (n, FACE_SIDE, FACE_SIDE, 1), dtype=np.uint8)
    labels = generator.choice(len(FER2013), n, p=[0.14, 0.02, 0.14, 0.25, 0.17, 0.11, 0.17])
    splits = np.repeat(np.arange(3, dtype=np.uint8), [SIZES[s] for s in SPLITS])
    votes = generator.multinomial(10, [0.1] * len(FERPLUS_VOTES), n).astype(np.uint8)
    return Dataset(
        images, labels, splits, np.arange(n) + 2, FER2013, "random pictures", votes=votes
    )


def fake_network(data: Dataset, name: str, skill: float, splits: tuple[str, ...]) -> Predictions:
    generator = np.random.default_rng(round(100 * skill))
    probabilities = {}
    for split in splits:
        labels = data.part(split).labels
        exp = np.exp(generator.normal(size=(len(labels), 7)) + skill * np.eye(7)[labels])
        probabilities[split] = (exp / exp.sum(1, keepdims=True)).astype(np.float32)
    history = [
        {
            "epoch": e,
            "loss": 1 / e,
            "accuracy": 1 - 1 / e,
            "val_loss": 1.5 / e,
            "val_accuracy": 1 - 1.1 / e,
        }
        for e in range(1, 61)
    ]
    info = {"parameters": 1_000_000, "best_epoch": 50, "epochs": 60, "history": history}
    return Predictions(name, probabilities, info)


def timed(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    wall, processor = time.perf_counter(), time.process_time()
    result = work()
    took = {"wall_s": time.perf_counter() - wall, "processor_s": time.process_time() - processor}
    return result, {key: round(value, 2) for key, value in took.items()}


def main() -> None:
    asked = harness.parser(__doc__)
    asked.add_argument("--no-training", action="store_true", help="without the training faces")
    splits = SPLITS[1:] if asked.parse_args().no_training else SPLITS
    data = fake_data()
    skills = {"small": 1.5, "medium": 2.0, "large": 2.5}
    networks = [fake_network(data, name, skill, splits) for name, skill in skills.items()]
    evaluation, judging = timed(lambda: evaluate(data, networks))
    with tempfile.TemporaryDirectory() as folder:
        page, writing = timed(lambda: write_report(evaluation, Path(folder)))
        size = page.stat().st_size
    print(
        json.dumps(
            {
                "splits": splits,
                "evaluate": judging,
                "write_report": writing,
                "html_mb": round(size / 1e6, 2),
            }
        )
    )


if __name__ == "__main__":
    main()
