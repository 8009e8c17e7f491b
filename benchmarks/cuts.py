"""How many cuts are found and how many are imagined in drawn films, beside PySceneDetect's.

    python benchmarks/cuts.py [--films 20] [--every 1]

Films of three seconds at 25 frames a second (tests/scenes.py) of one scene, in which every cut is
imagined, and of two, in which just one is right: from its first frame to five after it, or from the
fade on. PySceneDetect's detectors are asked too where `scenedetect` can be imported (it needs an
OpenCV that cannot lie beside mien's, so it is no dependency).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import harness
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from scenes import ONE_SCENE, TWO_SCENES, film

from mien.video.cuts import HEIGHT, WIDTH, with_cuts

Finder = Callable[[np.ndarray, float], list[int]]


def mien_cuts(frames: np.ndarray, rate: float) -> list[int]:
    def look(number: int) -> tuple[float, np.ndarray]:
        gray = cv2.cvtColor(frames[number], cv2.COLOR_RGB2GRAY)
        return number / rate, cv2.resize(gray, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)

    return [number for number, is_cut in with_cuts(range(len(frames)), look) if is_cut]


def scene_detect(name: str) -> Finder | None:
    try:
        import scenedetect
        from scenedetect import detectors
    except ImportError:
        return None

    def find(frames: np.ndarray, rate: float) -> list[int]:
        detector = getattr(detectors, name)(min_scene_len=1)
        found = []
        for number, frame in enumerate(frames):
            code = scenedetect.FrameTimecode(number, rate)
            found += detector.process_frame(code, np.ascontiguousarray(frame[..., ::-1]))
        return [getattr(one, "frame_num", one) for one in found]

    return find


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument("--films", type=int, default=20)
    parser.add_argument("--every", type=int, default=1, help="only every such frame is there")
    args = parser.parse_args()
    finders: dict[str, Finder] = {"mien": mien_cuts}
    for name in ("ContentDetector", "AdaptiveDetector", "HistogramDetector"):
        find = scene_detect(name)
        if find:
            finders[name] = find
    names = list(finders)
    print(f"{args.films} films a kind; imagined cuts / films whose cut was missed")
    print("| film | " + " | ".join(names) + " |\n| --- |" + " --- |" * len(names))
    for kind in (*ONE_SCENE, *TWO_SCENES):
        imagined, missed = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
        for seed in range(args.films):
            frames, begins = film(kind, seed)
            early = 30 if "fade" in kind else 1
            for name in names:
                found = finders[name](frames[:: args.every], 25 / args.every)
                found = [number * args.every for number in found]
                right = [n for n in found if begins and begins - early <= n <= begins + 25]
                imagined[name] += len(found) - min(1, len(right))
                missed[name] += begins is not None and not right
        cells = [f"{imagined[name]}" + (f" / {missed[name]}" if begins else "") for name in names]
        print(f"| {kind} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
