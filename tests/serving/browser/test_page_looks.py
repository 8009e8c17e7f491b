"""What everybody can use: axe-core without a complaint in every state and both themes, small
screens, motion.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from browsing import Page
from page_pictures import crowd, encoded, upload

THEMES = ("light", "dark")


@pytest.mark.parametrize("theme", THEMES)
def test_axe_finds_nothing_in_any_state(new_page: Callable[..., Page], theme: str) -> None:
    page = new_page(color_scheme=theme)
    page.ready()
    found = {"beginning": page.axe()}
    page.add(upload(encoded(crowd(5))), upload(b"no picture", name="letter.jpg"))
    page.expect('.strip [title*="5 faces"]').to_have_count(1)
    page.page.locator(".strip button").first.click()
    for summary in page.page.locator(".face >> nth=0 >> summary").all():
        summary.click()
    found["faces"] = page.axe()
    page.page.locator(".strip button").nth(1).click()
    page.expect("[role=alert]").to_be_visible()
    found["not a picture"] = page.axe()
    for tab in ("camera", "video"):
        page.page.click(f"#tab-{tab}")
        found[tab] = page.axe()
    for dialog in ("settings", "about"):
        page.page.click(f"#open-{dialog}")
        page.expect(f"#{dialog}").to_be_visible()
        found[dialog] = page.axe()
        page.page.keyboard.press("Escape")
    assert len(found) == 7
    assert {state: problems for state, problems in found.items() if problems} == {}
    back = page.page.evaluate("getComputedStyle(document.body).backgroundColor")
    light = sum(int(part) for part in back.removeprefix("rgb(").removesuffix(")").split(",")) > 382
    assert light == (theme == "light")


@pytest.mark.parametrize(("width", "zoom"), [(320, 1), (390, 1), (640, 2), (768, 1)])
def test_nothing_sticks_out_of_a_small_screen(
    new_page: Callable[..., Page], width: int, zoom: int
) -> None:
    """At 200 % zoom a screen of 640 px has 320 CSS pixels."""
    page = new_page(viewport={"width": width // zoom, "height": 700}, device_scale_factor=zoom)
    page.ready()
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.page.evaluate(wide) <= 0
    page.add(upload(encoded(crowd(5)), name="a very long name of a file without any blank.png"))
    page.expect(".face").to_have_count(5)
    assert page.page.evaluate(wide) <= 0
    for tab in ("camera", "video"):
        page.page.click(f"#tab-{tab}")
        assert page.page.evaluate(wide) <= 0
    for dialog in ("settings", "about"):
        page.page.click(f"#open-{dialog}")
        box = page.page.locator(f"#{dialog}").bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width // zoom
        page.page.keyboard.press("Escape")


def test_targets_are_large_enough_for_a_finger(page: Page) -> None:
    page.add(upload(encoded(crowd(3))))
    page.expect(".face").to_have_count(3)
    sizes = page.page.locator("button:visible, a.button:visible").evaluate_all(
        "all => all.map(one => { const r = one.getBoundingClientRect(); return [one.innerText, "
        "r.width, r.height]; })"
    )
    assert len(sizes) > 10
    assert [size for size in sizes if min(size[1:]) < 24] == []


def test_less_motion_where_that_is_asked_for(new_page: Callable[..., Page]) -> None:
    still = new_page(reduced_motion="reduce")
    still.ready()
    still.add(upload(encoded(crowd(2))))
    still.expect(".face").to_have_count(2)
    moves = "getComputedStyle(document.querySelector('.bar-fill')).transitionDuration"
    assert still.page.evaluate(moves) == "0s"
    turns = (
        "() => { const busy = document.createElement('p'); busy.className = 'busy'; "
        "document.body.append(busy); return getComputedStyle(busy, '::before').animationName; }"
    )
    assert still.page.evaluate(turns) == "pulse"
    still.page.emulate_media(reduced_motion="no-preference")
    assert still.page.evaluate(turns) == "spin"


@pytest.mark.parametrize("theme", THEMES)
def test_what_is_chosen_shows_in_colours_of_the_readers_own(
    new_page: Callable[..., Page], theme: str
) -> None:
    page = new_page(forced_colors="active", color_scheme=theme)
    page.ready()
    page.page.click("#open-settings")
    back = "(one) => getComputedStyle(one).backgroundColor"
    for chosen, other in (
        ("#tab-pictures", "#tab-camera"),
        ('[name="place"][value="device"] + span', '[name="place"][value="server"] + span'),
        (".option:has(:checked) >> nth=0", ".option:not(:has(:checked)) >> nth=0"),
    ):
        colours = [page.page.locator(one).evaluate(back) for one in (chosen, other)]
        assert colours[0] != colours[1], chosen


def test_the_theme_can_be_chosen(page: Page) -> None:
    back = "getComputedStyle(document.body).backgroundColor"
    before = page.page.evaluate(back)
    page.page.click("#open-settings")
    page.page.select_option("#theme", "dark")
    page.page.keyboard.press("Escape")
    assert page.page.evaluate(back) != before
    page.page.reload()
    page.ready()
    assert page.page.evaluate(back) != before


def test_intended_use_and_limits_are_one_click_away(page: Page) -> None:
    page.page.click("#open-limits")
    page.expect("#about").to_contain_text("Not for")
    page.expect("#about").to_contain_text("Article 5(1)(f)")
    page.expect("#about-card").to_contain_text("95 % interval")
    page.page.keyboard.press("Escape")
    page.expect("footer").to_contain_text("Pictures are not stored.")
