"""What finding and cutting out faces costs in accuracy: the same faces as they are, and pasted into
large pictures.

    python benchmarks/pasted_faces.py DATA NETWORK [--model FILE] [--count 1200] [--seed 0] [--json]

Takes validation faces, enlarges each to a random size, turns it in the plane, pastes it at a random
place into a drawn background of 2000 x 1500 pixels (some faces a picture, none overlapping), and
goes through detection, crop and network. NETWORK is a run folder or a bundle. Prints how many faces
were found, by size and by turn, and, on the faces found, the accuracy on the pasted faces beside
the accuracy on the same faces' own pictures, paired, for each crop rule:

    true                  the pasted square itself, cut out again: what resampling alone costs
    both, landmarks, box  the rules of mien/vision/align.py
    both, turn 0          the same, but following none (or half) of a head's in-plane turn
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import harness
import numpy as np

from mien.constants import FACE_SIDE
from mien.data.readers import load_dataset
from mien.vision import align
from mien.vision.detect import Detector, find_detector

PICTURE = (1500, 2000)  # px, height and width
SIZES, TURN = (40, 400), 20  # px; degrees to either side
ROOM = 0.2  # of a face's side, kept free around it
RULES = {
    "both": ("both", 1.0),
    "both, turn 0.5": ("both", 0.5),
    "both, turn 0": ("both", 0.0),
    "landmarks": ("landmarks", 1.0),
    "box": ("box", 1.0),
    "box, turn 0": ("box", 0.0),
}


@dataclass
class Pasted:
    """One face in one drawn picture."""

    index: int
    size: int
    turn_deg: float
    corners: np.ndarray  # (4, 2)


def background(generator: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """uint8 RGB: smooth noise at five scales, some straight edges, a little grain."""
    height, width = shape
    picture = np.zeros((height, width, 3), np.float32)
    for cells in (3, 7, 15, 40, 120):
        noise = generator.normal(size=(cells * height // width + 2, cells + 2, 3)).astype(
            np.float32
        )
        picture += (
            30 / np.sqrt(cells) * cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
        )
    for _ in range(12):
        x, y = generator.integers(0, width), generator.integers(0, height)
        size = generator.integers(60, 700, 2)
        picture[y : y + size[1], x : x + size[0]] += generator.normal(0, 25, 3).astype(np.float32)
    picture += generator.normal(0, 3, picture.shape).astype(np.float32)
    return np.clip(picture + generator.uniform(90, 160), 0, 255).astype(np.uint8)


def paste(
    picture: np.ndarray, face: np.ndarray, centre: tuple[float, float], size: int, turn_deg: float
) -> np.ndarray:
    """Put a face (48, 48) into the picture; its corners there (4, 2)."""
    angle = np.radians(turn_deg)
    right = size * np.array([np.cos(angle), np.sin(angle)])
    down = size * np.array([-np.sin(angle), np.cos(angle)])
    corners = (
        np.array(centre) - right / 2 - down / 2 + np.array([0 * right, right, right + down, down])
    )
    low = np.floor(corners.min(axis=0)).astype(int) - 1
    span = np.ceil(corners.max(axis=0)).astype(int) + 1 - low
    # Enlarged first, so that the turn resamples many pixels and not 48.
    large = cv2.resize(face, (size, size), interpolation=cv2.INTER_CUBIC)
    step = np.stack([right, down], axis=1) / size
    matrix = np.column_stack([step, corners[0] - low + step @ [0.5, 0.5] - 0.5])
    patch = cv2.warpAffine(large, matrix, tuple(span.tolist()), flags=cv2.INTER_LINEAR)
    share = cv2.warpAffine(
        np.ones((size, size), np.float32), matrix, tuple(span.tolist()), flags=cv2.INTER_LINEAR
    )
    place = picture[low[1] : low[1] + span[1], low[0] : low[0] + span[0]]
    mixed = share[:, :, None] * patch[:, :, None] + (1 - share[:, :, None]) * place
    place[:] = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
    return corners


def pictures(
    faces: np.ndarray, generator: np.random.Generator, sizes: tuple[int, int], max_turn: float
) -> list[tuple[np.ndarray, list[Pasted]]]:
    """All faces (N, 48, 48, 1), each pasted once."""
    made: list[tuple[np.ndarray, list[Pasted]]] = []
    index = 0
    while index < len(faces):
        picture, pasted, taken = background(generator, PICTURE), [], np.zeros((0, 3))
        misses = 0
        while index < len(faces) and misses < 30 and len(pasted) < 12:
            size = int(np.exp(generator.uniform(*np.log(sizes))))
            turn_deg = float(generator.uniform(-max_turn, max_turn))
            reach = size * (np.sqrt(0.5) + ROOM)
            x, y = (generator.uniform(reach + 2, limit - reach - 2) for limit in PICTURE[::-1])
            if len(taken) and np.any(
                np.hypot(taken[:, 0] - x, taken[:, 1] - y) < taken[:, 2] + reach
            ):
                misses += 1
                continue
            corners = paste(picture, faces[index, :, :, 0], (x, y), size, turn_deg)
            pasted.append(Pasted(index, size, turn_deg, corners))
            taken = np.vstack([taken, [x, y, reach]])
            index += 1
        made.append((picture, pasted))
    return made


def network(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Faces (N, 48, 48, 1) -> the index of the likeliest label, from a run folder or a bundle."""
    if (path / "run.json").exists():
        from mien.training.runs import load_network, load_run, predict

        model = load_network(load_run(path))
        return lambda faces: np.asarray(predict(model, faces).argmax(axis=1))
    from mien.bundle import open_bundle
    from mien.bundle.classifier import Classifier

    bundle = open_bundle(path)
    classifier = Classifier(bundle)
    return lambda faces: classifier.answer(classifier(faces)).argmax(axis=1)


def run(
    detector: Detector, faces: np.ndarray, sizes: tuple[int, int], max_turn: float, seed: int
) -> dict[str, object]:
    """Crops by rule, and which face each came from."""
    generator = np.random.default_rng(seed)
    cut: dict[str, list[np.ndarray]] = {name: [] for name in ("true", *RULES)}
    found: list[Pasted] = []
    every: list[Pasted] = []
    strays = 0
    for picture, pasted in pictures(faces, generator, sizes, max_turn):
        detections = detector.detect(picture)
        every += pasted
        centres = (detections.boxes[:, :2] + detections.boxes[:, 2:]) / 2
        free = np.ones(len(detections), bool)
        for one in pasted:
            away = np.hypot(*(centres - one.corners.mean(axis=0)).T) / one.size
            spans = (
                np.sqrt(np.prod(detections.boxes[:, 2:] - detections.boxes[:, :2], axis=1))
                / one.size
            )
            fits = np.flatnonzero(free & (away < 0.3) & (spans > 0.4) & (spans < 1.8))
            if len(fits) == 0:
                continue
            best = fits[:1]  # they come in order of their scores
            free[best] = False
            found.append(one)
            cut["true"].append(align.cut_out(picture, one.corners))
            for name, (rule, follow) in RULES.items():
                points = None if detections.landmarks is None else detections.landmarks[best]
                corners = align.squares(
                    detections.boxes[best], points, detections.geometry, rule=rule, follow=follow
                )
                cut[name].append(align.cut_out(picture, corners[0]))
        strays += int(free.sum())
    return {
        "crops": {name: np.array(crops, np.uint8)[..., None] for name, crops in cut.items()},
        "found": found,
        "every": every,
        "strays": strays,
    }


def shares(
    every: list[Pasted], found: list[Pasted], edges: list[float], of: Callable[[Pasted], float]
) -> list[str]:
    lines = []
    for low, high in zip(edges, edges[1:], strict=False):
        among = sum(low <= of(one) < high for one in every)
        hit = sum(low <= of(one) < high for one in found)
        lines.append(f"{low:g} to {high:g}: {hit} of {among}")
    return lines


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument("data")
    parser.add_argument("network", type=Path)
    parser.add_argument("--detector", default="yunet")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--count", type=int, default=1200)
    parser.add_argument("--turn", type=float, default=TURN, help="most degrees to either side")
    parser.add_argument(
        "--sizes", type=int, nargs=2, default=SIZES, help="smallest and largest face in pixels"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--sheet", type=Path, help="write a contact sheet of originals and crops to this PNG file"
    )
    options = parser.parse_args()
    cv2.setNumThreads(1)

    validation = load_dataset(options.data).part("validation")
    generator = np.random.default_rng(options.seed)
    chosen = generator.choice(len(validation), min(options.count, len(validation)), replace=False)
    faces, labels = validation.images[chosen], validation.labels[chosen]
    detector = find_detector(options.detector, model=options.model)
    result = run(detector, faces, tuple(options.sizes), options.turn, options.seed)
    found, every, crops = result["found"], result["every"], result["crops"]
    rows = np.array([one.index for one in found])
    answer = network(options.network)
    own = answer(faces) == labels
    report: dict[str, object] = {
        "detector": detector.name,
        "faces": len(faces),
        "found": len(found),
        "strays": result["strays"],
        "by_size_px": shares(every, found, [20, 40, 60, 100, 200, 401], lambda one: one.size),
        "by_turn_deg": shares(
            every, found, [0, 5, 10, 15, 20.01, 30, 45.01], lambda one: abs(one.turn_deg)
        ),
        "original_all": round(100 * float(own.mean()), 2),
        "original_found": round(100 * float(own[rows].mean()), 2),
        "rules": {},
    }
    for name, images in crops.items():
        right = answer(images) == labels[rows]
        lost = own[rows].astype(int) - right.astype(int)
        resampled = lost[generator.integers(0, len(lost), (2000, len(lost)))].mean(axis=1)
        report["rules"][name] = {
            "accuracy": round(100 * float(right.mean()), 2),
            "points_below": round(100 * float(lost.mean()), 2),
            "interval_95": [
                round(100 * float(value), 2) for value in np.percentile(resampled, [2.5, 97.5])
            ],
            "below_by_size": {
                f"{low}-{high}": round(100 * float(lost[among].mean()), 1)
                for low, high in ((20, 60), (60, 100), (100, 200), (200, 401))
                if np.any(among := np.array([low <= one.size < high for one in found]))
            },
        }
    if options.sheet:
        from PIL import Image

        from mien.vision.contact_sheet import contact_sheet

        columns = [faces[rows], *crops.values()]
        titles = ("original", *crops)
        images = np.stack(columns, axis=1)[:24].reshape(-1, FACE_SIDE, FACE_SIDE, 1)
        sheet = contact_sheet(
            images, titles * min(24, len(rows)), columns=2 * len(columns), together=len(columns)
        )
        Image.fromarray(sheet).save(options.sheet)
    if options.json:
        print(json.dumps(report))
        return
    print(
        f"{detector.name}: found {len(found):,} of {len(faces):,} faces, and {result['strays']} "
        "that were not pasted"
    )
    print("  by size (px): " + "; ".join(report["by_size_px"]))
    print("  by turn (degrees): " + "; ".join(report["by_turn_deg"]))
    print(
        f"  accuracy on their own pictures {report['original_found']} % (all "
        f"{report['original_all']} %)"
    )
    for name, figures in report["rules"].items():
        print(f"  {name}: {figures}")


if __name__ == "__main__":
    main()
