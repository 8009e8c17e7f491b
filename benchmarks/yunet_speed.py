"""How long one look for faces takes: YuNet in ONNX Runtime beside OpenCV's FaceDetectorYN.

    MIEN_YUNET=FILE python benchmarks/yunet_speed.py [--rounds 7]

The picture is scikit-image's portrait of an astronaut, four times, resized. Both look at it turn by
turn, on one thread; the figures are the fastest of the rounds, and the largest difference of
boxes and landmarks in pixels.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import cv2
import harness
import numpy as np
from skimage.data import astronaut

from mien.vision.yunet import MIN_SCORE, YuNet
from mien.vision.yunet_weights import yunet_weights

SIZES = ((320, 240), (640, 480), (1280, 720), (1920, 1080), (2560, 1920))


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    cv2.setNumThreads(1)
    weights = yunet_weights()
    ours = YuNet(weights)
    print(f"n = {rounds} rounds, one thread, fastest of each")
    for size in SIZES:
        small = cv2.resize(np.tile(astronaut(), (2, 2, 1)), size, interpolation=cv2.INTER_AREA)
        bgr = np.ascontiguousarray(small[:, :, ::-1])
        peer = cv2.FaceDetectorYN.create(str(weights), "", size, MIN_SCORE, 0.3, 5000)
        times: dict[str, list[float]] = {"OpenCV": [], "ONNX Runtime": []}
        for _ in range(rounds):
            times["OpenCV"].append(seconds(peer.detect, bgr))
            times["ONNX Runtime"].append(seconds(ours._look, small, np.ones(2, np.float32)))
        _, rows = peer.detect(bgr)
        expected = np.array(rows, np.float32)
        expected[:, 2:4] += expected[:, :2]
        found = ours._look(small, np.ones(2, np.float32))
        before, after = (1000 * min(values) for values in times.values())
        print(
            f"{size[0]} x {size[1]}: OpenCV {before:.1f} ms, ONNX Runtime {after:.1f} ms, "
            f"{before / after:.2f} times as fast; {len(found)} faces, "
            f"differ by {np.abs(found[:, :14] - expected[:, :14]).max():.1e} px"
        )


def seconds(work: Callable[..., object], *given: object) -> float:
    began = time.perf_counter()
    work(*given)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
