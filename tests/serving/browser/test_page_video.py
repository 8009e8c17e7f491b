"""The panel "Video": a drawn clip, looked at frame by frame; the table is mien's own."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from browsing import Page, Server
from page_pictures import person

import mien
from mien.results import Frame

NUM_FRAMES, RATE = 30, 10


def webm(pictures: list[np.ndarray]) -> bytes:
    av = pytest.importorskip("av", reason="the extra [video] is not installed")
    held = io.BytesIO()
    with av.open(held, "w", format="webm") as file:
        stream = file.add_stream("libvpx", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
        stream.bit_rate = 2_000_000
        for picture in pictures:
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                file.mux(packet)
        for packet in stream.encode():
            file.mux(packet)
    return held.getvalue()


@pytest.fixture(scope="module")
def clip() -> bytes:
    """Three seconds of a drawn face that crosses the picture, as WebM."""
    return webm([person(step, NUM_FRAMES) for step in range(NUM_FRAMES)])


def open_film(page: Page, data: bytes, name: str = "walk.webm") -> None:
    file: Any = {"name": name, "mimeType": "video/webm", "buffer": data}
    page.page.click("#tab-video")
    page.page.set_input_files("#video input[type=file]", file)


def test_people_timeline_and_table(page: Page, clip: bytes) -> None:
    open_film(page, clip)
    page.expect("#video h2").to_have_text(["walk.webm"])
    page.page.click('#video button:has-text("Analyse")')
    page.expect("#video .u-wrap canvas").to_be_visible(timeout=60_000)
    page.expect("#video h3").to_have_text(["Person 1"])
    with page.page.expect_download() as waiting:
        page.page.click('#video button:has-text("JSON")')
    assert waiting.value.suggested_filename == "walk.json"
    document = json.loads(Path(waiting.value.path()).read_text())
    frames = [Frame.from_dict(values) for values in document["frames"]]
    assert [frame.time_s for frame in frames] == [i / 5 for i in range(15)]
    assert {face.track for frame in frames for face in frame.faces} == {0}
    recognizer = mien.load(max_side=640, num_threads=1)
    for frame in frames[::5]:
        (face,) = frame.faces
        (expected,) = recognizer.faces(person(round((frame.time_s or 0) * RATE), NUM_FRAMES))
        assert np.abs(np.subtract(face.box, expected.box)).max() < 6  # the clip is compressed
    page.expect("#sent").to_have_text("0 pictures sent")
    page.expect('#video button:has-text("Markers")').to_have_count(0)
    assert page.axe() == []


def test_the_player_shows_the_faces_of_its_moment(page: Page, clip: bytes) -> None:
    open_film(page, clip)
    page.page.click('#video button:has-text("Analyse")')
    page.expect("#video .u-wrap canvas").to_be_visible(timeout=60_000)
    lefts = []
    for seconds in (0.0, 2.0):
        for _ in range(20):  # a busy machine may drop a seek: then it is asked again
            page.page.evaluate(
                "(at) => { document.querySelector('#video video').currentTime = at; }", seconds
            )
            page.page.wait_for_timeout(500)
            if page.page.locator("#video .box").count():
                break
        page.expect("#video .box").to_have_count(1)
        lefts.append(
            page.page.locator("#video .box").evaluate("(box) => parseFloat(box.style.left)")
        )
    assert lefts[1] - lefts[0] > 20


def test_a_cut_ends_every_person(page: Page) -> None:
    """Half way another scene begins, with a face at the same place."""
    drawn = person(NUM_FRAMES // 2, NUM_FRAMES)
    made = np.random.default_rng(1)
    grounds = [made.integers(0, 256, (6, 8, 3), np.uint8) for _ in range(2)]
    face = cv2.GaussianBlur((np.abs(drawn.astype(int) - drawn[0, 0]).max(2) > 8) * 1.0, (0, 0), 2)
    one, other = (
        (drawn * face[..., None] + cv2.resize(ground, (640, 480)) * (1 - face[..., None])).astype(
            np.uint8
        )
        for ground in grounds
    )
    open_film(page, webm([one] * 15 + [other] * 15), "cut.webm")
    page.page.click('#video button:has-text("Analyse")')
    page.expect("#video .u-wrap canvas").to_be_visible(timeout=60_000)
    page.expect("#video h3").to_have_text(["Person 1", "Person 2"])


def test_a_file_that_cannot_be_played_says_what_can(page: Page) -> None:
    open_film(page, b"no video" * 50, "notes.mp4")
    page.expect("#video [role=alert]").to_contain_text("cannot play")
    page.expect('#video button:has-text("Choose a video")').to_be_visible()


def test_without_the_chart_the_table_is_there(
    new_page: Callable[..., Page], clip: bytes, server: Server
) -> None:
    page = new_page("about:blank", service_workers="block")
    page.page.route("**/uPlot.esm.js", lambda route: route.abort())
    page.page.goto(server.url)
    page.ready()
    open_film(page, clip)
    page.page.select_option("#rate", "1")
    page.page.click('#video button:has-text("Analyse")')
    page.expect("#video").to_contain_text("This build has no chart", timeout=60_000)
    page.expect("#video tbody tr").not_to_have_count(0)
