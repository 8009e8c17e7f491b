"""What the face detector finds where it is hard: small faces, many, turned ones; and what it finds
where none is.

    python benchmarks/hard_faces.py DATA [--part small many turned none] [--try yunet yunet:4000
    yunet-close] [--json]

DATA is FER2013; its validation faces, 300 at once, are resized, turned and laid into drawn pictures
of 4000 x 3000 pixels, each in a cell of 200 x 200 pixels. Found is a face with a box whose centre
is within 0.3 and whose size is between 0.5 and 2 of the pasted square's; a box whose centre is in
no such square is a stray. A `:4000` after a detector is its --max-side. Times are processor time,
medians.

small    squares of 12 to 48 px (a face's box is about as high as FER2013's square)
many     squares of 64 px; the same with an upright face in every cell of 70 x 70 pixels: 2,394
         faces
turned   squares of 96 px, turned in the plane of the picture by 0 to 180 degrees (FER2013 does not
         tell how far a head is turned aside)
none     drawn pictures without a face, and textures and objects of scikit-image (all pictures in
         it without a person)
"""

from __future__ import annotations

import json
import statistics
import time
from typing import Any

import cv2
import harness
import numpy as np
from pasted_faces import background, paste

from mien.data.readers import load_dataset
from mien.vision.detect import Detector, find_detector
from mien.vision.detections import Detections

HEIGHT, WIDTH = 3000, 4000
SMALL_PX = (12, 16, 20, 24, 32, 48)
TURNS_DEG = (0, 20, 40, 60, 90, 180)
NO_PERSON = (
    "brick",
    "cell",
    "chelsea",
    "coffee",
    "coins",
    "grass",
    "gravel",
    "hubble_deep_field",
    "moon",
    "page",
    "rocket",
)
PARTS = ("small", "many", "turned", "none")


def crowd(
    drawn: np.ndarray, faces: np.ndarray, size: int, turn_deg: float, cell: int
) -> tuple[np.ndarray, np.ndarray]:
    """A picture with one face in each cell, and their centres (N, 2)."""
    picture = drawn.copy()
    generator = np.random.default_rng(size)
    room = (
        cell - size * (abs(np.cos(np.radians(turn_deg))) + abs(np.sin(np.radians(turn_deg))))
    ) / 2 - 2
    places = [
        (x, y) for y in range(0, HEIGHT - cell + 1, cell) for x in range(0, WIDTH - cell + 1, cell)
    ]
    centres = np.array(places) + cell / 2 + generator.uniform(-room, room, (len(places), 2))
    for index, (x, y) in enumerate(centres):
        paste(picture, faces[index % len(faces), :, :, 0], (x, y), size, turn_deg * (-1) ** index)
    return picture, centres


def judged(found: Detections, centres: np.ndarray, size: int) -> tuple[int, int]:
    """How many faces were found, and how many boxes are strays."""
    if not len(found):
        return 0, 0
    middles = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    ratio = (found.boxes[:, 3] - found.boxes[:, 1]) / size
    aside = np.hypot(*(middles[:, None] - centres[None]).transpose(2, 0, 1))  # (boxes, faces)
    fits = (aside < 0.3 * size) & ((ratio > 0.5) & (ratio < 2))[:, None]
    return int(fits.any(axis=0).sum()), int((aside.min(axis=1) > 0.7 * size).sum())


def timed(detector: Detector, picture: np.ndarray) -> tuple[Detections, float]:
    began = time.process_time()
    found = detector.detect(picture)
    return found, time.process_time() - began


def without_a_person() -> list[np.ndarray]:
    import skimage.data

    pictures = [np.asarray(getattr(skimage.data, name)()) for name in NO_PERSON]
    return [
        np.ascontiguousarray(np.stack([one] * 3, 2) if one.ndim == 2 else one[:, :, :3])
        for one in pictures
    ]


def measure(
    detector: Detector, parts: list[str], faces: np.ndarray, drawn: np.ndarray
) -> list[dict[str, Any]]:
    scenes = {
        "small": [(size, 0, 200) for size in SMALL_PX],
        "many": [(64, 0, 200), (64, 0, 70)],
        "turned": [(96, turn, 200) for turn in TURNS_DEG],
    }
    rows: list[dict[str, Any]] = []
    for part in parts:
        for size, turn, cell in scenes.get(part, []):
            picture, centres = crowd(drawn, faces, size, turn, cell)
            found, seconds = timed(detector, picture)
            hits, strays = judged(found, centres, size)
            row = {
                "px": size,
                "turn_deg": turn,
                "faces": len(centres),
                "found": hits,
                "strays": strays,
            }
            rows.append({"part": part, **row, "seconds": seconds})
        if part == "none":
            for name, pictures in (("drawn", [drawn]), ("scikit-image", without_a_person())):
                done = [timed(detector, one) for one in pictures]
                boxes, seconds = (
                    sum(len(found) for found, _ in done),
                    statistics.median(time for _, time in done),
                )
                rows.append(
                    {
                        "part": f"none, {name}",
                        "pictures": len(done),
                        "strays": boxes,
                        "seconds": seconds,
                    }
                )
    return rows


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument("data")
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument(
        "--try", dest="tried", nargs="+", default=["yunet", "yunet:4000", "yunet-close"]
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    cv2.setNumThreads(options.threads)
    faces = load_dataset(options.data).part("validation").images[:300]
    drawn = background(np.random.default_rng(0), (HEIGHT, WIDTH))
    for name in options.tried:
        kind, _, side = name.partition(":")
        detector = find_detector(kind, max_side=int(side) if side else None)
        for row in measure(detector, options.part, faces, drawn):
            if options.json:
                print(json.dumps({"detector": name, **row}), flush=True)
            else:
                cells = (
                    f"{key} {value:.2f}" if key == "seconds" else f"{key} {value}"
                    for key, value in row.items()
                )
                print(f"{name:12s} " + ", ".join(cells), flush=True)


if __name__ == "__main__":
    main()
