"""The panel "Pictures": choose, drop, paste, several faces, keyboard, downloads, errors."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from browsing import Page, Server
from page_pictures import astronaut, crowd, encoded, upload

from mien.results import Frame
from mien.results.writers import open_writer

MARKED = re.compile(r"\bon\b")


def test_a_drawn_face_works_at_once(page: Page) -> None:
    page.page.click('[data-sample="happy"]')
    page.expect(".face").to_have_count(1)
    page.expect(".face .bar").not_to_have_count(0)
    page.expect(".face canvas").to_be_visible()
    page.expect("#sent-count").to_have_text("0")


def test_each_face_has_its_card_and_they_mark_each_other(page: Page) -> None:
    page.add(upload(encoded(crowd(5))))
    page.expect(".face").to_have_count(5)
    page.expect(".box").to_have_count(5)
    page.page.hover('[data-face="3"]')
    page.expect('[data-box="2"]').to_have_class(MARKED)
    page.page.locator('[data-box="4"]').focus()
    page.expect('[data-face="5"]').to_have_class(MARKED)
    page.page.keyboard.press("Enter")
    page.expect('[data-face="5"] .face-head').to_be_focused()
    page.expect('[data-face="5"] .face-body').to_be_visible()


def test_bars_are_sorted_numbered_and_patterned(page: Page) -> None:
    page.add(upload(encoded(astronaut())))
    page.expect(".face").to_have_count(1)
    numbers = page.page.locator(".face-body > .bars .bar-number").all_inner_texts()
    assert len(numbers) == 7
    known = {"<1\u00a0%": 0.5, ">99\u00a0%": 99.5}
    values = [known.get(text) or float(text.removesuffix("\u00a0%")) for text in numbers]
    assert values == sorted(values, reverse=True)
    images = page.page.locator(".face-body > .bars .bar-fill").evaluate_all(
        "all => all.map(one => getComputedStyle(one).backgroundImage)"
    )
    assert len(set(images)) == 7


def test_pasted_and_dropped_pictures_are_taken(page: Page) -> None:
    data = base64.b64encode(encoded(astronaut(256))).decode()
    give = """([data, kind]) => {
      const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
      const transfer = new DataTransfer();
      transfer.items.add(new File([bytes], kind + ".png", { type: "image/png" }));
      const about = { bubbles: true, cancelable: true };
      dispatchEvent(kind === "paste"
        ? new ClipboardEvent("paste", { ...about, clipboardData: transfer })
        : new DragEvent("drop", { ...about, dataTransfer: transfer }));
    }"""
    page.page.evaluate(give, [data, "paste"])
    page.expect("h2").to_have_text(["paste.png"])
    page.expect(".face").to_have_count(1)
    page.page.evaluate(give, [data, "drop"])
    page.expect(".strip li").to_have_count(2)
    page.expect("#pictures h2").to_have_text(["drop.png"])
    page.expect("#drop").to_be_hidden()


@pytest.mark.parametrize("place", ["device", "server"])
def test_downloads_are_byte_for_byte_the_librarys(page: Page, place: str) -> None:
    page.choose_place(place)
    page.add(
        upload(encoded(crowd(5)), name="=faces, \u00e9\u4e2d.png"),
        upload(encoded(np.full((90, 120, 3), 200, np.uint8)), name="empty.png"),
    )
    page.page.locator(".strip button").nth(1).click()
    page.expect("#pictures h3").to_have_text(["No face found"])
    page.expect('.strip [title*="5 faces"]').to_have_count(1)
    with page.page.expect_download() as waiting:
        page.page.click('button:has-text("JSON")')
    text = waiting.value.path().read_text(encoding="utf-8")
    raw = json.loads(text)["frames"]
    frames = [Frame.from_dict(values) for values in raw]
    assert [len(frame.faces) for frame in frames] == [5, 0]
    with page.page.expect_download() as waiting:
        page.page.click('button:has-text("CSV")')
    table = waiting.value.path().read_bytes().decode()
    labels = frames[0].faces[0].labels
    heads = {name: tuple(head) for name, head in frames[0].faces[0].heads.items()}
    held = io.BytesIO()
    with open_writer(held, "csv", labels=labels, heads=heads) as writer:
        for frame in frames:
            writer.write(frame)
    assert without_valence(table) == without_valence(held.getvalue().decode())
    assert len(list(csv.DictReader(io.StringIO(table)))) == 6
    held = io.BytesIO()
    with open_writer(held, "json", labels=labels) as writer:
        for frame in frames:
            writer.write(frame)
    assert masked(text) == masked(held.getvalue().decode())


def masked(text: str) -> str:
    """JSON without the digits of valences, which reading computes from rounded values."""
    found, count = re.subn(r'("valence": -?0\.\d{6})[\de+-]*', r"\1", text)
    assert count == 5
    return found


def without_valence(table: str) -> list[list[str]]:
    rows = list(csv.reader(io.StringIO(table)))
    at = rows[0].index("valence")
    return [[value for i, value in enumerate(row) if i != at] for row in rows]


ERRORS = {
    "not a picture": (upload(b"no picture at all" * 9, name="letter.jpg"), "Not a picture"),
    "empty": (upload(b"", name="empty.png"), "Empty file"),
    "damaged": (upload(encoded(crowd(1), "PNG")[:300], name="cut.png"), "Not a picture"),
}


@pytest.mark.parametrize("place", ["device", "server"])
@pytest.mark.parametrize("name", list(ERRORS))
def test_what_is_no_picture_is_said_and_the_next_one_works(
    page: Page, name: str, place: str
) -> None:
    file, title = ERRORS[name]
    page.choose_place(place)
    page.add(file)
    page.expect("[role=alert]").to_contain_text(title)
    page.expect("[role=alert]").to_contain_text("expected")
    page.add(upload(encoded(astronaut(256))))
    page.expect(".face").to_have_count(1)


def test_on_this_device_tiff_is_sent_nowhere_and_the_server_is_offered(page: Page) -> None:
    page.add(upload(encoded(astronaut(256), "TIFF"), "TIFF"))
    page.expect("[role=alert]").to_contain_text("On the server")
    page.expect("#sent-count").to_have_text("0")
    page.choose_place("server")
    page.page.click('button:has-text("Try again")')
    page.expect(".face").to_have_count(1)
    page.expect(".sheet").to_be_visible()
    page.expect("#sent-count").to_have_text("1")


def test_too_large_for_the_server_is_refused_here(page: Page) -> None:
    page.choose_place("server")
    noise = np.random.default_rng(0).integers(0, 256, (1800, 1800, 3), np.uint8)
    page.add(upload(encoded(noise)))
    page.expect("[role=alert]").to_contain_text("Too large")
    page.expect("#sent-count").to_have_text("0")
    page.page.click('[role=alert] button:has-text("Use this device")')
    page.expect("#pictures h3").to_have_text(["No face found"])
    page.expect("#sent-count").to_have_text("0")


def test_what_failed_offers_only_what_can_help(page: Page) -> None:
    page.add(
        upload(encoded(astronaut(256), "TIFF"), "TIFF"),
        upload(b"no picture at all" * 9, name="letter.jpg"),
    )
    page.page.locator(".strip button").nth(1).click()
    page.expect("[role=alert] button").to_have_text(["Remove it"])
    page.expect(".sheet").to_have_text("No preview")
    page.page.click('[role=alert] button:has-text("Remove it")')
    page.expect("#pictures h2").to_have_text(["picture.tiff"])
    page.page.click('[role=alert] button:has-text("Send it to the server")')
    page.expect(".face").to_have_count(1)
    page.expect("#sent-count").to_have_text("1")


def test_the_picture_shown_is_in_sight_among_many(new_page: Callable[..., Page]) -> None:
    page = new_page(viewport={"width": 390, "height": 844})
    page.ready()
    blank = encoded(np.full((60, 80, 3), 200, np.uint8))
    page.add(*(upload(blank, name=f"{i}.png") for i in range(8)))
    page.expect('.strip [title$="no face found"]').to_have_count(8)
    page.page.locator(".strip button").nth(7).click()
    page.expect("#pictures h2").to_have_text(["7.png"])
    shown = page.page.locator('.strip [aria-current="true"]').bounding_box()
    assert shown is not None
    assert 0 <= shown["x"] <= 390 - shown["width"]


def test_no_tag_lies_on_another_face(page: Page) -> None:
    """Faces in rows without a gap: each tag inside its own box."""
    rows = crowd(15)
    close = np.concatenate([rows[top + 20 : top + 180] for top in (0, 200, 400)])
    page.add(upload(encoded(close)))
    page.expect(".box").not_to_have_count(0)
    assert page.page.locator(".box").count() > 10
    outside = page.page.locator(".box").evaluate_all(
        "all => all.filter((box) => { const tag = box.querySelector('.tag')"
        ".getBoundingClientRect(); return all.some((other) => { if (other === box) return false; "
        "const r = other.getBoundingClientRect(); return r.left < tag.right - 1 && r.right > "
        "tag.left + 1 && r.top < tag.bottom - 1 && r.bottom > tag.top + 1; }); }).length"
    )
    assert outside == 0


def test_a_lone_face_has_its_word_in_the_picture(page: Page) -> None:
    page.add(upload(encoded(astronaut())))
    page.expect(".box").to_have_count(1)
    page.expect(".box .tag-word").to_be_visible()


def test_a_busy_server_is_asked_again_and_then_named(page: Page) -> None:
    problem = {"code": "queue-full", "detail": "got a full queue", "hint": "come again in a second"}
    asked = []

    def refuse(route: Any) -> None:
        asked.append(route.request.url)
        route.fulfill(status=503, headers={"Retry-After": "1"}, json=problem)

    page.choose_place("server")
    page.page.route("**/v1/faces?*", refuse)
    page.add(upload(encoded(astronaut(256))))
    page.expect("[role=alert]").to_contain_text("The server is busy", timeout=20_000)
    page.expect("[role=alert]").to_contain_text("Come again in a second")
    assert len(asked) == 4
    page.page.unroute("**/v1/faces?*")
    page.page.click('button:has-text("Try again")')
    page.expect(".face").to_have_count(1)


def test_many_that_failed_are_tried_again_at_once(page: Page) -> None:
    page.choose_place("server")
    page.page.route("**/v1/faces?*", lambda route: route.abort())
    page.add(*(upload(encoded(astronaut(128)), name=f"{i}.png") for i in range(3)))
    page.add(upload(b"no picture at all" * 9, name="letter.jpg"))
    page.expect('.notice:has-text("4 pictures were not analysed")').to_have_count(1)
    page.page.unroute("**/v1/faces?*")
    page.page.click('button:has-text("Try all again")')
    page.expect('.strip [title*="1 face: "]').to_have_count(3)
    page.expect('button:has-text("Try all again")').to_have_count(0)  # the letter stays a letter


def test_with_the_server_gone_it_says_offline_and_offers_the_device(
    new_server: Callable[..., Server], new_page: Callable[..., Page]
) -> None:
    server = new_server()
    page = new_page(server.url)
    page.ready()
    page.choose_place("server")
    server.stop()
    page.add(upload(encoded(astronaut(256))))
    page.expect("[role=alert]").to_contain_text("Offline")
    page.page.click('#banner-offline button:has-text("Use this device")')
    page.expect("#banner-offline").to_have_count(0)
    page.page.click('button:has-text("Try again")')
    page.expect(".face").to_have_count(1)


def test_settings_are_kept_and_named_in_what_is_asked(page: Page) -> None:
    page.page.click("#open-settings")
    page.page.locator('input[name="mode"][value="best"]').check()
    page.page.keyboard.press("Escape")
    page.page.reload()
    page.ready()
    page.choose_place("server")
    page.add(upload(encoded(astronaut(256))))
    page.expect(".face").to_have_count(1)
    page.expect("#pictures .fine").to_contain_text(["14 views"])
    asked = [url for method, url in page.requests if method == "POST"]
    assert len(asked) == 1
    assert "mode=best" in asked[0]


@pytest.mark.parametrize("place", ["device", "server"])
def test_another_prior_is_asked_for_named_and_offered_for_earlier_pictures(
    page: Page, place: str
) -> None:
    page.choose_place(place)
    page.add(upload(encoded(crowd(3))))
    page.expect("#pictures .fine").to_contain_text(["prior: everyday"])
    page.page.click("#open-settings")
    page.page.locator('input[name="prior"][value="balanced"]').check()
    page.page.keyboard.press("Escape")
    page.expect(".notice").to_contain_text("other settings")
    page.page.click('button:has-text("Analyse again")')
    page.expect("#pictures .fine").to_contain_text(["prior: balanced"])
    page.page.click("#open-settings")
    page.page.locator('input[name="prior"][value="own"]').check()
    page.page.locator('.own input[data-label="happy"]').fill("80")
    page.page.keyboard.press("Escape")
    page.page.click('button:has-text("Analyse again")')
    page.expect("#pictures .fine").to_contain_text(["prior: my own"])
    with page.page.expect_download() as waiting:
        page.page.click('button:has-text("Settings") >> nth=-1')
    settings = json.loads(waiting.value.path().read_text())
    assert settings["format"] == "mien.settings/1"
    assert "happy=0.4" in settings["prior"]


def test_names_of_files_never_become_markup(page: Page) -> None:
    page.add(upload(encoded(astronaut(128)), name="<img src=x onerror=alert(1)>.png"))
    page.expect("#pictures h2").to_have_text(["<img src=x onerror=alert(1)>.png"])
    assert page.page.locator('img[src="x"]').count() == 0
