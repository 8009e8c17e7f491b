"""The service behind the routes."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient

import mien
from mien.serving.limits import Limits
from mien.serving.pool import Pool
from mien.serving.problems import Problem
from mien.serving.service import Service, Settings, _best_detected
from mien.vision.detect import MTCNN

ROOT = Path(__file__).parents[2]


def test_the_best_faces_are_kept() -> None:
    with mien.load(detector="none", num_threads=1) as recognizer:
        import numpy as np

        face = recognizer.faces(np.full((48, 48), 128, np.uint8))[0]
    faces = [replace(face, score=score) for score in (0.5, 0.9, 0.6, 0.8)]
    assert [one.score for one in _best_detected(faces, 2)] == [0.9, 0.8]
    assert [one.score for one in _best_detected(faces, 4)] == [0.5, 0.9, 0.6, 0.8]


def test_the_side_of_a_request_is_heeded_and_named() -> None:
    with mien.load(detector="none", num_threads=1) as recognizer:
        service = Service(recognizer, Limits())
        assert service.effective(Settings())["max_side"] is None  # nothing is searched
        detector = object.__new__(MTCNN)  # without its networks
        detector.__dict__.update(name="mtcnn", note="", _max_side=1280)
        service.recognizer = recognizer.with_settings(mode="fast", detector=detector, prior=None)
        found = service.recognizer_for(Settings(max_side=320)).detector
        assert isinstance(found, MTCNN) and (found._max_side, detector._max_side) == (320, 1280)
        assert service.effective(Settings(max_side=320))["max_side"] == 320
        assert service.effective(Settings("whole", max_side=320))["max_side"] is None
        service.pool.close()


def test_an_answer_that_takes_too_long() -> None:
    async def ask() -> None:
        pool = Pool(threads=1, queue=1, answer_s=0.01)
        try:
            await pool.run(time.sleep, 1, False, 0.2)
        finally:
            pool.close()

    with pytest.raises(Problem, match=r"no answer within 0\.01 s") as caught:
        asyncio.run(ask())
    assert caught.value.code == "answer-too-slow"


def test_the_networks_may_take_longer_to_load_than_an_answer(
    make_client: Callable[..., TestClient],
) -> None:
    assert make_client(limits=Limits(answer_s=1e-6)).get("/readyz").status_code == 200


def test_the_security_page_names_every_limit() -> None:
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z_]+)`", text))
    assert {limit.name for limit in fields(Limits)} <= named
