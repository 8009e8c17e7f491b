"""What spoils a network's answers: the same faces blurred, noisy, dark, small, turned, covered.

    python benchmarks/robustness.py fer2013.csv shipped --prior balanced

Judged on the validation split (PublicTest): against the labels, and against the winners of FER+'s
majority protocol where votes lie beside the data. Each change is applied to the 48 x 48 face by a
fixed seed.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import harness
import numpy as np

from mien.bundle.classifier import Classifier
from mien.constants import FACE_SIDE
from mien.data.votes import majority
from mien.evaluation import metrics
from mien.labels import FERPLUS

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]  # uint8 (48, 48) -> uint8 (48, 48)


def blur(sigma: float) -> Change:
    return lambda face, _: cv2.GaussianBlur(face, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)


def noise(sigma: float) -> Change:
    return lambda face, random: np.clip(face + random.normal(0, sigma, face.shape), 0, 255).astype(
        np.uint8
    )


def jpeg(quality: int) -> Change:
    def change(face: np.ndarray, _: np.random.Generator) -> np.ndarray:
        packed = cv2.imencode(".jpg", face, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        return np.asarray(cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE))

    return change


def darker(share: float) -> Change:
    return lambda face, _: (face * share).astype(np.uint8)


def small(side: int) -> Change:
    def change(face: np.ndarray, _: np.random.Generator) -> np.ndarray:
        tiny = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.resize(tiny, (FACE_SIDE, FACE_SIDE), interpolation=cv2.INTER_LINEAR))

    return change


def turned(degrees: float) -> Change:
    def change(face: np.ndarray, random: np.random.Generator) -> np.ndarray:
        middle = (FACE_SIDE - 1) / 2
        matrix = cv2.getRotationMatrix2D((middle, middle), random.choice([-1, 1]) * degrees, 1)
        return np.asarray(
            cv2.warpAffine(face, matrix, (FACE_SIDE, FACE_SIDE), borderMode=cv2.BORDER_REPLICATE)
        )

    return change


def moved(share: float) -> Change:
    def change(face: np.ndarray, random: np.random.Generator) -> np.ndarray:
        dx, dy = random.choice([-1, 1], 2) * share * FACE_SIDE
        matrix = np.float32([[1, 0, dx], [0, 1, dy]])
        return np.asarray(
            cv2.warpAffine(face, matrix, (FACE_SIDE, FACE_SIDE), borderMode=cv2.BORDER_REPLICATE)
        )

    return change


def covered(top: int, bottom: int) -> Change:
    """A gray bar over these rows: the eyes lie in about 12 to 22 of a FER2013 face, the mouth in 32
    to 46.
    """

    def change(face: np.ndarray, _: np.random.Generator) -> np.ndarray:
        face = face.copy()
        face[top:bottom] = int(face.mean())
        return face

    return change


CHANGES: dict[str, Change] = {
    "as it is": lambda face, _: face,
    "blur, sigma 1 pixel": blur(1),
    "blur, sigma 2 pixels": blur(2),
    "noise, sigma 10 of 255": noise(10),
    "noise, sigma 25 of 255": noise(25),
    "JPEG, quality 30": jpeg(30),
    "JPEG, quality 10": jpeg(10),
    "half as bright": darker(0.5),
    "a quarter as bright": darker(0.25),
    "32 pixels, enlarged": small(32),
    "24 pixels, enlarged": small(24),
    "16 pixels, enlarged": small(16),
    "12 pixels, enlarged": small(12),
    "turned by 15 degrees": turned(15),
    "turned by 30 degrees": turned(30),
    "moved by a tenth, both ways": moved(0.1),
    "moved by a fifth, both ways": moved(0.2),
    "eyes covered": covered(12, 23),
    "mouth covered": covered(32, 47),
}


def main() -> None:
    asked = harness.parser(__doc__)
    harness.add_data_and_bundle(asked)
    asked.add_argument("--mode", choices=["fast", "best"], default="fast")
    asked.add_argument("--prior", help="class prior of the answer; by default the bundle's own")
    options = asked.parse_args()
    dataset, bundle = harness.opened(options)
    part = dataset.part("validation")
    winner = None if part.votes is None else majority(part.votes)
    print(
        f"{bundle.name} {bundle.digest[:16]}, --{options.mode}, prior "
        f"{options.prior or 'as it says'}, validation n = {len(part)}, seed 0"
    )
    print(f"{'':28}  accuracy (95 %)      loss of points  FER+ majority  mean confidence")
    first: float | None = None
    with Classifier(bundle) as classify:
        rule = classify.rule(options.prior)
        for name, change in CHANGES.items():
            random = np.random.default_rng(0)
            faces = np.stack([change(face[..., 0], random) for face in part.images])[..., None]
            heads = classify(faces, mode=options.mode)
            shown = classify.answer(heads, rule=rule, mode=options.mode)
            scores, _ = metrics.estimates(part.labels, shown, num_bootstrap=1000, seed=0)
            found = scores["accuracy"]
            value = float(found["value"] or 0)
            first = value if first is None else first
            votes = ""
            if winner is not None and len(bundle.heads) > 1 and bundle.heads[1].labels == FERPLUS:
                rows = winner >= 0
                share = np.mean(heads[bundle.heads[1].name].argmax(1)[rows] == winner[rows])
                votes = f"{100 * share:.1f}"
            print(
                f"{name:28}  {100 * value:.1f} "
                f"({100 * (found['low'] or 0):.1f}-{100 * (found['high'] or 0):.1f})  "
                f"{100 * (first - value):14.1f}  {votes:>13}  {100 * shown.max(1).mean():15.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
