"""Which views of a face test-time augmentation should rest on: zooms, turns and shifts, each also
mirrored.

    python benchmarks/views.py fer2013.csv shipped

On the validation split (PublicTest): accuracy of the first head by the mean of the views' logits,
its log loss with the temperature fitted across five folds, and the vote head's accuracy by
FER+'s majority protocol. Views are rounded to whole gray values here, which `--best` does not do.
Shifts are whole pixels; the edge is repeated.
"""

from __future__ import annotations

import judged
import numpy as np
from scipy.optimize import minimize

from mien.bundle.classifier import Classifier
from mien.bundle.tta import VIEWS, views
from mien.data.votes import majority
from mien.training.calibration import NUM_FOLDS, cross_fitted, folds, nll

View = tuple[float, float, int, int]  # zoom, degrees, pixels to the right, pixels down
AS_IT_IS: View = (1.0, 0, 0, 0)
BATCH = 256


def zooms(*scales: float) -> list[View]:
    return [(scale, 0, 0, 0) for scale in scales]


def shifts(by: int, *, corners: bool) -> list[View]:
    places = (-by, 0, by)
    return [
        (1.0, 0, x, y) for x in places for y in places if (x or y) and (corners or not (x and y))
    ]


TURNS: list[View] = [(1.0, 8, 0, 0), (1.0, -8, 0, 0)]
FOUR = (0.85, 0.9, 1.1, 1.2)
SETS: dict[str, list[View]] = {
    "mirrored alone": [AS_IT_IS],
    "four shifts of 2 px, zooms 0.9 and 1.1": [
        AS_IT_IS,
        *shifts(2, corners=False),
        *zooms(0.9, 1.1),
    ],
    "eight shifts of 2 px": [AS_IT_IS, *shifts(2, corners=True)],
    "zooms 0.9 and 1.1": [AS_IT_IS, *zooms(0.9, 1.1)],
    "zooms 0.9 and 1.1, turns of 8 degrees": [AS_IT_IS, *zooms(0.9, 1.1), *TURNS],
    "zooms 0.85, 0.9, 1.1 and 1.2": [AS_IT_IS, *zooms(*FOUR)],
    "these and turns (mien.bundle.tta.VIEWS)": [(zoom, degrees, 0, 0) for zoom, degrees in VIEWS],
    "these and eight shifts": [AS_IT_IS, *zooms(*FOUR), *TURNS, *shifts(2, corners=True)],
}


def main() -> None:
    dataset, bundle = judged.opened(judged.parser(__doc__).parse_args())
    part = dataset.part("validation")
    needed = dict.fromkeys(view for kinds in SETS.values() for view in kinds)
    with Classifier(bundle) as classify:
        single = classify.logits(part.images)
        seen = {view: answers(classify, part.images, view) for view in needed}
    winner = None if part.votes is None or len(bundle.heads) < 2 else majority(part.votes)
    print(f"{bundle.name} {bundle.digest[:16]}, n = {len(part)}; accuracy, log loss, votes")
    told("one view", single, part.labels, winner)
    for name, kinds in SETS.items():
        mean = {head: np.mean([seen[view][head] for view in kinds], axis=0) for head in single}
        told(f"{name} ({2 * len(kinds)})", mean, part.labels, winner)
    stacked = {head: np.stack([seen[view][head] for view in needed]) for head in single}
    shares = view_weights(part.labels, stacked[bundle.heads[0].name])
    weighted = {head: np.einsum("nv,vnk->nk", shares, logits) for head, logits in stacked.items()}
    told(f"all {2 * len(needed)} of these, weighted", weighted, part.labels, winner)


def view_weights(labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Weights of the views (N, V) with the least log loss; those of each fifth of the faces are
    fitted on the others.

    Args:
        labels: int (N,).
        logits: float (V, N, K).
    """
    num = len(logits)
    fold = folds(len(labels))
    found = np.empty((len(labels), num))
    for k in range(NUM_FOLDS):
        others = fold != k
        fitted = minimize(
            lambda shares, rows: nll(labels[rows], np.tensordot(shares, logits[:, rows], 1), 1.0),
            np.full(num, 1 / num),
            args=(others,),
            bounds=[(0, None)] * num,
        )
        found[fold == k] = fitted.x
    return found


def answers(classify: Classifier, faces: np.ndarray, view: View) -> dict[str, np.ndarray]:
    """Mean logits of a view and its mirror image, by head."""
    zoom, degrees, right, down = view
    parts = []
    for start in range(0, len(faces), BATCH):
        batch = moved(faces[start : start + BATCH], right, down)
        both = [np.rint(one).astype(np.uint8) for one in views(batch, ((zoom, degrees),))]
        parts.append([classify.logits(one) for one in both])
    return {
        head: np.concatenate([(a[head] + b[head]) / 2 for a, b in parts]) for head in parts[0][0]
    }


def moved(faces: np.ndarray, right: int, down: int) -> np.ndarray:
    """Faces (N, 48, 48, 1) shifted by whole pixels; the edge is repeated."""
    side = faces.shape[1]
    rows, columns = (np.clip(np.arange(side) - by, 0, side - 1) for by in (down, right))
    return np.ascontiguousarray(faces[:, rows][:, :, columns])


def told(
    name: str, logits: dict[str, np.ndarray], labels: np.ndarray, winner: np.ndarray | None
) -> None:
    main_head, *others = logits.values()
    fitted = cross_fitted(labels, main_head)
    loss = -np.mean(np.log(fitted[np.arange(len(labels)), labels]))
    line = f"{name:50} {np.mean(main_head.argmax(1) == labels):6.1%}  {loss:.3f}"
    if winner is not None:
        line += f"  {np.mean((others[0].argmax(1) == winner)[winner >= 0]):6.1%}"
    print(line, flush=True)


if __name__ == "__main__":
    main()
