"""Photographs a second from file to answer, and where the time goes.

    python benchmarks/photos.py [--rounds 5] [--max-side 1280]

The photographs are made here: scikit-image's portrait of an astronaut, enlarged into pictures of 2
and 12 megapixels and saved as JPEG. Each stage is timed by itself, one picture at a time; then all
together with pictures decoded ahead, as `mien predict` does it. The named alternative for decoding
is Pillow at full size.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness
import numpy as np
from PIL import Image
from skimage.data import astronaut

import mien
from mien.vision.align import crop
from mien.vision.detect import find_detector
from mien.vision.image import load_image

SIZES = {"2 megapixels": (1632, 1224), "12 megapixels": (4000, 3000)}


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pictures", type=int, default=12)
    parser.add_argument("--max-side", type=int)
    parser.add_argument("--bundle", default="shipped")
    parser.add_argument("--detector-model", type=Path)
    options = parser.parse_args()
    recognizer = mien.load(
        options.bundle,
        detector=find_detector(model=options.detector_model, max_side=options.max_side),
    )
    print(
        f"detector {recognizer.detector.name}, network {recognizer.bundle.name}, n = "
        f"{options.rounds} rounds, medians"
    )
    for name, size in SIZES.items():
        data = photograph(size)
        image = load_image(data)
        found = recognizer.detector.detect(image)
        faces = crop(image, found.boxes, found.landmarks, geometry=found.geometry).faces
        answer = recognizer.faces(data)
        stages = {
            "Pillow alone": lambda data=data: np.asarray(
                Image.open(io.BytesIO(data)).convert("RGB")
            ),
            "decode": lambda data=data: load_image(data),
            "detect": lambda image=image: recognizer.detector.detect(image),
            "crop": lambda image=image, found=found: crop(
                image, found.boxes, found.landmarks, geometry=found.geometry
            ),
            "classify": lambda faces=faces: recognizer.classify(faces),
            "all, one at a time": lambda data=data: recognizer.faces(data),
        }
        times = {stage: median_ms(work, options.rounds) for stage, work in stages.items()}
        began = time.perf_counter()
        frames = list(
            recognizer.frames([data] * options.pictures, names=map(str, range(options.pictures)))
        )
        each = (time.perf_counter() - began) / options.pictures
        labels = ", ".join(f"{face.label} {face[face.label]:.0%}" for face in answer) or "no face"
        print(f"{name}: {len(data) / 1e6:.1f} MB, {labels}")
        print("  " + "; ".join(f"{stage} {ms:.1f} ms" for stage, ms in times.items()))
        print(
            f"  decoded ahead in threads: {1 / each:.1f} photographs a second; {len(frames)} frames"
        )


def photograph(size: tuple[int, int]) -> bytes:
    portrait = Image.fromarray(astronaut()).resize((size[1], size[1]), Image.Resampling.BICUBIC)
    canvas = Image.new("RGB", size, (96, 110, 120))
    canvas.paste(portrait, ((size[0] - size[1]) // 2, 0))
    held = io.BytesIO()
    canvas.save(held, "JPEG", quality=90)
    return held.getvalue()


def median_ms(work: Callable[[], Any], rounds: int) -> float:
    work()
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return 1000 * float(np.median(times))


if __name__ == "__main__":
    main()
