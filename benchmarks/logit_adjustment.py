"""What rare classes gain, and accuracy loses, when logits are lowered by the classes' frequencies.

    python benchmarks/logit_adjustment.py fer2013.csv shipped

The head for the labels, less tau times the logarithm of each class's share of the training rows
(Menon et al. 2021, https://arxiv.org/abs/2007.07314), on the validation split (PublicTest). tau 0
is the head as it is; 1 takes all classes for equally frequent.
"""

from __future__ import annotations

import judged
import numpy as np

from mien.bundle.answer import TEMPERATURE, softmax
from mien.bundle.classifier import Classifier
from mien.evaluation import metrics

TAUS = (-0.25, 0.0, 0.1, 0.25, 0.5, 1.0)


def main() -> None:
    dataset, bundle = judged.opened(judged.parser(__doc__).parse_args())
    part = dataset.part("validation")
    counts = dataset.counts()[0]
    prior = np.log(counts / counts.sum())
    print(f"{bundle.name} {bundle.digest[:16]}, head {bundle.heads[0].name}, n = {len(part)}")
    print("mode   tau  accuracy  macro-F1  balanced accuracy")
    for mode in TEMPERATURE:
        with Classifier(bundle) as classify:
            logits = classify.logits(part.images, mode=mode)[bundle.heads[0].name]
        for tau in TAUS:
            scores, _ = metrics.estimates(
                part.labels, softmax(logits - tau * prior), num_bootstrap=0, seed=0
            )
            accuracy, macro, balanced = (
                float(scores[name]["value"] or 0)
                for name in ("accuracy", "macro_f1", "balanced_accuracy")
            )
            print(
                f"{mode:4}  {tau:5.2f}  {accuracy:8.1%}  {macro:8.3f}  {balanced:17.1%}", flush=True
            )


if __name__ == "__main__":
    main()
