"""Frames a second of `watch` at 720p with one and with five faces, and peak memory of one minute
against ten.

    python benchmarks/video_speed.py
    python benchmarks/video_speed.py --only memory --every 0.2

The films are drawn: faces of `mien.data.synthetic` that move over a picture. Speed is that of the
whole way (decode, find, follow, classify, smooth), beside decoding alone and beside the same with
the annotated copy. For memory each film is watched in a process of its own, with a CSV, a drawn
copy and timelines, as `mien predict` would; the ten minutes are the one minute ten times over.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import cv2
import harness
import numpy as np

import mien
from mien.data.synthetic import draw_faces
from mien.results.writers import open_writer
from mien.video.frames import read_frames
from mien.video.recognize import watch
from mien.video.timeline import Timelines
from mien.vision.detect import find_detector

SIZE, RATE = (1280, 720), 25


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument("--bundle", default="shipped")
    parser.add_argument("--detector-model", type=Path, help="file with YuNet's weights")
    parser.add_argument(
        "--seconds",
        type=float,
        default=8,
        help="length of the films whose frames a second are measured",
    )
    parser.add_argument(
        "--every", type=float, help="for memory: seconds between the frames looked at"
    )
    parser.add_argument("--minutes", type=int, nargs=2, default=(1, 10), help="for memory")
    parser.add_argument("--only", choices=("speed", "memory"))
    parser.add_argument("--watch", nargs=2, metavar=("FILM", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.watch:
        return watch_and_weigh(*map(Path, options.watch), options)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.only != "memory":
            speed(folder, options)
        if options.only != "speed":
            memory(folder, options)


def draw_film(path: Path, num_faces: int, seconds: float) -> Path:
    """Faces of 100 to 180 pixels that sway over a picture of soft colours; MPEG-4, 25 frames a
    second.
    """
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    scenery = np.stack(
        [100 + 40 * np.sin(x / 97), 120 + 30 * np.cos(y / 71), 110 + 20 * np.sin((x + y) / 83)], 2
    )
    scenery = scenery.astype(np.uint8)
    faces = draw_faces(np.array([3, 6, 0, 5, 4])[:num_faces], seed=1)
    sides = [100 + 20 * k for k in range(5)][-num_faces:]
    with av.open(str(path), "w") as film:
        stream = film.add_stream("mpeg4", rate=RATE)
        stream.width, stream.height = SIZE
        stream.pix_fmt, stream.bit_rate = "yuv420p", 6_000_000
        for number in range(round(seconds * RATE)):
            image = scenery.copy()
            for k, (face, side) in enumerate(zip(faces, sides, strict=True)):
                left = round(
                    (k + 0.5) * SIZE[0] / num_faces
                    - side / 2
                    + 25 * np.sin(number / RATE * 1.7 + k)
                )
                top = round(240 + 60 * np.sin(number / RATE * 0.9 + 2 * k))
                image[top : top + side, left : left + side] = cv2.resize(face, (side, side))[
                    :, :, None
                ]
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            film.mux(stream.encode(frame))
        film.mux(stream.encode())
    return path


def repeat_film(path: Path, times: int, target: Path) -> Path:
    """The film several times over, without encoding it again."""
    with av.open(str(target), "w") as out:
        stream = None
        offset = 0
        for _ in range(times):
            with av.open(str(path)) as film:
                source = film.streams.video[0]
                stream = stream or out.add_stream_from_template(source)
                end = offset
                for packet in film.demux(source):
                    if packet.dts is None or packet.pts is None:
                        continue
                    packet.pts, packet.dts = packet.pts + offset, packet.dts + offset
                    end = max(end, packet.pts + round(1 / RATE / source.time_base))
                    packet.stream = stream
                    out.mux(packet)
                offset = end
    return target


def speed(folder: Path, options: argparse.Namespace) -> None:
    with mien.load(
        options.bundle, detector=find_detector(model=options.detector_model)
    ) as recognizer:
        for num_faces in (1, 5):
            film = draw_film(folder / f"{num_faces}.mkv", num_faces, options.seconds)
            next(watch(film, recognizer))  # loads what is loaded once
            began = time.perf_counter()
            num_frames = sum(1 for _ in read_frames(film))
            decoding = time.perf_counter() - began
            began = time.perf_counter()
            found = [len(frame.faces) for frame in watch(film, recognizer)]
            watching = time.perf_counter() - began
            began = time.perf_counter()
            sum(1 for _ in watch(film, recognizer, draw=folder / "copy.mp4"))
            drawing = time.perf_counter() - began
            print(
                f"{SIZE[0]} x {SIZE[1]}, {num_faces} faces ({np.mean(found):.2f} found): "
                f"{num_frames / watching:.1f} frames/s; with a drawn copy "
                f"{num_frames / drawing:.1f}; decoding alone {num_frames / decoding:.0f} (n = "
                f"{num_frames} frames)",
                flush=True,
            )


def memory(folder: Path, options: argparse.Namespace) -> None:
    minute = draw_film(folder / "minute.mkv", 1, 60)
    peaks = []
    for minutes in options.minutes:
        film = repeat_film(minute, minutes, folder / f"{minutes}.mkv")
        command = [
            sys.executable,
            __file__,
            "--watch",
            str(film),
            str(folder),
            "--bundle",
            options.bundle,
        ]
        command += (
            ["--detector-model", str(options.detector_model)] if options.detector_model else []
        )
        command += ["--every", str(options.every)] if options.every else []
        path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
        done = subprocess.run(
            command,
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        told = json.loads(done.stdout)
        peaks.append(told["peak_mb"])
        print(
            f"{minutes} min: peak {told['peak_mb']:.0f} MB, {told['num_frames']} frames looked at",
            flush=True,
        )
    print(f"difference {peaks[1] - peaks[0]:+.0f} MB")


def watch_and_weigh(film: Path, folder: Path, options: argparse.Namespace) -> None:
    import resource

    num_frames = 0
    with mien.load(
        options.bundle, detector=find_detector(model=options.detector_model)
    ) as recognizer:
        timelines = Timelines(recognizer.labels)
        with open_writer(
            folder / "table.csv", "csv", labels=recognizer.labels.names, raw=True
        ) as writer:
            for frame in watch(film, recognizer, every=options.every, draw=folder / "copy.mp4"):
                writer.write(frame)
                timelines.add(frame)
                num_frames += 1
        timelines.write(folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        1e6 if sys.platform == "darwin" else 1e3
    )
    print(json.dumps({"peak_mb": peak, "num_frames": num_frames}))


if __name__ == "__main__":
    main()
