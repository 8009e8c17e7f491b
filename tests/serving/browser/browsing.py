"""A real server and a real browser's page, as the tests of the page use them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

import mien
from mien.vision.yunet_weights import PACKAGED

CHROMIUM = Path("/usr/bin/chromium")
ROOT = Path(__file__).parents[3]
AXE = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
RUNTIME = PACKAGED.parents[1] / "ort" / "ort-wasm-simd-threaded.wasm"
# The background-networking flags keep chromium from asking hosts that a closed network refuses.
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage"
).split()
START_S = 60
# Said by the browser of what a test does on purpose: an error status, plain http under another
# name.
HARMLESS = ("Failed to load resource", "Cross-Origin-Opener-Policy header has been ignored")


class Server:
    """`mien serve` in a process of its own, on a free port of this machine."""

    def __init__(self, *options: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mien", "serve", "--port", str(port), *options],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(Path(mien.__file__).parents[1])},
            stdout=subprocess.DEVNULL,
            stderr=(log := tempfile.TemporaryFile()),  # a pipe that nobody reads would fill
        )
        self.log = log
        self._wait()

    def _wait(self) -> None:
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            if self.process.poll() is not None:
                self.log.seek(0)
                raise AssertionError(self.log.read()[-2000:].decode())
            try:
                with urllib.request.urlopen(self.url + "healthz", timeout=5):
                    return
            except OSError:
                time.sleep(0.1)
        raise AssertionError(f"the server did not answer within {START_S} s")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=30)
        self.log.close()


class Page:
    """A page of the browser, with what went wrong in it and what it asked for."""

    def __init__(self, browser: Any, url: str, **options: Any) -> None:
        self.context = browser.new_context(
            **{"viewport": {"width": 1280, "height": 860}, **options}
        )
        self.page = self.context.new_page()
        self.problems: list[str] = []
        self.requests: list[tuple[str, str]] = []
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on(
            "console",
            lambda said: (
                self.problems.append(said.text)
                if said.type == "error" and not any(known in said.text for known in HARMLESS)
                else None
            ),
        )
        self.page.on("request", lambda asked: self.requests.append((asked.method, asked.url)))
        self.page.goto(url)

    def ready(self) -> None:
        """Wait until the networks run in the page and proved themselves."""
        from playwright.sync_api import expect

        expect(self.page.locator("#place-state")).to_contain_text("Ready", timeout=60_000)

    def expect(self, selector: str) -> Any:
        from playwright.sync_api import expect

        return expect(self.page.locator(selector))

    def choose_place(self, place: str) -> None:
        self.page.locator(f'[name="place"][value="{place}"]').check(force=True)

    def add(self, *files: dict[str, Any]) -> None:
        """Choose pictures: each with name, mimeType and buffer."""
        self.page.set_input_files("#pictures input[type=file]", list(files))

    def axe(self) -> list[str]:
        """Ids of what axe-core objects to."""
        if not AXE.is_file():
            pytest.skip("axe-core is absent: run npm ci in web/")
        self.page.evaluate(AXE.read_text(encoding="utf-8") + ";0")
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        assert len(found["passes"]) > 5
        return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found["violations"]]

    def close(self) -> None:
        self.context.close()
