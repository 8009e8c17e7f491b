"""What somebody drops or pastes: folders, links, text, files of several kinds, odd pictures."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsing import Page
from page_pictures import crowd, encoded, upload
from PIL import Image

LINK = {"mimeType": "text/uri-list", "data": "http://127.0.0.1:9/picture.jpg"}


def drop(page: Page, *files: Path, items: tuple[dict[str, str], ...] = ()) -> None:
    """As a person drops: the browser's own events, with its own reading of folders."""
    data = {"items": list(items), "files": [str(path) for path in files], "dragOperationsMask": 1}
    session = page.context.new_cdp_session(page.page)
    for kind in ("dragEnter", "dragOver", "drop"):
        event = {"type": kind, "x": 400, "y": 400, "data": data}
        session.send("Input.dispatchDragEvent", event)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "inner").mkdir()
    (tmp_path / "10.png").write_bytes(encoded(crowd(1)))
    (tmp_path / "9.png").write_bytes(encoded(crowd(1)))
    (tmp_path / "inner" / "deep.jpg").write_bytes(encoded(crowd(2), "JPEG"))
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden").write_text("nobody means this")
    return tmp_path


def test_a_folder_is_gone_through_and_what_is_left_out_is_said(page: Page, folder: Path) -> None:
    drop(page, folder)
    page.expect(".strip button").to_have_count(3)
    page.expect("#banner-taken").to_contain_text("1 file that is no picture")
    page.expect('.strip [title*=" face"]:not([title*="being"])').to_have_count(3)
    titles = page.page.locator(".strip [title]").evaluate_all("all => all.map((one) => one.title)")
    assert [title.split(":")[0] for title in titles] == ["9.png", "10.png", "deep.jpg"]


def test_an_empty_folder_is_said(page: Page, tmp_path: Path) -> None:
    drop(page, tmp_path)
    page.expect("#banner-taken").to_contain_text("The folder is empty")


def test_a_link_does_not_lead_away_and_text_is_said(page: Page) -> None:
    page.page.click('[data-sample="happy"]')
    page.expect(".face").to_have_count(1)
    before = page.page.url
    drop(page, items=(LINK,))
    page.expect("#banner-taken").to_contain_text("save it and drop the file")
    assert page.page.url == before
    page.expect(".face").to_have_count(1)


def test_a_video_among_pictures_is_opened_and_the_pictures_are_named(
    page: Page, folder: Path, tmp_path: Path
) -> None:
    from test_page_video import webm

    film = tmp_path / "film.webm"
    film.write_bytes(webm([crowd(1)[:, :640]] * 5))
    drop(page, film, folder / "9.png")
    page.expect("#video h2").to_have_text(["film.webm"])
    page.expect("#banner-taken").to_contain_text("Left out: 1 picture.")


def test_pictures_of_odd_shapes(page: Page) -> None:
    frames = [Image.fromarray(crowd(2, seed=seed)) for seed in range(3)]
    held = io.BytesIO()
    frames[0].save(held, "GIF", save_all=True, append_images=frames[1:])
    names = {
        "pixel": "1.png",
        "panorama": "wide.png",
        "moving": "\u0635\u0648\u0631\u0629 \U0001f600.gif",
    }
    files: dict[str, Any] = {
        "pixel": upload(encoded(np.full((1, 1, 3), 90, np.uint8)), name=names["pixel"]),
        "panorama": upload(encoded(np.tile(crowd(5), (1, 6, 1))), name=names["panorama"]),
        "moving": upload(held.getvalue(), "GIF", name=names["moving"]),
    }
    page.add(*files.values())
    page.expect('.strip [title*=" face"]:not([title*="being"])').to_have_count(3)
    page.expect("#pictures h3").to_have_text(["No face found"])
    page.page.locator(".strip button").nth(1).click()
    height = page.page.locator(".stage img").bounding_box()
    assert height is not None
    assert height["height"] > 100
    page.expect(".stage").to_have_attribute("tabindex", "0")
    assert page.axe() == []
    page.page.locator(".strip button").nth(2).click()
    page.expect("#pictures h2").to_have_text([names["moving"]])
    page.expect("#pictures").to_contain_text("first of 3 frames")
    heading = page.page.locator("#pictures h2").bounding_box()
    name = page.page.locator("#pictures h2 bdi").bounding_box()
    assert heading is not None
    assert name is not None
    assert name["x"] == heading["x"]  # a name from right to left begins where every heading does


def test_sixty_faces_stay_in_sight_and_are_heard_in_short(page: Page) -> None:
    page.add(upload(encoded(crowd(60)), name="sixty.png"))
    page.expect(".box").not_to_have_count(0)
    assert page.page.locator(".box").count() > 50
    covered = page.page.locator(".box").evaluate_all(
        "all => all.filter((box) => { const tag = box.querySelector('.tag')"
        ".getBoundingClientRect(), face = box.getBoundingClientRect(); "
        "return tag.width * tag.height > face.width * face.height / 3; }).length"
    )
    assert covered == 0
    page.expect("#live").to_contain_text("more")
    assert page.page.inner_text("#live").count("%") == 8


def test_on_paper_all_is_black_on_white(page: Page) -> None:
    page.page.emulate_media(color_scheme="dark")
    page.add(upload(encoded(crowd(2)), name="two.png"))
    page.expect(".face").to_have_count(2)
    colours = (
        "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
    )
    assert page.page.evaluate(colours) == ["rgb(243, 240, 234)", "rgb(21, 20, 19)"]
    page.page.emulate_media(media="print")
    assert page.page.evaluate(colours) == ["rgb(29, 27, 24)", "rgb(255, 255, 255)"]
    for hidden in (".top", "footer", 'button:has-text("Start over")'):
        page.expect(hidden).to_be_hidden()
    page.expect(".face .bar >> nth=0").to_be_visible()
