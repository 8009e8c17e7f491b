"""How many near duplicates the audit finds: faces beside copies of them that were altered here.

    python benchmarks/near_recall.py DATA [--count 1000]

Takes so many different training faces, alters each in one way, and looks for near duplicates among
all of them. Counted are the faces whose pair with their own altered copy is found.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import harness
import numpy as np

from mien.constants import FACE_SIDE
from mien.data.near_duplicates import near_duplicates
from mien.data.readers import load_dataset


def moved(
    right: float = 0, down: float = 0, scale: float = 1, turn_deg: float = 0
) -> Callable[[np.ndarray], np.ndarray]:
    matrix = cv2.getRotationMatrix2D(((FACE_SIDE - 1) / 2, (FACE_SIDE - 1) / 2), turn_deg, scale)
    matrix[:, 2] += right, down
    size = (FACE_SIDE, FACE_SIDE)
    return lambda face: np.asarray(
        cv2.warpAffine(face, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    )


def stamped(face: np.ndarray) -> np.ndarray:
    return np.asarray(
        cv2.putText(face.copy(), "FOTO", (1, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.55, 255, 2)
    )


def saved(face: np.ndarray) -> np.ndarray:
    return np.asarray(
        cv2.imdecode(
            cv2.imencode(".jpg", face, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], cv2.IMREAD_GRAYSCALE
        )
    )


WAYS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "shifted by 1 px": moved(1),
    "shifted by 1 px both ways": moved(1, 1),
    "shifted by 2 px": moved(2),
    "shifted by 2 px both ways": moved(2, 2),
    "scaled by 1.03": moved(scale=1.03),
    "scaled by 1.06": moved(scale=1.06),
    "turned by 2 degrees": moved(turn_deg=2),
    "turned by 4 degrees": moved(turn_deg=4),
    "stamped with a word": stamped,
    "mirrored": lambda face: np.asarray(face[:, ::-1]),
    "blurred, sigma 1": lambda face: np.asarray(cv2.GaussianBlur(face, (0, 0), 1)),
    "JPEG, quality 40": saved,
}


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument("data")
    parser.add_argument("--count", type=int, default=1000)
    options = parser.parse_args()
    images = load_dataset(options.data).part("training").images
    _, first = np.unique(
        images.reshape(len(images), -1)[: 2 * options.count], axis=0, return_index=True
    )
    chosen = images[np.sort(first)[: options.count]]
    chosen = chosen[chosen.std(axis=(1, 2, 3)) > 4]  # blanks have no near duplicates
    print(f"{len(chosen)} faces")
    for name, way in WAYS.items():
        altered = np.stack([way(face[..., 0]) for face in chosen])[..., None]
        pairs = near_duplicates(np.concatenate([chosen, altered])).pairs
        found = int((pairs[:, 1] - pairs[:, 0] == len(chosen)).sum())
        print(f"{name:28s} {100 * found / len(chosen):5.1f} %", flush=True)


if __name__ == "__main__":
    main()
