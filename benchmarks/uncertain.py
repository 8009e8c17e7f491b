"""What the rule for uncertain answers costs and gains: accuracy of certain and of uncertain
answers.

    python benchmarks/uncertain.py DATA [shipped]

Faces of the validation split as they are, so only the rule's first part counts: the likeliest
label's probability.
"""

from __future__ import annotations

import judged
import numpy as np

from mien.bundle.classifier import Classifier


def main() -> None:
    dataset, bundle = judged.opened(judged.parser(__doc__).parse_args())
    part = dataset.part("validation")
    with Classifier(bundle) as classify:
        p = classify.answer(classify(part.images))
    right = p.argmax(axis=1) == part.labels
    print(f"{bundle.name}, validation, n = {len(part)}: {right.mean():.1%} right")
    for limit in sorted({0.4, 0.5, 0.6, 0.7, classify.rule().certain_from}):
        sure = p.max(axis=1) >= limit
        print(
            f"limit {limit:.1f}: {sure.mean():.1%} certain, of them {right[sure].mean():.1%} right; "
            f"of the uncertain {np.mean(right[~sure]):.1%}"
        )


if __name__ == "__main__":
    main()
