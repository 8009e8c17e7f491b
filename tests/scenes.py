"""Drawn films of one scene or of two, with what makes a cut hard to tell: motion, flashes, light,
fades. Also for benchmarks/cuts.py.
"""

from __future__ import annotations

import cv2
import numpy as np

from mien.data.synthetic import draw_faces

WIDTH, HEIGHT = 160, 120
ONE_SCENE = (
    *("still", "handheld", "shaky", "pan", "whip", "large_face"),
    *("flash", "light_switch", "strobe", "exposure"),
)
TWO_SCENES = ("cut", "cut_in_motion", "fade_black", "fade_white", "quick_fade", "cross_fade")


def film(kind: str, seed: int, *, num: int = 75, rate: float = 25) -> tuple[np.ndarray, int | None]:
    """Frames uint8 RGB (T, 120, 160, 3), and at which of them the second scene begins, or None."""
    rng = np.random.default_rng((seed, *kind.encode()))
    if kind in ONE_SCENE:
        return _grain(_scene(kind, rng, num, rate), rng), None
    motions = ("large_face", "pan") if kind == "cut_in_motion" else ("still", "handheld", "shaky")
    motion = str(rng.choice(motions))
    one, other = (_scene(motion, rng, num // 2, rate) for _ in range(2))
    begins = len(one)
    if kind in ("fade_black", "fade_white", "quick_fade"):
        end = 255.0 if kind == "fade_white" else 0.0
        long = int(rng.choice((3, 5) if kind == "quick_fade" else (10, 16, 22)))
        weights = np.linspace(1, 0, long + 1)[1:, None, None, None]
        one[-long:] = one[-long:] * weights + end * (1 - weights)
        other[:long] = other[:long] * weights[::-1] + end * (1 - weights[::-1])
        blank = np.full((int(rng.choice((0, 2, 8))), HEIGHT, WIDTH, 3), end)
        one, begins = np.concatenate([one, blank]), len(one) + len(blank)
    if kind == "cross_fade":
        long = min(int(rng.choice((10, 18, 25))), num // 2 - 8)
        weights = np.linspace(1, 0, long + 2)[1:-1, None, None, None]
        mixed = one[-long:] * weights + other[:long] * (1 - weights)
        one, other = np.concatenate([one[:-long], mixed]), other[long:]
        begins = len(one)
    return _grain(np.concatenate([one, other]), rng), begins


def _scene(kind: str, rng: np.random.Generator, num: int, rate: float) -> np.ndarray:
    """float64 (num, 120, 160, 3)."""
    times = np.arange(num) / rate
    wide = 8 if kind in ("pan", "whip") else 2
    place = _place(rng, wide)
    x = np.full(num, place.shape[1] / 2)
    y = np.full(num, place.shape[0] / 2)
    zoom = np.exp(rng.uniform(-0.15, 0.15) * times)
    if kind in ("handheld", "shaky", "flash", "light_switch", "strobe", "exposure"):
        force = (3.0 if kind == "shaky" else 0.5) * np.sqrt(25 / rate)
        speed = np.zeros(2)
        for i in range(num):
            speed = 0.85 * speed + rng.normal(0, force, 2)
            x[i], y[i] = x[i - 1] + speed[0], y[i - 1] + speed[1]
        x, y = (np.clip(v - v.mean() + v[0], v[0] - 40, v[0] + 40) for v in (x, y))
    if kind in ("pan", "whip"):
        pace = rng.uniform(1.5, 6) if kind == "pan" else rng.uniform(12, 28)
        gentle = np.clip(np.minimum(times - 0.4, times[-1] - 0.4 - times) / 0.25, 0, 1)
        x = np.minimum(WIDTH / 2 + np.cumsum(pace * gentle) * 25 / rate, place.shape[1] - WIDTH / 2)
    frames = np.stack([_view(place, *one) for one in zip(x, y, zoom, strict=True)])
    if kind in ("pan", "whip"):  # shutter open for half the time
        blur = np.maximum(1, np.abs(np.gradient(x)) / 2).astype(int)
        frames = np.stack([cv2.blur(f, (int(b), 1)) for f, b in zip(frames, blur, strict=True)])
    if kind == "large_face":
        _put_face(frames, times, rng)
    return np.clip(frames * _light(kind, rng, num)[:, None, None, None], 0, 255)


def _place(rng: np.random.Generator, wide: int) -> np.ndarray:
    """A background: patches of light and colour of several sizes, things with edges, and people."""
    height, width = 2 * HEIGHT, wide * WIDTH
    place = np.full((height, width, 3), rng.uniform(40, 190, 3))
    for size in (80, 30, 10, 3):
        small = rng.normal(0, 1, (height // size + 2, width // size + 2, 3))
        grown = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
        place += rng.uniform(10, 35) * (grown.mean(2, keepdims=True) + 0.3 * grown)
    for _ in range(6 * wide):
        left, top = rng.integers(0, width), rng.integers(0, height)
        shape = (slice(top, top + rng.integers(8, 90)), slice(left, left + rng.integers(8, 70)))
        place[shape] = 0.3 * place[shape] + 0.7 * rng.uniform(0, 255, 3)
    for _ in range(wide):
        face = _face(rng, int(rng.integers(40, 110)))
        left, top = rng.integers(0, width - len(face)), rng.integers(0, height - len(face))
        place[top : top + len(face), left : left + len(face)] = face
    return np.clip(place, 0, 255)


def _face(rng: np.random.Generator, side: int) -> np.ndarray:
    drawn = draw_faces(rng.integers(0, 7, 1), int(rng.integers(1 << 30)))[0]
    return np.repeat(cv2.resize(drawn, (side, side))[..., None], 3, 2).astype(np.float64)


def _view(place: np.ndarray, x: float, y: float, zoom: float) -> np.ndarray:
    move = np.array([[zoom, 0, WIDTH / 2 - zoom * x], [0, zoom, HEIGHT / 2 - zoom * y]])
    seen = cv2.warpAffine(place, move, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)
    return np.asarray(seen, np.float64)


def _put_face(frames: np.ndarray, times: np.ndarray, rng: np.random.Generator) -> None:
    """A face of half the picture that sways quickly in front of it."""
    face, far, often = _face(rng, 84), rng.uniform(15, 36), rng.uniform(0.5, 2.2)
    inside = np.zeros((84, 84), np.float64)
    cv2.ellipse(inside, (42, 42), (34, 41), 0, 0, 360, 1, -1)
    for frame, time_s in zip(frames, times, strict=True):
        left = round(38 + far * np.sin(2 * np.pi * often * time_s))
        part = frame[20:104, left : left + 84]
        part += inside[..., None] * (face - part)


def _light(kind: str, rng: np.random.Generator, num: int) -> np.ndarray:
    light = np.ones(num)
    if kind == "flash":
        for start in rng.integers(5, num - 8, 3):
            light[start : start + rng.integers(1, 4)] = rng.choice((1.6, 2.5, 4, 10))
    elif kind == "light_switch":
        light[num // 2 :] = rng.choice((0.25, 0.4, 1.6))
    elif kind == "strobe":
        light[5 :: int(rng.choice((2, 3, 5)))] = rng.choice((0.1, 0.3, 3))
    elif kind == "exposure":
        ends = (1, 1, rng.choice((0.4, 1.7)), rng.choice((0.4, 1, 1.7)))
        light = np.interp(np.arange(num), np.array((0, 0.3, 0.6, 1)) * num, ends)
    return light


def _grain(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    noise = rng.normal(0, rng.choice((1, 3, 8)), frames.shape)
    return np.clip(frames + noise, 0, 255).astype(np.uint8)
