"""The page's modules against the library's: numbers as Python writes them, tracks, smoothing,
marks.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import cv2
import numpy as np
import pytest
from browsing import Page

from mien.bundle import open_bundle
from mien.bundle.answer import TEMPERATURE, rule_under
from mien.video import cuts
from mien.video.smoothing import Smoother
from mien.video.tracker import Tracker, assign
from mien.vision import head_pose


def call(page: Page, module: str, body: str, *values: Any) -> Any:
    """What a function with the module's exports as `m` makes of some values."""
    code = f"async (values) => {{ const m = await import('./{module}'); {body} }}"
    return page.page.evaluate(code, list(values))


@pytest.fixture
def numbers() -> list[float]:
    made = np.random.default_rng(0)
    wide = made.normal(size=2000) * 10.0 ** made.integers(-12, 20, 2000)
    single = made.dirichlet(np.ones(7), 300).astype(np.float32).ravel()
    edges = [0.0, -0.0, 1.0, 1e-4, 9.999e-5, 1e-5, 1e-7, 1e15, 1e16, 123456789.0, 1234567890.0, 0.5]
    return [*map(float, wide), *map(float, single), *edges]


def test_floats_are_written_as_python_writes_them(page: Page, numbers: list[float]) -> None:
    text = call(page, "export.mjs", "return values[0].map(m.pythonFloat)", numbers)
    assert text == [repr(number) for number in numbers]
    text = call(page, "export.mjs", "return values[0].map(m.nineDigits)", numbers)
    assert text == [format(number, ".9g") for number in numbers]


def test_texts_are_written_as_python_writes_them(page: Page) -> None:
    texts = ["plain", 'a"b\\c/d', "caf\u00e9 \u4e2d\u6587 \U0001f600", "\x00\x1f\x7f\t\n", "\u2028"]
    text = call(page, "export.mjs", "return values[0].map((one) => m.pythonJson(one))", texts)
    assert text == [json.dumps(one) for one in texts]


def test_markers_are_a_bids_table(page: Page) -> None:
    marks = [{"time_s": 1.5, "name": "mark 1"}, {"time_s": 2, "name": "a\tb\nc"}]
    text = call(page, "export.mjs", "return m.markersTsv(values[0])", marks)
    assert text == "onset\tduration\ttrial_type\n1.5\t0.0\tmark 1\n2.0\t0.0\ta b c\n"


def walk(seed: int) -> list[tuple[float, list[list[float]]]]:
    """Boxes of people who cross, vanish and come back, at uneven times."""
    made = np.random.default_rng(seed)
    centre = made.uniform(100, 500, (4, 2))
    speed = made.normal(0, 120, (4, 2))
    time, looks = 0.0, []
    for _ in range(60):
        step = float(made.uniform(0.03, 0.3))
        time += step
        centre = centre + speed * step
        seen = [i for i in range(4) if made.random() > 0.2]
        boxes = [[*(centre[i] - 40), *(centre[i] + 40 + 3 * i)] for i in made.permutation(seen)]
        looks.append((time, [[float(value) for value in box] for box in boxes]))
    return looks


@pytest.mark.parametrize("seed", range(4))
def test_people_have_the_librarys_numbers(page: Page, seed: int) -> None:
    looks = walk(seed)
    tracker = Tracker()
    expected = [tracker.update(time, np.array(boxes).reshape(-1, 4)) for time, boxes in looks]
    body = "const t = new m.Tracker(); return values[0].map(([at, boxes]) => t.update(at, boxes))"
    assert call(page, "track.mjs", body, looks) == expected
    assert max(max(numbers, default=0) for numbers in expected) >= 3


def test_pictures_are_as_far_apart_as_in_the_library(page: Page) -> None:
    made = np.random.default_rng(5)
    looks = [
        cv2.GaussianBlur(made.integers(0, 256, (cuts.HEIGHT, cuts.WIDTH), np.uint8), (0, 0), sigma)
        for sigma in (0.5, 1, 2, 4, 8, 16)
    ]
    pairs = [(one, other) for one in looks for other in looks]
    body = "return values[0].map(([a, b]) => m.distances(m.lookOf(a), m.lookOf(b)))"
    lists = [[one.ravel().tolist(), other.ravel().tolist()] for one, other in pairs]
    found = call(page, "cuts.mjs", body, lists)
    seen = [(cuts._features_of(0, one), cuts._features_of(0, other)) for one, other in pairs]
    expected = [(cuts._pattern_distance(*two), cuts._block_distance(*two)) for two in seen]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert max(block for _, block in expected) > cuts._BLOCK_ALONE


def test_a_cut_is_another_picture_not_light_or_a_step(page: Page) -> None:
    made = np.random.default_rng(6)
    scene, other = (
        cv2.GaussianBlur(made.integers(0, 256, (cuts.HEIGHT, cuts.WIDTH), np.uint8), (0, 0), 3)
        for _ in range(2)
    )
    shown = [
        scene,
        np.roll(scene, 1, 1),
        scene // 2 + 60,
        other,
        other,
        np.zeros_like(other),
        other,
    ]
    body = "const c = new m.Cuts(); return values[0].map((gray) => c.isCut(gray))"
    found = call(page, "cuts.mjs", body, [one.ravel().tolist() for one in shown])
    assert found == [False, False, False, True, False, False, True]


def test_assignments_are_the_librarys(page: Page) -> None:
    made = np.random.default_rng(1)
    tables = [made.random(made.integers(1, 7, 2)) for _ in range(50)]
    body = "return values[0].map(m.assign)"
    found = call(page, "track.mjs", body, [table.tolist() for table in tables])
    assert [[tuple(pair) for pair in pairs] for pairs in found] == [
        assign(table) for table in tables
    ]


def test_smoothing_is_the_librarys(page: Page) -> None:
    made = np.random.default_rng(2)
    looks = [
        [float(made.uniform(0, 0.2)) + i / 5, made.dirichlet(np.ones(7)).tolist()]
        for i in range(30)
    ]
    smoother = Smoother(0.3)
    expected = [smoother.update(0, time, np.array(p)) for time, p in looks]
    body = "const s = new m.Smoother(0.3); return values[0].map(([at, p]) => s.update(0, at, p))"
    np.testing.assert_allclose(call(page, "track.mjs", body, looks), expected, atol=1e-12)


def test_heads_are_turned_as_in_the_library(page: Page) -> None:
    made = np.random.default_rng(4)
    heads, expected = [], []
    for yaw, pitch, roll in made.uniform((-60, -35, -40), (60, 35, 40), (200, 3)):
        turned = head_pose.MEAN_FACE @ head_pose.turned(yaw, pitch, roll).T
        seen = 300 + 80 * turned[:, :2] * 16 / (16 + turned[:, 2:]) + made.normal(0, 2, (5, 2))
        heads.append(seen.tolist())
        expected.append(head_pose.head_pose(seen))
    rule = {"mean_face": head_pose.MEAN_FACE.tolist(), "far": head_pose.CAMERA_DISTANCE}
    body = "return values[0].map((points) => m.headPose(points, values[1]))"
    found = call(page, "recognize/pose.mjs", body, heads, rule)
    found = [None if one is None else (one["yaw"], one["pitch"], one["roll"]) for one in found]
    assert sum(one is not None for one in expected) > 190
    np.testing.assert_allclose(np.array(found, float), np.array(expected, float), atol=0.05)
    line = [[float(i), 2.0 * i] for i in range(5)]
    assert call(page, "recognize/pose.mjs", body, [line], rule) == [
        head_pose.head_pose(np.array(line))
    ]


PRIORS: list[Any] = [None, "everyday", "balanced", {"happy": 3, "neutral": 5, "angry": 0.123456}]


@pytest.mark.parametrize("mode", ["fast", "best"])
@pytest.mark.parametrize("prior", PRIORS)
def test_the_answer_under_a_prior_is_the_librarys(page: Page, prior: Any, mode: str) -> None:
    bundle = open_bundle()
    labels = {head.name: head.labels for head in bundle.heads}
    made = np.random.default_rng(6)
    heads = {
        name: made.dirichlet(np.ones(len(own)), 40).astype(np.float32)
        for name, own in labels.items()
    }
    rule = rule_under(prior, bundle.rules, bundle.heads[0].labels)
    model = {
        "heads": [{"name": name, "labels": list(own)} for name, own in labels.items()],
        "rules": [asdict(one) for one in bundle.rules.values()],
    }
    rows = [{name: p[i].tolist() for name, p in heads.items()} for i in range(40)]
    body = """const rule = m.ruleUnder(values[1], values[0]);
      const shown = values[2].map((one) => m.shownAnswer(one, values[0], rule, rule[values[3]]));
      return [rule.prior, rule.certain_from, shown]"""
    name = TEMPERATURE[mode]
    found, certain_from, shown = call(page, "recognize/rule.mjs", body, model, prior, rows, name)
    assert (found, certain_from) == (rule.prior, rule.certain_from)
    np.testing.assert_allclose(shown, rule.answer(heads, labels, mode=mode), atol=2e-7)


SIZES = [
    ((170, 130), (128, 98)),
    ((128, 96), (64, 48)),
    ((150, 99), (50, 33)),
    ((64, 200), (63, 197)),
]


@pytest.mark.parametrize(("size", "smaller"), SIZES)
def test_shrinking_is_the_librarys_to_the_bit(
    page: Page, size: tuple[int, int], smaller: tuple[int, int]
) -> None:
    made = np.random.default_rng(7).integers(0, 256, (size[1], size[0], 3), np.uint8)
    rgba = np.dstack([made, np.full(made.shape[:2], 255, np.uint8)])
    body = """const [width, height] = values[1];
      const image = { width, height, data: Uint8ClampedArray.from(values[0]) };
      return [...m.byArea(image, ...values[2]).data]"""
    found = call(page, "recognize/pixels.mjs", body, rgba.ravel().tolist(), size, smaller)
    found = np.array(found, np.uint8).reshape(smaller[1], smaller[0], 4)[..., :3]
    assert len(np.unique(found)) > 50
    np.testing.assert_array_equal(found, cv2.resize(made, smaller, interpolation=cv2.INTER_AREA))
