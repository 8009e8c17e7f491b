"""The tests of the page run in Debian's chromium, driven by Playwright; where that is absent they
skip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import CHROMIUM, FLAGS, RUNTIME, Page, Server

from mien.vision.yunet_weights import PACKAGED


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def _present() -> None:
    for name, reason in (("fastapi", "the extra [serve]"), ("playwright", "Playwright")):
        pytest.importorskip(name, reason=f"{reason} is not installed")
    if not CHROMIUM.exists():
        pytest.skip("no /usr/bin/chromium (Debian: apt-get install chromium)")
    missing = [str(path) for path in (PACKAGED, RUNTIME) if not path.is_file()]
    if missing:
        pytest.skip("run make vendor first; absent: " + ", ".join(missing))


@pytest.fixture(scope="session")
def server(_present: None) -> Iterator[Server]:
    found = Server()
    yield found
    found.stop()


@pytest.fixture(scope="session")
def new_server(_present: None) -> Iterator[Callable[..., Server]]:
    """Starts further servers, with options, or to be killed."""
    started: list[Server] = []

    def start(*options: str) -> Server:
        started.append(Server(*options))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.stop()


@pytest.fixture(scope="session")
def _driver(_present: None) -> Iterator[Any]:
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=30_000)  # a busy machine needs seconds to start the networks
    with sync_playwright() as driver:
        yield driver


@pytest.fixture(scope="session")
def browser(_driver: Any) -> Iterator[Any]:
    found = _driver.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
    yield found
    found.close()


@pytest.fixture(scope="session")
def new_browser(_driver: Any) -> Iterator[Callable[..., Any]]:
    """Starts browsers with further flags: a fake camera, another name for this machine."""
    started: list[Any] = []

    def start(*flags: str) -> Any:
        started.append(
            _driver.chromium.launch(executable_path=str(CHROMIUM), args=[*FLAGS, *flags])
        )
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def new_page(browser: Any, server: Server) -> Iterator[Callable[..., Page]]:
    """Opens pages; at the end each must have met no error and no violation of the policy."""
    opened: list[Page] = []

    def start(url: str = "", *, in_browser: Any = None, **options: Any) -> Page:
        opened.append(Page(in_browser or browser, url or server.url, **options))
        return opened[-1]

    yield start
    for one in opened:
        one.close()
    assert [problem for one in opened for problem in one.problems] == []


@pytest.fixture
def page(new_page: Callable[..., Page]) -> Page:
    found = new_page()
    found.ready()
    return found
