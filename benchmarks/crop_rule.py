"""Where a face detector sees the face in a FER2013 picture: the constants of mien/vision/align.py,
measured.

    python benchmarks/crop_rule.py DATA [--detector yunet|mtcnn] [--model FILE] [--count 3000]
    [--seed 0] [--json]

Draws `count` pictures of the Training split, enlarges each to a random size (60 to 320 px, cubic),
lays it on a canvas of its mean gray with half its side around it, and runs the detector. Prints, as
shares of the picture's side, median and spread (1.48 x median absolute deviation) of the landmarks
and of the box, and how far each crop rule, with these medians, comes from the true picture: the
crop that a rule without error would give back.
"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import harness
import numpy as np

from mien.constants import FACE_SIDE
from mien.data.readers import load_dataset
from mien.vision.align import GEOMETRIES, Geometry, by_box, by_landmarks, turn_aside
from mien.vision.detect import Detector, find_detector

NAMES = ("right eye", "left eye", "nose tip", "right mouth corner", "left mouth corner")
SIZES = (60, 320)  # px


def measure(
    detector: Detector, pictures: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """Boxes (F, 4) and landmarks (F, 5, 2) of the faces found, as shares of the picture, and the
    pictures tried.
    """
    generator = np.random.default_rng(seed)
    sizes = np.exp(generator.uniform(*np.log(SIZES), len(pictures))).round().astype(int)
    boxes, landmarks = [], []
    for picture, size in zip(pictures, sizes, strict=True):
        face = cv2.resize(picture[:, :, 0], (size, size), interpolation=cv2.INTER_CUBIC)
        edge = size // 2
        canvas = cv2.copyMakeBorder(
            face, edge, edge, edge, edge, cv2.BORDER_CONSTANT, value=float(face.mean())
        )
        found = detector.detect(np.repeat(canvas[:, :, None], 3, axis=2))
        if len(found) and found.landmarks is not None:
            areas = np.prod(found.boxes[:, 2:] - found.boxes[:, :2], axis=1)
            best = int(np.argmax(areas * found.scores))
            boxes.append((found.boxes[best] - edge) / size)
            landmarks.append((found.landmarks[best] - edge) / size)
    return np.array(boxes), np.array(landmarks), len(pictures)


def spread(values: np.ndarray) -> np.ndarray:
    """Robust standard deviation along the first axis."""
    return np.asarray(1.4826 * np.median(np.abs(values - np.median(values, axis=0)), axis=0))


def constants(boxes: np.ndarray, landmarks: np.ndarray) -> Geometry:
    sides = np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1))
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    points = np.median(landmarks, axis=0)
    return Geometry(
        points=tuple((round(float(x), 3), round(float(y), 3)) for x, y in points),
        box_side=round(float(np.median(sides)), 3),
        box_centre=tuple(round(float(value), 3) for value in np.median(centres, axis=0)),  # type: ignore[arg-type]
    )


def errors(centre: np.ndarray, side: np.ndarray, aside: np.ndarray) -> dict[str, float]:
    """How far crops lie from the picture they should give back (centre 0.5, 0.5; side 1).

    Spread of place in FER2013's 48 pixels and of size in percent, and the mean overlap
    (intersection over union) of crop and picture: of all, and of faces by how far they are turned
    aside.
    """
    away, half = centre - (0.5 + 0.5j), side / 2
    wide = np.clip(np.minimum(0.5, away.real + half) - np.maximum(-0.5, away.real - half), 0, None)
    high = np.clip(np.minimum(0.5, away.imag + half) - np.maximum(-0.5, away.imag - half), 0, None)
    overlap = wide * high / (1 + side**2 - wide * high)
    return {
        "x_px": round(float(spread(away.real)) * FACE_SIDE, 2),
        "y_px": round(float(spread(away.imag)) * FACE_SIDE, 2),
        "side_percent": round(100 * float(spread(np.log(side))), 1),
        "overlap": round(float(overlap.mean()), 3),
        "overlap_frontal": round(float(overlap[aside < 0.3].mean()), 3),
        "overlap_half_turned": round(float(overlap[(aside >= 0.3) & (aside < 0.7)].mean()), 3),
        "overlap_profile": round(float(overlap[aside >= 0.7].mean()), 3),
    }


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument("data")
    parser.add_argument("--detector", default="yunet", choices=sorted(GEOMETRIES))
    parser.add_argument("--model", type=Path)
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--save", type=Path, help="write boxes and landmarks to this .npz file")
    options = parser.parse_args()
    cv2.setNumThreads(1)

    training = load_dataset(options.data).part("training").images
    chosen = np.random.default_rng(options.seed).choice(
        len(training), min(options.count, len(training)), replace=False
    )
    detector = find_detector(options.detector, model=options.model)
    boxes, landmarks, tried = measure(detector, training[np.sort(chosen)], options.seed)
    if options.save:
        np.savez(options.save, boxes=boxes, landmarks=landmarks)
    known = constants(boxes, landmarks)
    centre, side = by_box(boxes, known)
    other_centre, other_side, angle = by_landmarks(landmarks, known)
    share = 0.5 + 0.5 * turn_aside(landmarks)
    rules = {
        "box": (centre, side),
        "landmarks": (other_centre, other_side),
        "both": (
            share * centre + (1 - share) * other_centre,
            side**share * other_side ** (1 - share),
        ),
    }
    aside = turn_aside(landmarks)
    report = {
        "detector": detector.name,
        "pictures": tried,
        "found": len(boxes),
        "geometry": {
            "points": known.points,
            "box_side": known.box_side,
            "box_centre": known.box_centre,
        },
        "box": {
            "median": np.median(boxes, axis=0).round(3).tolist(),
            "spread": spread(boxes).round(3).tolist(),
        },
        "landmarks_spread": spread(landmarks).round(3).tolist(),
        "turn_deg": {
            "median": round(float(np.degrees(np.median(angle))), 2),
            "spread": round(float(np.degrees(spread(angle))), 2),
        },
        "rule": {name: errors(*rule, aside) for name, rule in rules.items()},
    }
    if options.json:
        print(json.dumps(report))
        return
    print(f"{detector.name}: found {len(boxes):,} of {tried:,} Training pictures")
    for name, point, loose in zip(NAMES, known.points, report["landmarks_spread"], strict=True):
        print(
            f"  {name:20} x {point[0]:.3f} +/- {loose[0]:.3f}   y {point[1]:.3f} +/- {loose[1]:.3f}"
        )
    print(f"  box {report['box']['median']} +/- {report['box']['spread']}")
    print(
        f"  in-plane turn {report['turn_deg']['median']} +/- {report['turn_deg']['spread']} degrees"
    )
    for rule, figures in report["rule"].items():
        print(f"  {rule} rule misses the picture by: {figures}")
    print(f'"{options.detector}": {known}')


if __name__ == "__main__":
    main()
