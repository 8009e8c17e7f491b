"""Videos in: true times, upright pictures, bounded memory, and an end to every damage. The films
are drawn here.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from mien.errors import DataError, UsageError
from mien.labels import LabelSet
from mien.results import Face, Frame, Quality
from mien.video import decoding
from mien.video import frames as reading
from mien.video.frames import VideoFrame, is_video, read_frames
from mien.video.recognize import parse_seconds, watch

LABELS = LabelSet(("happy", "sad"))


def film(
    path: Path,
    times_ms: Iterable[int],
    *,
    codec: str = "mpeg4",
    size: tuple[int, int] = (96, 64),
    rotation: float | None = None,
    options: dict[str, str] | None = None,
    lights: Sequence[tuple[int, int]] = ((10, 8),),
) -> Path:
    """Draw a video: a white square with its corner at each light, and a gray that tells the frame's
    number.
    """
    with av.open(str(path), "w", options=options or {}) as container:
        quick = {"preset": "veryfast"} if codec == "libx264" else {}
        stream = container.add_stream(codec, rate=30, options=quick)
        stream.width, stream.height = size
        stream.pix_fmt, stream.bit_rate = "yuv420p", 20_000_000
        stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        if rotation is not None:
            stream.set_display_rotation(rotation)
        noise = np.random.default_rng(0)
        for number, time_ms in enumerate(times_ms):
            image = np.full((size[1], size[0], 3), number % 50, np.uint8)
            image += noise.integers(0, 60, image.shape, np.uint8)  # so that frames weigh something
            for x, y in lights:
                image[y : y + 16, x : x + 16] = 255
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame.pts, frame.time_base = time_ms, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@dataclass
class _Detector:
    name: str = "lights"


class Lights:
    """Finds white squares, the left half of the picture happy, the right half sad, surer towards
    the edges.
    """

    labels = LABELS
    detector = _Detector()
    prior = "training"
    certain_from = 0.5

    def faces_in(self, image: np.ndarray) -> list[Face]:
        assert image.dtype == np.uint8 and image.flags.c_contiguous
        white = (image.min(2) > 180).any(0)
        edges = np.flatnonzero(np.diff(np.concatenate(([0], white, [0]))))
        faces = []
        for x0, x1 in zip(edges[::2], edges[1::2], strict=True):
            if x1 - x0 < 8:
                continue
            sad = float((x0 + x1) / 2 / image.shape[1])
            p = (1 - sad, sad)
            faces.append(
                Face(
                    box=(float(x0), 8.0, float(x1), 24.0),
                    score=0.9,
                    landmarks=None,
                    label=LABELS[int(sad > 0.5)],
                    probabilities=dict(zip(LABELS, p, strict=True)),
                    entropy=0.5,
                    quality=Quality(size_px=40.0, sharpness=1.0, turn=None),
                    uncertain=False,
                    reason="",
                )
            )
        return faces


def times(read: Iterable[VideoFrame | Frame]) -> list[float]:
    return [float(one.time_s or 0) for one in read]


# Times.


def test_joined_films_count_on_where_their_times_begin_anew(tmp_path: Path) -> None:
    parts = [
        film(tmp_path / f"{n}.ts", range(0, 40 * num, 40), codec="libx264")
        for n, num in enumerate((30, 20, 10))
    ]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    notes: list[str] = []
    found = times(watch(joined, Lights(), draw=tmp_path / "copy.mp4", tell=notes.append))
    assert len(found) == 60
    assert found[0] == 0 and np.diff(found).min() > 0.03 and np.diff(found).max() < 0.1
    assert any("times start again at 1.20 s and 1 more time" in note for note in notes), notes
    copied = times(read_frames(tmp_path / "copy.mp4"))
    np.testing.assert_allclose(copied, found, atol=0.001)
    looks = times(read_frames(joined, every=0.2))
    np.testing.assert_allclose(looks, np.arange(0, 2.4, 0.2), atol=0.041)


UNEVEN = [0, 33, 67, 500, 511, 900, 1500]


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "mpeg4"),
        ("a.mp4", "libx264"),
        ("a.mkv", "mpeg4"),
        ("a.webm", "libvpx"),
        ("a.mov", "mpeg4"),
    ],
)
def test_uneven_times_are_true(tmp_path: Path, name: str, codec: str) -> None:
    read = list(read_frames(film(tmp_path / name, UNEVEN, codec=codec)))
    assert [shot.index for shot in read] == list(range(7))
    assert times(read) == pytest.approx([ms / 1000 for ms in UNEVEN], abs=0.001)
    assert all(
        shot.image is not None and shot.image.shape == (64, 96, 3) and not shot.error
        for shot in read
    )


def test_a_first_frame_that_comes_late_stays_late(tmp_path: Path) -> None:
    assert times(read_frames(film(tmp_path / "a.mp4", [500, 540, 900]))) == pytest.approx(
        [0.5, 0.54, 0.9], abs=0.001
    )


def test_formats_without_a_zero_count_from_their_start(tmp_path: Path) -> None:
    path = film(tmp_path / "a.ts", [ms + 5000 for ms in UNEVEN], codec="libx264")
    assert times(read_frames(path)) == pytest.approx([ms / 1000 for ms in UNEVEN], abs=0.001)


def test_every_takes_the_first_frame_of_each_step(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", range(0, 2000, 40))
    read = list(read_frames(path, every=0.2))
    assert times(read) == pytest.approx([0.2 * k for k in range(10)], abs=0.001)
    assert [shot.index for shot in read] == list(range(0, 50, 5))
    uneven = film(tmp_path / "b.mp4", [0, 90, 190, 210, 1010, 1150, 1250])
    assert times(read_frames(uneven, every=0.2)) == pytest.approx([0, 0.21, 1.01, 1.25], abs=0.001)
    assert len(list(read_frames(path, every=0.001))) == 50


# The right way up.


@pytest.mark.parametrize(
    ("rotation", "shape", "corner"),
    [
        (None, (64, 96), (0, 0)),
        (90, (96, 64), (1, 0)),
        (180, (64, 96), (1, 1)),
        (270, (96, 64), (0, 1)),
    ],
)
def test_turned_videos_come_upright(
    tmp_path: Path, rotation: float | None, shape: tuple[int, int], corner: tuple[int, int]
) -> None:
    """The angle is counterclockwise, as FFmpeg counts it: a light at the top left is then at the
    bottom left.
    """
    path = film(tmp_path / "a.mp4", [0, 40], rotation=rotation, lights=[(0, 0)])
    image = next(read_frames(path)).image
    assert image is not None and image.shape == (*shape, 3)
    bright = {
        (down, right): bool(image[-4 if down else 4, -4 if right else 4].min() > 200)
        for down in (0, 1)
        for right in (0, 1)
    }
    assert bright == {place: place == corner for place in bright}


def test_mirrored_videos_come_upright(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.set_display_rotation(90, hflip=True)
        image = np.zeros((64, 96, 3), np.uint8)
        image[:16, :16] = 255
        container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(stream.encode())
    shown = next(read_frames(path)).image
    with av.open(
        str(path)
    ) as container:  # FFmpeg's matrix, point by point: (x, y) -> (a x + c y, b x + d y)
        data = next(container.decode(video=0)).side_data["DISPLAYMATRIX"]
        (a, b), (c, d) = np.sign(np.frombuffer(memoryview(data), np.int32).reshape(3, 3)[:2, :2])
    x, y = 4, 4
    right, down = a * x + c * y, b * x + d * y
    assert shown is not None and shown.shape == (96, 64, 3)
    assert (
        shown[down, right].min() > 200
    )  # negative places count from the far edge, as the shift would move them


def test_oblong_pixels_are_stretched(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        container.mux(
            stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 96, 3), np.uint8), "rgb24"))
        )
        container.mux(stream.encode())
    image = next(read_frames(path)).image
    assert image is not None and image.shape == (64, 128, 3)


# Damage.


def refused(path: str | Path) -> DataError:
    with pytest.raises(DataError) as caught:
        list(read_frames(path))
    return caught.value


def test_files_without_a_picture_are_refused(tmp_path: Path) -> None:
    audio = tmp_path / "a.m4a"
    with av.open(str(audio), "w") as container:
        stream = container.add_stream("aac", rate=44_100)
        stream.layout = "mono"
        for k in range(8):
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            sound.sample_rate, sound.pts = 44_100, k * 1024
            container.mux(stream.encode(sound))
        container.mux(stream.encode())
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "random.mp4").write_bytes(np.random.default_rng(0).bytes(20_000))
    (tmp_path / "letters.txt").write_text("hello\n" * 400)
    with av.open(str(tmp_path / "none.mkv"), "w") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        container.start_encoding()
    assert "audio only" in refused(audio).got
    assert "0 bytes" in refused(tmp_path / "empty.mp4").got
    assert "cannot be opened" in refused(tmp_path / "random.mp4").got
    assert "not a video" in refused(tmp_path / "letters.txt").got
    assert "at least one frame" in refused(tmp_path / "none.mkv").expected
    assert "no such file" in refused(tmp_path / "absent.mp4").got
    assert "folder" in refused(tmp_path).got


def test_a_file_that_names_other_files_reads_none_of_them(tmp_path: Path) -> None:
    film(tmp_path / "a.mp4", [0, 40])
    (tmp_path / "list.m3u8").write_text(
        "#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n"
    )
    assert (
        "cannot be opened" in refused(tmp_path / "list.m3u8").got
        or "no frame" in refused(tmp_path / "list.m3u8").got
    )


def test_an_mp4_that_lost_its_index_is_refused(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", range(0, 2000, 40))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "lost its index" in refused(path).fix


@pytest.mark.parametrize(
    ("name", "options"), [("a.mp4", {"movflags": "faststart"}), ("a.mkv", {}), ("a.avi", {})]
)
def test_a_file_that_breaks_off_gives_what_it_has_and_says_so(
    tmp_path: Path, name: str, options: dict[str, str]
) -> None:
    path = film(tmp_path / name, range(0, 4000, 40), options=options)
    whole = list(read_frames(path))
    assert len(whole) == 100 and not any(shot.error for shot in whole)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    notes: list[str] = []
    read = list(read_frames(path, tell=notes.append))
    assert 20 < len(read) < 80
    assert not any(shot.error for shot in read[:-1])
    assert read[-1].image is None and "ends early here" in read[-1].error
    assert read[-1].index == len(read) - 1
    assert any("ends early, after" in note and "of 3.99 s" in note for note in notes)
    sparse = list(read_frames(path, every=1.0))
    assert "ends early here" in sparse[-1].error


def test_frames_that_cannot_be_decoded_have_a_place(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", range(0, 4000, 40), codec="libx264")
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    data = bytearray(path.read_bytes())
    for start, size in packets[30:33]:
        data[start + 4 : start + size] = bytes(size - 4)
    path.write_bytes(data)
    notes: list[str] = []
    read = list(read_frames(path, tell=notes.append))
    broken = [shot for shot in read if shot.error]
    assert len(read) == 100 and len(broken) >= 1
    assert [shot.index for shot in read] == list(range(100))
    assert times(read) == sorted(times(read))
    assert all(1.0 < shot.time_s < 1.6 for shot in broken)
    assert any(f"{len(broken)} of 100 frames could not be decoded" in note for note in notes)
    assert len(list(read_frames(path, every=0.2))) == 20  # the next good frame is taken


def test_bytes_flipped_anywhere_never_crash(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", range(0, 1000, 40), size=(48, 32))
    whole = path.read_bytes()
    rng = np.random.default_rng(5)
    outcomes = {"read": 0, "refused": 0}
    for _ in range(60):
        data = bytearray(whole)
        for place in rng.integers(0, len(data), 20):
            data[place] = rng.integers(256)
        path.write_bytes(
            data[: rng.integers(len(data) // 2, len(data) + 1)] if rng.random() < 0.3 else data
        )
        try:
            read = list(read_frames(path))
            assert all((shot.image is None) == bool(shot.error) for shot in read)
            outcomes["read"] += 1
        except DataError:
            outcomes["refused"] += 1
    assert outcomes["read"] > 10 and outcomes["refused"] > 5


def test_a_stream_that_falls_silent_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "STALL_S", 1.0)
    data = film(tmp_path / "a.ts", range(0, 4000, 40), codec="libx264").read_bytes()
    server = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            connection.sendall(data[: len(data) * 3 // 4])
            over.wait(30)

    sender = threading.Thread(target=serve)
    sender.start()
    notes: list[str] = []
    try:
        read = list(read_frames(f"tcp://127.0.0.1:{server.getsockname()[1]}", tell=notes.append))
    finally:
        over.set()
        sender.join()
        server.close()
    assert len(read) > 50
    assert read[-1].error == "the video ends early here (no data for 1 s)"
    assert len(notes) >= 1


# Memory, threads.


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6


needs_proc = pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="memory is read from /proc"
)


@needs_proc
def test_memory_is_flat_over_a_long_video(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv", range(0, 12_000, 40), size=(640, 360))
    sizes, number = [], 0
    for shot in read_frames(path):
        number = shot.index
        if shot.index in (60, 299):
            sizes.append(resident_mb())
    assert number == 299
    assert sizes[1] - sizes[0] < 25  # the pictures between weigh 165 MB


@needs_proc
def test_decoding_waits_for_a_slow_reader(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv", range(0, 4000, 40), size=(640, 360))
    with_first = read_frames(path)
    next(with_first)
    before = resident_mb()
    time.sleep(1.0)
    assert resident_mb() - before < 25  # all hundred would weigh 69 MB
    with_first.close()


def test_closing_early_ends_the_thread(tmp_path: Path) -> None:
    read = read_frames(film(tmp_path / "a.mkv", range(0, 8000, 40)))
    next(read)
    assert any(thread.name == "mien-video" for thread in threading.enumerate())
    read.close()
    assert not any(thread.name == "mien-video" for thread in threading.enumerate())


# Cameras. OpenCV opens a file as it opens a device, so one stands in for the camera.


def test_a_camera_gives_frames_until_it_stops(tmp_path: Path) -> None:
    path = film(tmp_path / "a.avi", range(0, 120, 40))
    read = list(read_frames(f"camera:{path}"))
    assert [shot.image is None for shot in read] == [False, False, False, True]
    assert "no more frames" in read[-1].error
    assert times(read) == sorted(times(read)) and read[0].time_s == 0
    image = read[0].image
    assert image is not None and image[16, 18].min() > 200 and image.shape == (64, 96, 3)


def test_a_camera_does_not_wait_for_a_slow_reader(tmp_path: Path) -> None:
    path = film(tmp_path / "a.avi", range(0, 4000, 40))
    notes: list[str] = []
    seen = []
    for shot in read_frames(f"camera:{path}", tell=notes.append):
        seen.append(shot.index)
        time.sleep(0.2 if len(seen) == 1 else 0)
    assert len(seen) < 100 and seen == sorted(seen)
    assert any("faster than they" in note for note in notes)


def test_no_camera() -> None:
    assert "a camera that cannot be opened" in refused("camera:63").got


def test_a_camera_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that never answers, after a frame or before: there is no device to hang here."""
    monkeypatch.setattr(decoding, "STALL_S", 0.5)
    over = threading.Event()

    def hangs(after: int) -> list[VideoFrame]:
        def frames(source: str) -> Iterable[decoding.RawFrame]:
            for k in range(after):
                yield decoding.RawFrame(k / 25, lambda: np.zeros((8, 8, 3), np.uint8))
            over.wait(30)

        monkeypatch.setattr(reading, "camera_frames", frames)
        return list(read_frames("camera:0"))

    try:
        read = hangs(2)
        assert [bool(shot.error) for shot in read] == [False, False, True]
        with pytest.raises(DataError, match="no frame within"):
            hangs(0)
    finally:
        over.set()


# Watching.


def test_one_frame_for_every_frame_faces_or_none(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", UNEVEN, lights=[(4, 8), (70, 8)])
    frames = list(watch(path, Lights(), smooth_s=0))
    assert times(frames) == pytest.approx([ms / 1000 for ms in UNEVEN], abs=0.001)
    assert [len(frame.faces) for frame in frames] == [2] * 7
    assert {
        (frame.source, frame.width, frame.height, frame.detector, frame.error) for frame in frames
    } == {(str(path), 96, 64, "lights", None)}
    assert [[(face.track, face.label) for face in frame.faces] for frame in frames] == [
        [(0, "happy"), (1, "sad")]
    ] * 7
    assert all(face.raw == face.probabilities for frame in frames for face in frame.faces) or all(
        np.allclose(np.asarray(face.raw), np.asarray(face.probabilities))
        for frame in frames
        for face in frame.faces
    )
    empty = list(watch(film(tmp_path / "b.mp4", UNEVEN, lights=[]), Lights()))
    assert [frame.faces for frame in empty] == [()] * 7


def test_probabilities_are_smoothed_and_the_raw_ones_kept(tmp_path: Path) -> None:
    class Flips(Lights):
        """Changes its mind at once after two seconds."""

        num = 0

        def faces_in(self, image: np.ndarray) -> list[Face]:
            self.num += 1
            p = (0.9, 0.1) if self.num <= 50 else (0.1, 0.9)
            return [
                Face(
                    (10.0, 8.0, 26.0, 24.0),
                    0.9,
                    None,
                    LABELS[int(p[1] > 0.5)],
                    dict(zip(LABELS, p, strict=True)),
                    0.5,
                    Quality(40.0, 1.0, None),
                    False,
                    "",
                )
            ]

    frames = list(watch(film(tmp_path / "a.mp4", range(0, 4000, 40)), Flips(), smooth_s=0.4))
    shown = np.array([frame.faces[0].probabilities for frame in frames])
    raw = np.array([frame.faces[0].raw for frame in frames])
    np.testing.assert_allclose(raw[:50], [[0.9, 0.1]] * 50)
    np.testing.assert_allclose(raw[50:], [[0.1, 0.9]] * 50)
    np.testing.assert_allclose(shown.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(
        shown[59, 1], 0.1 + 0.8 * (1 - np.exp(-1)), atol=1e-4
    )  # 0.4 s after the change
    labels = [frame.faces[0].label for frame in frames]
    change = labels.index("sad")
    assert 50 < change < 60 and set(labels[change:]) == {"sad"}
    near = frames[change].faces[0]
    assert near.entropy > 0.9 and near.top == ("sad", max(near.probabilities.values()))


def test_breaking_off_is_a_frame_with_an_error(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv", range(0, 4000, 40))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames = list(watch(path, Lights()))
    assert frames[-1].error is not None and "ends early" in frames[-1].error
    assert frames[-1].faces == () and frames[-1].width == 96
    assert all(frame.error is None for frame in frames[:-1])


def test_a_copy_is_drawn_at_the_same_times(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", [0, 40, 300, 1000], size=(320, 240), lights=[(150, 60)])
    frames = list(watch(path, Lights(), draw=tmp_path / "drawn.mp4"))
    copy = list(read_frames(tmp_path / "drawn.mp4"))
    assert times(copy) == pytest.approx(times(frames), abs=0.001)
    plain = list(read_frames(path))
    assert copy[0].image is not None and plain[0].image is not None
    changed = np.abs(copy[0].image.astype(int) - plain[0].image).max(2) > 90
    assert 200 < changed.sum() < 0.5 * changed.size


def test_an_interrupted_watch_leaves_a_copy_that_plays(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", range(0, 4000, 40))
    watching = watch(path, Lights(), draw=tmp_path / "drawn.mp4")
    for _ in range(10):
        next(watching)
    watching.close()
    assert len(list(read_frames(tmp_path / "drawn.mp4"))) == 10


@pytest.mark.parametrize(
    "options",
    [
        *({"every": 0.0}, {"every": -1.0}, {"every": float("nan")}, {"every": "0.2s"}),
        *({"smooth_s": -1.0}, {"smooth_s": "0.3s"}, {"smooth_s": None}),
    ],
)
def test_options_that_cannot_be_meant(options: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        watch("absent.mp4", Lights(), **options)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="expected one of .mp4"):
        next(watch("absent.mp4", Lights(), draw="drawn.gif"))


# Small things.


def test_names_of_videos() -> None:
    assert all(map(is_video, ("a.MP4", "b.mkv", "camera:0", "rtsp://x/y", Path("c/d.webm"))))
    assert not any(map(is_video, ("a.jpg", "movie", "c:/x.png", "mp4", "ftp://x/y")))


@pytest.mark.parametrize(
    ("text", "seconds"), [("0.2s", 0.2), ("200ms", 0.2), ("2", 2), ("1min", 60), (" 1.5 S ", 1.5)]
)
def test_spans(text: str, seconds: float) -> None:
    assert parse_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "0s", "-1s", "nan", "inf s", "5 frames", "1h30"])
def test_what_is_no_span(text: str) -> None:
    with pytest.raises(UsageError, match="expected a time"):
        parse_seconds(text)
