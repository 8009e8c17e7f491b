"""What the face detectors find, and how long they take: on photographs, and on small faces in
12-megapixel pictures.

    python benchmarks/detectors.py PHOTOGRAPHS [--try yunet:640 yunet:2560 mtcnn:640 ...] [--model
    FILE] [--threads 1]

PHOTOGRAPHS is a folder of pictures with people. Each `kind:side` looks at a longest side of that
many pixels.

1. The photographs as they are: faces found, pictures with at least one, milliseconds (median,
decoding not counted). 2. Their own faces (found by YuNet at 1920 px, score at least 0.8, 80 px or
higher), each with its surroundings
   shrunk to a stated height and laid with a soft edge into a drawn background of 4000 x 3000
   pixels: how many are found again, by height, and how many boxes are where no face is. The faces
   are chosen by YuNet, so that a detector that sees others gets no credit here: compare sizes, and
   take part 1 for comparing detectors.
3. Large faces: the same, filling a stated share of the height of a picture of 640 x 480.
"""

from __future__ import annotations

import json
import platform
import statistics
import time
from pathlib import Path

import cv2
import harness
import numpy as np
from pasted_faces import background
from PIL import Image, ImageOps

from mien.vision.detect import Detector, find_detector
from mien.vision.formats import is_picture_name
from mien.vision.yunet import YuNet
from mien.vision.yunet_weights import yunet_weights

HEIGHTS = (16, 20, 24, 32, 48)  # px of the face's box
SHARES = (0.5, 0.7, 0.9)  # of the picture's height
TRY = ("yunet:640", "yunet:1280", "yunet:1920", "yunet:2560", "yunet:3200", "yunet:4000")


def photographs(folder: Path) -> list[np.ndarray]:
    paths = sorted(path for path in folder.iterdir() if is_picture_name(path.name))
    return [np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB")) for path in paths]


def faces_of(pictures: list[np.ndarray], detector: Detector) -> list[tuple[np.ndarray, np.ndarray]]:
    """Each face with as much again around it, and its box in that cutting."""
    cuttings = []
    for picture in pictures:
        found = detector.detect(picture)
        for box, score in zip(found.boxes, found.scores, strict=True):
            size = box[2:] - box[:2]
            if score < 0.8 or size[1] < 80:
                continue
            low = np.maximum(box[:2] - 0.5 * size, 0).astype(int)
            high = (box[2:] + 0.5 * size).astype(int)
            cuttings.append((picture[low[1] : high[1], low[0] : high[0]], box - np.tile(low, 2)))
    return cuttings


def resized(cutting: np.ndarray, box: np.ndarray, height: float) -> tuple[np.ndarray, np.ndarray]:
    zoom = height / (box[3] - box[1])
    way = cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC
    small = cv2.resize(cutting, None, fx=zoom, fy=zoom, interpolation=way)
    return small, box * np.tile(np.array(small.shape[1::-1]) / cutting.shape[1::-1], 2)


def lay(picture: np.ndarray, cutting: np.ndarray, corner: tuple[int, int]) -> None:
    """Put the cutting into the picture, its outer tenth fading."""
    height, width = cutting.shape[:2]
    fades = []
    for length in (height, width):
        edge = np.minimum(np.arange(length) + 0.5, np.arange(length)[::-1] + 0.5) / max(
            1, 0.1 * length
        )
        fades.append(np.clip(edge, 0, 1))
    share = (fades[0][:, None] * fades[1])[:, :, None]
    place = picture[corner[1] : corner[1] + height, corner[0] : corner[0] + width]
    place[:] = np.rint(share * cutting + (1 - share) * place).astype(np.uint8)


def overlap(one: np.ndarray, many: np.ndarray) -> np.ndarray:
    low, high = np.maximum(one[:2], many[:, :2]), np.minimum(one[2:], many[:, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    return np.asarray(
        shared / (np.prod(one[2:] - one[:2]) + np.prod(many[:, 2:] - many[:, :2], axis=1) - shared)
    )


def scene(
    drawn: np.ndarray, cuttings: list[tuple[np.ndarray, np.ndarray]], height: int
) -> tuple[np.ndarray, np.ndarray]:
    """All faces at one height in a copy of a 12-megapixel picture, on a grid; their boxes."""
    picture = drawn.copy()
    columns = int(np.ceil(np.sqrt(len(cuttings))))
    boxes = []
    for index, (cutting, box) in enumerate(cuttings):
        small, place = resized(cutting, box, height)
        corner = (
            60 + index % columns * (3700 // columns),
            60 + index // columns * (2700 // columns),
        )
        lay(picture, small, corner)
        boxes.append(place + np.tile(corner, 2))
    return picture, np.array(boxes)


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument("photographs", type=Path)
    parser.add_argument(
        "--try", dest="tried", nargs="+", default=list(TRY), metavar="KIND:FACE_SIDE"
    )
    parser.add_argument("--model", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    cv2.setNumThreads(options.threads)

    pictures = photographs(options.photographs)
    cuttings = faces_of(pictures, YuNet(yunet_weights(options.model), max_side=1920))
    drawn = background(np.random.default_rng(0), (3000, 4000))
    scenes = [scene(drawn, cuttings, height) for height in HEIGHTS]
    about = {"opencv": cv2.__version__, "machine": platform.machine(), "threads": options.threads}
    print(json.dumps({**about, "photographs": len(pictures), "faces_laid": len(cuttings)}))
    for name in options.tried:
        kind, side = name.split(":")
        detector = find_detector(kind, model=options.model, max_side=int(side))
        detector.detect(pictures[0])  # so that loading is not timed
        took, counts = [], []
        for picture in pictures:
            began = time.process_time()
            counts.append(len(detector.detect(picture)))
            took.append(time.process_time() - began)
        again, strays, far = {}, 0, []
        for height, (picture, boxes) in zip(HEIGHTS, scenes, strict=True):
            began = time.process_time()
            found = detector.detect(picture).boxes
            far.append(time.process_time() - began)
            again[height] = (
                sum(bool((overlap(box, found) > 0.3).any()) for box in boxes) if len(found) else 0
            )
            strays += sum(not (overlap(box, boxes) > 0.1).any() for box in found)
        large = {}
        for share in SHARES:
            hit = 0
            for cutting, box in cuttings:
                small, place = resized(cutting, box, 480 * share)
                middle = ((place[:2] + place[2:]) / 2).astype(int)
                low = np.maximum(middle - [320, 240], 0)
                view = small[low[1] : middle[1] + 240, low[0] : middle[0] + 320]
                found = detector.detect(np.ascontiguousarray(view)).boxes
                hit += len(found) > 0 and bool(
                    (overlap(place - np.tile(low, 2), found) > 0.5).any()
                )
            large[share] = hit
        print(
            json.dumps(
                {
                    "detector": detector.name,
                    "side": int(side),
                    "faces": sum(counts),
                    "pictures_with_a_face": sum(count > 0 for count in counts),
                    "processor_ms": round(1000 * statistics.median(took), 1),
                    "processor_ms_12_megapixels": round(1000 * statistics.median(far), 1),
                    "found_by_height": again,
                    "strays_12_megapixels": strays,
                    "found_by_share": large,
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()
