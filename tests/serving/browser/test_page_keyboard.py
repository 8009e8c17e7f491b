"""The whole page by keyboard alone: every stop in order and in sight, and the focus never lost."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browsing import Page, Server
from page_pictures import crowd, encoded, person, upload

# Of what has the focus: its name, or what is wrong with it.
STOP = """() => {
  const one = document.activeElement;
  if (one === document.body) return "";
  const marked = one.matches(".switch input") ? one.nextElementSibling : one;
  const place = one.getBoundingClientRect();
  const name = (one.getAttribute("aria-label") || one.labels?.[0]?.innerText || one.innerText)
    .replace(/\\s+/g, " ").trim();
  if (!name) return `no name: ${one.outerHTML}`;
  if (place.bottom < 0 || place.top > innerHeight || !place.width) return `out of sight: ${name}`;
  // The browser's own controls of a film lie within it.
  if (!one.matches("video") && getComputedStyle(marked).outlineStyle === "none")
    return `no mark: ${name}`;
  return name;
}"""
HEAD = ["Skip to the content", "mien, to the pictures"]
END = ["Limits and intended use", "API"]


def press(page: Page, key: str) -> str:
    page.page.keyboard.press(key)
    return str(page.page.evaluate(STOP))


def press_until(page: Page, key: str, name: str) -> None:
    """Press a key, and wait until what has this name has the focus."""
    last = press(page, key)
    for _ in range(100):
        if last == name:
            return
        page.page.wait_for_timeout(100)
        last = str(page.page.evaluate(STOP))
    assert last == name


def stops(page: Page, num: int = 60) -> list[str]:
    """Names of all that the Tab key reaches, from the page's beginning to its end."""
    page.page.locator(".brand").focus()
    found = [press(page, "Shift+Tab")]
    while len(found) < num:
        name = press(page, "Tab")
        if not name:
            assert not [one for one in found if ": <" in one or re.match("out of|no ", one)]
            return found
        if name != found[-1]:  # a film's own controls are stops within one
            found.append(name)
    raise AssertionError(f"the Tab key does not come to an end: {found}")


def head(tab: str) -> list[str]:
    place = ["On this device", "Settings", "What this is, its limits and its model card"]
    return [*HEAD, tab, *place]


def test_the_beginning_has_every_control_in_order(page: Page) -> None:
    found = stops(page)
    assert found[:6] == head("Pictures")
    assert found[6:8] == ["Choose pictures", "Use the camera"]
    assert [name for name in found if name.startswith(("A drawn", "Five"))] == found[8:15]
    assert found[15:] == END


def test_the_focus_follows_what_a_key_does_to_the_pictures(page: Page) -> None:
    page.page.locator('[data-sample="group"]').focus()
    press_until(page, "Enter", "drawn-group.png")
    page.expect(".face").to_have_count(5)
    page.expect("#pictures h2").to_be_focused()
    found = stops(page)
    assert found[6:11] == ["Add pictures", "Start over", "CSV", "JSON", "Settings"]
    assert found[11].startswith("Face 1: happy")  # one stop for all faces in the picture
    assert len([name for name in found if re.search("Face [1-5],? ", name)]) == 5
    page.page.locator('[data-box="0"]').focus()
    assert press(page, "ArrowRight").startswith("Face 2: ")
    assert press(page, "End").startswith("Face 5: ")
    assert press(page, "ArrowDown").startswith("Face 1: ")
    page.page.locator('button:has-text("Start over")').focus()
    press_until(page, "Space", "What does this face look like to others?")


def test_nothing_is_lost_while_further_pictures_are_analysed(page: Page) -> None:
    page.add(upload(encoded(crowd(2)), name="first.png"))
    page.expect(".face").to_have_count(2)
    page.add(*(upload(encoded(crowd(5, seed=seed)), name=f"{seed}.png") for seed in range(6)))
    page.page.locator(".strip button").first.click()
    page.page.locator("summary >> nth=1").focus()
    page.page.keyboard.press("Enter")
    page.expect('.strip [title*=" faces: "]').to_have_count(7)
    page.expect("summary >> nth=1").to_be_focused()
    page.expect("details[open]").to_have_count(1)
    page.expect("#live").to_contain_text("All 7 pictures are analysed: 3")
    page.page.locator(".strip button").first.focus()
    assert press(page, "ArrowRight").startswith("0.png: ")
    page.expect("#pictures h2").to_have_text(["0.png"])
    assert press(page, "End").startswith("5.png: ")
    page.expect("#pictures h2").to_have_text(["5.png"])
    assert not press(page, "Tab").startswith(tuple(f"{seed}.png" for seed in range(6)))


def test_what_failed_is_removed_and_the_focus_goes_on(page: Page) -> None:
    page.add(
        upload(encoded(crowd(1)), name="good.png"), upload(b"no picture" * 9, name="letter.jpg")
    )
    page.page.locator(".strip button").nth(1).click()
    page.page.locator('button:has-text("Remove it")').focus()
    press_until(page, "Enter", "good.png")
    page.page.evaluate(
        "() => { const text = new DataTransfer(); text.setData('text/plain', 'a word'); "
        "dispatchEvent(new ClipboardEvent('paste', {clipboardData: text})); }"
    )
    page.page.locator('#banner-taken button:has-text("Close")').focus()
    press_until(page, "Enter", "good.png")


def test_dialogs_keep_the_focus_and_give_it_back(page: Page) -> None:
    begin = {"open-settings": "Close", "open-about": "Close", "open-limits": "Limits"}
    for opener, first in begin.items():
        page.page.locator(f"#{opener}").focus()
        press_until(page, "Enter", first)
        inside = "document.activeElement === document.body || !!document.activeElement.closest"
        for _ in range(12):
            page.page.keyboard.press("Tab")
            assert page.page.evaluate(f"{inside}('dialog')")
        page.page.keyboard.press("Escape")
        page.expect(f"#{opener}").to_be_focused()
    page.page.locator("#open-settings").focus()
    page.page.keyboard.press("Enter")
    page.page.mouse.click(4, 400)  # beside it
    page.expect("#settings").to_be_hidden()


def test_tabs_by_arrows_home_and_end(page: Page) -> None:
    page.page.locator("#tab-pictures").focus()
    assert [press(page, key) for key in ("End", "ArrowRight", "ArrowLeft", "Home")] == [
        "Video",
        "Pictures",
        "Video",
        "Pictures",
    ]
    assert press(page, "ArrowRight") == "Camera"
    page.expect("#camera").to_be_visible()


def test_links_between_the_tabs_take_the_focus_along_and_back_works(page: Page) -> None:
    page.page.locator('a:has-text("Use the camera")').focus()
    press_until(page, "Enter", "Before the camera starts")
    page.page.go_back()
    page.expect("#pictures").to_be_visible()
    page.page.go_forward()
    page.expect("#camera").to_be_visible()
    page.page.locator(".skip").focus()
    page.page.keyboard.press("Enter")
    assert page.page.url.endswith("#/camera")
    assert press(page, "Tab") == "Everybody agrees: start the camera"


@pytest.mark.parametrize("width", [1280, 640, 320])
def test_the_header_is_walked_in_the_order_in_which_it_is_read(
    new_page: Callable[..., Page], width: int
) -> None:
    page = new_page(viewport={"width": width, "height": 700})
    page.ready()
    page.page.locator(".brand").focus()
    tops = []
    for _ in range(4):
        page.page.keyboard.press("Tab")
        tops.append(
            page.page.evaluate("Math.round(document.activeElement.getBoundingClientRect().top)")
        )
    assert all(b - a > -16 for a, b in zip(tops, tops[1:], strict=False))


@pytest.fixture(scope="module")
def camera(new_browser: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    clip = tmp_path_factory.mktemp("keys") / "clip.mjpeg"
    clip.write_bytes(encoded(person(10), "JPEG") * 40)
    return new_browser(
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={clip}",
    )


def test_the_camera_by_keyboard(new_page: Callable[..., Page], camera: Any) -> None:
    page = new_page(in_browser=camera, permissions=["camera"])
    page.ready()
    page.page.click("#tab-camera")
    assert stops(page)[6:-2] == ["Everybody agrees: start the camera"]
    page.page.locator('[data-keep="start"]').focus()
    page.page.keyboard.press("Enter")
    page.expect("#camera [data-track]").to_have_count(1)
    page.expect('button:has-text("Pause")').to_be_focused()
    bar = ["Pause", "Record results", "Snapshot", "Marker (M)", "Compare with my neutral face"]
    fields = ["Mirror", "Smoothing", "Detector size", "Person", "The same as a table"]
    found = stops(page)[6:-2]
    assert len(found) == 11
    assert found[:6] == [*bar, "Stop the camera"]
    assert all(a.startswith(b) for a, b in zip(found[6:], fields, strict=True))
    compare = page.page.locator('button:has-text("Compare with")')
    compare.focus()
    assert press(page, "Enter").startswith(("Compare", "Keep"))
    page.expect('button:has-text("Forget my neutral face")').to_be_focused()
    page.page.locator('button:has-text("Stop the camera")').focus()
    press_until(page, "Enter", "Before the camera starts")


def test_a_video_by_keyboard(page: Page) -> None:
    from test_page_video import webm

    page.page.locator("#tab-pictures").focus()
    assert press(page, "End") == "Video"
    page.page.locator('#video [data-keep="choose"]').focus()
    film = webm([person(step, 10) for step in range(10)])
    file: Any = {"name": "walk.webm", "mimeType": "video/webm", "buffer": film}
    page.page.set_input_files("#video input[type=file]", file)
    page.expect("#video h2").to_have_text(["walk.webm"])
    assert page.page.evaluate(STOP) == "walk.webm"
    page.page.locator('[data-keep="analyse"]').focus()
    page.page.keyboard.press("Enter")
    page.expect("#video .u-wrap canvas").to_be_visible(timeout=60_000)
    page.expect('[data-keep="analyse"]').to_be_focused()
    found = stops(page)[6:-2]
    assert (found[0], found[1][:6], found[2]) == ("Another video", "Frames", "Analyse again")
    assert found[3:7] == ["CSV", "JSON", "Settings", "walk.webm"]
    assert found[7].startswith("Person 1: ")
    assert found[8:] == ["Person 1", "The same as a table"]
    page.page.locator("#video .box").focus()
    assert press(page, "Enter").startswith("Person 1: ")
    page.page.evaluate("() => document.querySelector('#video video').play()")
    page.page.wait_for_timeout(1500)
    assert page.page.evaluate(STOP)


def test_a_correction_by_keyboard(
    new_server: Callable[..., Server], new_page: Callable[..., Page], tmp_path: Path
) -> None:
    page = new_page(new_server("--collect", str(tmp_path)).url)
    page.ready()
    page.choose_place("server")
    page.add(upload(encoded(crowd(1)), name="one.png"))
    page.page.locator('button:has-text("Correct it")').focus()
    assert press(page, "Enter").endswith("Angry")
    assert press(page, "Escape") == "Not right? Correct it"
    page.page.keyboard.press("Enter")
    page.page.keyboard.press("Tab")
    page.page.keyboard.press("Enter")
    page.expect('button:has-text("Undo")').to_be_focused()
    page.page.keyboard.press("Enter")
    page.expect('button:has-text("Correct it")').to_be_focused()
    page.choose_place("device")
    page.page.click("#tab-label")
    page.page.locator('#label button:has-text("Use the server")').focus()
    press_until(page, "Enter", "Label your own pictures")
    page.page.set_input_files("#label input >> nth=0", [upload(encoded(crowd(2)), name="two.png")])
    page.expect("#label").to_contain_text("1 of 2")
    found = stops(page)[6:-2]
    assert found[:2] == ["Choose pictures", "Choose a folder"]
    assert len(found) == 2 + 7 + 2
    assert press(page, "5") == ""
    page.expect("#label").to_contain_text("2 of 2")
    page.page.locator('[data-keep="skip"]').focus()
    press_until(page, "Enter", "All labelled")


def test_the_page_of_the_api_by_keyboard(page: Page, server: Server) -> None:
    page.page.goto(server.url + "api")
    page.expect(".operation").not_to_have_count(0)
    names = []
    for _ in range(60):
        name = press(page, "Tab")
        if not name:
            break
        names.append(name)
    assert names.count("Try it") == page.page.locator(".operation").count()
    assert not [name for name in names if re.match("out of|no ", name)]
    page.page.locator('.operation:has-text("GET /v1/model") button').focus()
    page.page.keyboard.press("Enter")
    page.expect('.operation:has-text("GET /v1/model") [role=status]').to_have_text("Answer: 200 OK")
    page.expect('.operation:has-text("GET /v1/model") pre').to_contain_text("digest")
    page.expect('.operation:has-text("GET /v1/model") button').to_be_focused()
