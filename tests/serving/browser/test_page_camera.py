"""The panel "Camera" with chromium's fake device, which plays a drawn clip; all failures."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browsing import Page, Server
from page_pictures import encoded, person

from mien.results import Frame

NUM_STEPS = 40
START = 'button:has-text("start the camera")'
# Counts the questions, and keeps the stream where a test finds it.
HOOK = """() => {
  const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  window.asked = 0;
  navigator.mediaDevices.getUserMedia = async (...all) => {
    window.asked += 1;
    const stream = await ask(...all);
    window.track = stream.getVideoTracks()[0];
    return stream;
  };
}"""


@pytest.fixture(scope="module")
def camera(new_browser: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A browser whose camera shows a drawn face going to and fro."""
    clip = tmp_path_factory.mktemp("camera") / "clip.mjpeg"
    steps = [*range(NUM_STEPS), *reversed(range(NUM_STEPS))]
    clip.write_bytes(b"".join(encoded(person(step, NUM_STEPS), "JPEG") for step in steps))
    return new_browser(
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={clip}",
    )


@pytest.fixture
def live(new_page: Callable[..., Page], camera: Any) -> Page:
    """The page with the camera on, and somebody seen."""
    page = new_page(in_browser=camera, permissions=["camera"])
    page.ready()
    page.page.evaluate(HOOK)
    page.page.click("#tab-camera")
    page.expect("#camera").to_contain_text("Ask everybody who can be seen")
    page.page.click(START)
    page.expect("[data-track]").to_have_count(1, timeout=20_000)
    return page


def saved(page: Page, name: str) -> bytes:
    with page.page.expect_download() as waiting:
        page.page.click(f'#camera button:has-text("{name}")')
    return bytes(Path(waiting.value.path()).read_bytes())


def test_nothing_starts_before_consent(new_page: Callable[..., Page], camera: Any) -> None:
    page = new_page(in_browser=camera, permissions=["camera"])
    page.page.evaluate(HOOK)
    page.page.click("#tab-camera")
    page.expect("#camera h1").to_have_text("Before the camera starts")
    assert page.page.evaluate("window.asked") == 0
    page.page.click(START)
    page.expect("#camera canvas").not_to_have_count(0)
    assert page.page.evaluate("window.asked") == 1


def test_a_recorded_session_is_the_librarys_table(live: Page) -> None:
    live.page.click('button:has-text("Record results")')
    live.page.wait_for_timeout(1500)
    live.page.keyboard.press("m")
    live.page.wait_for_timeout(300)
    live.page.click('button:has-text("Stop recording")')
    document = json.loads(saved(live, "JSON"))
    frames = [Frame.from_dict(values) for values in document["frames"]]
    assert len(frames) > 3
    assert [frame.index for frame in frames] == list(
        range(frames[0].index, frames[0].index + len(frames))
    )
    times = [frame.time_s for frame in frames]
    assert times == sorted(times)
    seen = [face for frame in frames for face in frame.faces]
    assert len(seen) > 3
    assert {face.track for face in seen} == {0}
    assert all(face.raw is not None for face in seen)
    rows = list(csv.DictReader(io.StringIO(saved(live, "CSV").decode())))
    assert len(rows) == len(frames)
    assert {row["source"] for row in rows} == {"camera"}
    assert {"raw_happy", "p_happy", "track"} <= set(rows[0])
    marks = saved(live, "Markers").decode().splitlines()
    assert len(marks) == 2
    assert marks[1].endswith("\tmark 1")
    live.expect("#sent").to_have_text("0 pictures sent")


def test_chart_and_table_say_the_same(live: Page) -> None:
    live.expect("#camera .u-wrap canvas").to_be_visible()
    live.page.click('summary:has-text("The same as a table")')
    live.expect("#camera tbody tr").not_to_have_count(0)
    live.expect("#camera thead th").to_have_count(8)
    live.expect("#camera .keys li").to_have_count(7)


def test_letters_on_the_picture_keep_their_size_on_a_phone(live: Page) -> None:
    live.page.evaluate(
        "() => { window.sizes = []; const { fillText } = CanvasRenderingContext2D.prototype; "
        "CanvasRenderingContext2D.prototype.fillText = function (...all) { "
        "if (this.canvas.matches('#camera .stage canvas')) window.sizes.push("
        "parseFloat(this.font.match(/([0-9.]+)px/)[1]) * this.canvas.clientWidth / "
        "this.canvas.width); return fillText.apply(this, all); }; }"
    )
    live.page.set_viewport_size({"width": 390, "height": 844})
    live.page.evaluate("window.sizes.length = 0")
    sizes: list[float] = []
    for _ in range(60):  # the policy forbids the evaluation that wait_for_function needs
        live.page.wait_for_timeout(500)
        sizes = live.page.evaluate("window.sizes.slice(1)")
        if len(sizes) > 1:
            break
    assert len(sizes) > 1
    assert min(sizes) > 14


def test_pause_holds_the_picture_and_the_answers(live: Page) -> None:
    live.page.click('button:has-text("Pause")')
    live.page.wait_for_timeout(600)
    before = live.page.locator("#camera .face").inner_text()
    canvas = "() => document.querySelector('#camera canvas').toDataURL()"
    picture = live.page.evaluate(canvas)
    live.page.wait_for_timeout(700)
    assert live.page.locator("#camera .face").inner_text() == before
    assert live.page.evaluate(canvas) == picture
    live.page.click('button:has-text("Go on")')
    live.page.wait_for_timeout(700)
    assert live.page.evaluate(canvas) != picture


def test_mirror_and_snapshot(live: Page) -> None:
    from PIL import Image

    live.page.click('button:has-text("Pause")')
    live.page.wait_for_timeout(600)
    image = Image.open(io.BytesIO(saved(live, "Snapshot")))
    assert image.size == (640, 480)
    live.page.locator('label:has-text("Mirror") input').uncheck()
    live.page.click('button:has-text("Go on")')
    live.page.wait_for_timeout(500)
    live.expect("#camera [data-track]").to_have_count(1)


def test_a_neutral_face_of_three_seconds_to_compare_with(live: Page) -> None:
    live.page.click('button:has-text("Compare with my neutral face")')
    live.expect("#camera").to_contain_text("Keep a neutral face")
    live.expect(".bar-change").to_have_count(7, timeout=15_000)
    live.expect("[data-track]").to_contain_text("unlike the neutral face")
    live.page.click('button:has-text("Forget my neutral face")')
    live.expect(".bar-change").to_have_count(0)


def test_frames_go_to_the_server_only_when_that_is_chosen(live: Page) -> None:
    live.expect("#sent").to_have_text("0 pictures sent")
    live.choose_place("server")
    live.expect("#sent-count").not_to_have_text("0")
    live.expect("#camera [data-track]").to_have_count(1)
    live.choose_place("device")
    live.page.wait_for_timeout(700)
    count = live.page.locator("#sent-count").inner_text()
    live.page.wait_for_timeout(700)
    assert live.page.locator("#sent-count").inner_text() == count


def test_leaving_the_panel_stops_the_camera(live: Page) -> None:
    live.page.click("#tab-pictures")
    live.page.click("#tab-camera")
    live.expect("#camera h1").to_have_text("Before the camera starts")
    live.expect("#camera canvas").to_have_count(0)


def test_a_screen_reader_hears_at_most_every_two_seconds(live: Page) -> None:
    live.page.evaluate(
        "() => { window.said = []; new MutationObserver(() => "
        "window.said.push(performance.now())).observe(document.getElementById('live'), "
        "{childList: true, characterData: true, subtree: true}); }"
    )
    for _ in range(6):
        live.page.keyboard.press("m")
        live.page.wait_for_timeout(500)
    live.page.wait_for_timeout(2000)
    said = live.page.evaluate("window.said")
    assert len(said) >= 2
    assert min(b - a for a, b in zip(said, said[1:], strict=False)) > 1900


def test_a_recording_outlives_a_camera_that_is_unplugged(live: Page) -> None:
    live.page.click('button:has-text("Record results")')
    live.page.wait_for_timeout(1500)
    live.page.evaluate("window.track.dispatchEvent(new Event('ended')) && null")
    live.expect("#camera h1").to_have_text("The camera is gone")
    live.expect("#camera [role=alert]").to_contain_text("unplugged")
    assert live.axe() == []
    num = len(json.loads(saved(live, "JSON"))["frames"])
    assert num > 1
    live.page.click('button:has-text("Try again")')
    live.expect("[data-track]").to_have_count(1)
    live.expect("#camera").to_contain_text(f"Recorded: {num} frames")
    live.page.click("#tab-pictures")
    live.page.click("#tab-camera")
    live.expect("#camera h2").to_have_text(["Recorded before the camera stopped"])
    assert len(json.loads(saved(live, "JSON"))["frames"]) == num


def test_a_camera_without_a_picture_is_named(live: Page) -> None:
    live.page.click('button:has-text("Pause")')
    live.page.wait_for_timeout(600)
    send = "(name) => window.track.dispatchEvent(new Event(name))"
    live.page.evaluate(send, "mute")
    live.expect("#camera .notice").to_contain_text("gives no picture")
    live.page.evaluate(send, "unmute")
    live.expect("#camera .notice").to_be_hidden()


def test_one_question_however_often_it_is_clicked(
    new_page: Callable[..., Page], camera: Any
) -> None:
    page = new_page(in_browser=camera, permissions=["camera"])
    page.page.evaluate(HOOK)
    page.page.click("#tab-camera")
    page.page.evaluate(
        "() => { const start = document.querySelector('[data-keep=start]'); "
        "start.click(); start.click(); }"
    )
    page.expect("#camera canvas").not_to_have_count(0)
    assert page.page.evaluate("window.asked") == 1


FAILURES = {
    "NotAllowedError": "not allowed",
    "NotFoundError": "No camera found",
    "NotReadableError": "busy",
    "AbortError": "busy",
    "OverconstrainedError": "not there any more",
}


@pytest.mark.parametrize("name", list(FAILURES))
def test_a_camera_that_does_not_start_says_why(page: Page, name: str) -> None:
    page.page.evaluate(
        "(name) => { navigator.mediaDevices.getUserMedia = async () => { throw new "
        "DOMException('no', name); }; }",
        name,
    )
    page.page.click("#tab-camera")
    page.page.click(START)
    page.expect("#camera h1").to_contain_text(re.compile(FAILURES[name]))
    page.expect("#camera [role=alert]").to_be_visible()
    page.expect('#camera button:has-text("Try again")').to_be_visible()
    assert page.page.inner_text("#camera").split("\n")[-1] == "To the pictures"
    assert page.axe() == []


def test_no_camera_at_all(page: Page) -> None:
    """Headless chromium without a fake device has none."""
    page.context.grant_permissions(["camera"])
    page.page.click("#tab-camera")
    page.page.click(START)
    page.expect("#camera h1").to_have_text("No camera found")


def test_plain_http_off_this_machine_says_why_there_is_no_camera(
    new_browser: Callable[..., Any],
    new_page: Callable[..., Page],
    new_server: Callable[..., Server],
) -> None:
    server = new_server("--allow-host", "phone.test")
    browser = new_browser("--host-resolver-rules=MAP phone.test 127.0.0.1")
    page = new_page(server.url.replace("127.0.0.1", "phone.test"), in_browser=browser)
    page.ready()
    page.page.click("#tab-camera")
    page.expect("#camera").to_contain_text("plain http from another machine")
    page.page.click("#tab-pictures")
    page.page.click('[data-sample="happy"]')
    page.expect(".face").to_have_count(1)
