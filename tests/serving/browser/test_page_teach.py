"""Teach it: corrections and labels land in the server's --collect folder, ready to train on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from browsing import Page, Server
from page_pictures import astronaut, crowd, encoded, upload

from mien.vision.image import load_image


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("collected")


@pytest.fixture(scope="module")
def teachable(new_server: Callable[..., Server], folder: Path) -> Server:
    return new_server("--collect", str(folder))


@pytest.fixture
def taught(new_page: Callable[..., Page], teachable: Server, folder: Path) -> Iterator[Page]:
    for path in folder.rglob("*.png"):
        path.unlink()
    page = new_page(teachable.url)
    page.ready()
    yield page


def kept(folder: Path) -> list[str]:
    return sorted(path.parent.name for path in folder.rglob("*.png"))


def test_a_correction_is_kept_counted_and_taken_back(taught: Page, folder: Path) -> None:
    taught.expect("footer").to_contain_text("Corrections are kept")
    taught.choose_place("server")
    taught.add(upload(encoded(astronaut(1024))))
    taught.page.click('button:has-text("Correct it")')
    taught.page.click('.face button:has-text("Cancel")')
    taught.page.click('button:has-text("Correct it")')
    taught.page.keyboard.press("5")
    taught.expect(".face").to_contain_text("Kept as sad")
    assert kept(folder) == ["sad"]
    (file,) = folder.rglob("*.png")
    crop = load_image(file)
    assert crop.shape[0] == crop.shape[1] > 150  # the picture's resolution, not the network's
    assert len(np.unique(crop.reshape(-1, 3), axis=0)) > 1000  # in colour
    taught.expect("footer").to_contain_text("1 face so far")
    taught.expect("footer").to_contain_text(f"mien train {folder} --init mien")
    taught.page.click('button:has-text("Undo")')
    taught.expect("footer").to_contain_text("0 faces so far")
    assert kept(folder) == []
    taught.page.locator(".face-head").focus()
    taught.page.keyboard.press("4")
    taught.expect(".face").to_contain_text("Kept as happy")
    assert kept(folder) == ["happy"]


def test_nothing_is_kept_in_device_mode(taught: Page, folder: Path) -> None:
    taught.add(upload(encoded(astronaut(256))))
    taught.expect(".face").to_have_count(1)
    taught.expect('button:has-text("Correct it")').to_have_count(0)
    taught.page.click("#tab-label")
    taught.expect("#label").to_contain_text("Choose “On the server” above")
    assert kept(folder) == []


def test_a_folder_is_labelled_by_keys(taught: Page, folder: Path) -> None:
    taught.choose_place("server")
    taught.page.click("#tab-label")
    taught.page.set_input_files(
        "#label input[type=file] >> nth=0",
        [upload(encoded(crowd(2, seed=seed)), name=f"{seed}.png") for seed in range(2)],
    )
    taught.expect("#label").to_contain_text("1 of 4")
    assert taught.axe() == []
    taught.page.locator('#label .choose button:has-text("Angry")').focus()
    taught.page.keyboard.press("Enter")
    taught.expect("#label").to_contain_text("2 of 4")
    taught.expect('#label .choose button:has-text("Angry")').to_be_focused()
    taught.page.keyboard.press("z")
    taught.expect("#label").to_contain_text("1 of 4")
    for number, key in enumerate("4475", start=1):
        taught.expect("#label").to_contain_text(f"{number} of 4")
        taught.page.keyboard.press(key)
    taught.expect("#label h2").to_have_text(["All labelled"])
    assert kept(folder) == ["happy", "happy", "neutral", "sad"]
    taught.page.keyboard.press("z")
    taught.expect("#label").to_contain_text("4 of 4")
    assert kept(folder) == ["happy", "happy", "neutral"]
    taught.page.locator("#label h2").click()  # off the tab, whose arrows change the panel
    taught.page.keyboard.press("ArrowRight")
    taught.expect("#label h2").to_have_text(["All labelled"])


def test_keys_label_right_after_the_server_was_chosen(taught: Page, folder: Path) -> None:
    """Pictures that came before wait for it; the focus stays on the switch."""
    taught.page.click("#tab-label")
    taught.page.set_input_files(
        "#label input[type=file] >> nth=0", [upload(encoded(crowd(1)), name="one.png")]
    )
    taught.expect("#label").to_contain_text("1 picture waits")
    taught.choose_place("server")
    taught.page.locator('[name="place"][value="server"]').focus()
    taught.expect("#label").to_contain_text("1 of 1")
    taught.page.keyboard.press("5")
    taught.expect("#label h2").to_have_text(["All labelled"])
    assert kept(folder) == ["sad"]


def test_single_keys_can_be_switched_off(taught: Page, folder: Path) -> None:
    """Speech input types letters and digits; arrows still turn the pages."""
    taught.choose_place("server")
    taught.page.click("#tab-label")
    taught.page.set_input_files(
        "#label input[type=file] >> nth=0", [upload(encoded(crowd(2)), name="two.png")]
    )
    taught.expect("#label").to_contain_text("1 of 2")
    taught.page.click('header [aria-label="Settings"]')
    taught.page.select_option("#keys", "off")
    taught.page.keyboard.press("Escape")
    taught.expect("#label").to_contain_text("1 of 2")
    taught.page.locator("#label h2").click()
    taught.page.keyboard.press("5")
    taught.page.keyboard.press("ArrowRight")
    taught.expect("#label").to_contain_text("2 of 2")
    assert kept(folder) == []


def test_a_server_that_does_not_collect_has_no_such_panel(page: Page) -> None:
    page.expect("#tab-label").to_be_hidden()
    page.expect("footer").not_to_contain_text("Corrections")
