"""Which head, or mixture of both, should be shown: labels of FER2013 against the FER+ annotators, in
both modes.

    python benchmarks/answer_mix.py fer2013.csv shipped

On the validation split (PublicTest), seven classes. `votes` counts faces with a winner by FER+'s
majority protocol that is one of the seven. Temperatures are fitted across five folds, so no face
helps to choose its own.
"""

from __future__ import annotations

import judged
import numpy as np

from mien.bundle.answer import TEMPERATURE, logs
from mien.bundle.classifier import Classifier
from mien.data.votes import majority, vote_shares
from mien.evaluation import metrics
from mien.training.calibration import cross_fitted

SHARES = (0.0, 0.1, 0.15, 0.2, 0.25, 0.5, 0.75, 1.0)  # of the vote head


def main() -> None:
    dataset, bundle = judged.opened(judged.parser(__doc__).parse_args())
    part = dataset.part("validation")
    if part.votes is None or len(bundle.heads) < 2:
        raise SystemExit(
            "answer_mix: got data without FER+ votes, or a bundle with one head; expected both"
        )
    num = len(part.label_set)
    winner = majority(part.votes)
    voted = (winner >= 0) & (winner < num)
    main_head, votes_head = bundle.heads
    print(f"{bundle.name} {bundle.digest[:16]}: labels n = {len(part)}, votes n = {voted.sum()}")
    print("mode  vote head's share  labels  macro-F1  votes  mean of both  ECE labels  ECE votes")
    for mode in TEMPERATURE:
        with Classifier(bundle) as classify:
            logits = classify.logits(part.images, mode=mode)
        first = cross_fitted(part.labels, logits[main_head.name])
        second = cross_fitted(vote_shares(part.votes), logits[votes_head.name])[:, :num]
        second = second / second.sum(axis=1, keepdims=True)
        for share in SHARES:
            mixed = (1 - share) * first + share * second
            shown = cross_fitted(part.labels, logs(mixed))
            scores, _ = metrics.estimates(part.labels, shown, num_bootstrap=0, seed=0)
            label, macro = (float(scores[name]["value"] or 0) for name in ("accuracy", "macro_f1"))
            votes = float(np.mean(shown.argmax(1)[voted] == winner[voted]))
            errors = [
                metrics.calibration_error(metrics.reliability(truth, p))
                for truth, p in ((part.labels, shown), (winner[voted], shown[voted]))
            ]
            print(
                f"{mode:4}  {share:13.2f}  {100 * label:6.1f}  {macro:8.3f}  {100 * votes:5.1f}  "
                f"{50 * (label + votes):12.1f}  {errors[0]:10.3f}  {errors[1]:9.3f}"
            )


if __name__ == "__main__":
    main()
