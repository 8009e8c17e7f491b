"""Frames a second that the page of `mien serve` analyses of a camera, on the device and on the
server.

    python benchmarks/live.py [--seconds 10] [--detail 320]

Needs `make vendor`, the package playwright and Debian's chromium. The camera is chromium's fake
one; it plays a drawn clip of 640 x 480 at 30 frames a second. Printed for each place: frames
analysed and frames that the camera delivered meanwhile. The alternative in the same run is the
server.
"""

from __future__ import annotations

import io
import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import harness
import numpy as np
from PIL import Image
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Page, expect, sync_playwright

from mien.data.synthetic import draw_faces

FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --use-fake-device-for-media-stream "
    "--use-fake-ui-for-media-stream"
).split()
STEPS = 60


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--detail", type=int, default=320, choices=(320, 480, 640))
    options = parser.parse_args()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "mien", "serve", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
            clip = Path(folder) / "clip.mjpeg"
            clip.write_bytes(drawn_clip())
            browser = driver.chromium.launch(
                executable_path="/usr/bin/chromium",
                args=[*FLAGS, f"--use-file-for-fake-video-capture={clip}"],
            )
            page = browser.new_context(permissions=["camera"]).new_page()
            open_page(page, f"http://127.0.0.1:{port}/")
            page.select_option("#camera select", str(options.detail))
            for place in ("device", "server"):
                page.locator(f'[name="place"][value="{place}"]').check(force=True)
                page.wait_for_timeout(3000)
                analysed, camera = measured(page, options.seconds)
                print(
                    f"{place}: {analysed:.1f} frames a second analysed at {options.detail} px, "
                    f"camera {camera:.1f} (n = {options.seconds:.0f} s)"
                )
            browser.close()
    finally:
        server.terminate()
        server.wait(30)


def open_page(page: Page, url: str) -> None:
    """The page with its camera on and a face seen."""
    for _ in range(100):
        try:
            page.goto(url)
            break
        except PlaywrightError as error:  # until the server listens
            if "ERR_CONNECTION_REFUSED" not in str(error):
                raise
            time.sleep(0.3)
    expect(page.locator("#place-state")).to_contain_text("Ready", timeout=60_000)
    page.click("#tab-camera")
    page.click('button:has-text("start the camera")')
    expect(page.locator("[data-track]")).to_have_count(1, timeout=30_000)


def measured(page: Page, seconds: float) -> tuple[float, float]:
    """Mean of what the page says of its last two seconds: analysed, delivered."""
    rates = []
    for _ in range(max(1, int(seconds / 2))):
        page.wait_for_timeout(2000)
        words = page.locator("#camera").inner_text()
        found = re.search(r"(\d+) frames a second analysed; the camera gives (\d+)", words)
        if found is None:
            raise SystemExit(f"got a page without rates; expected them under the camera: {words}")
        rates.append([float(found[1]), float(found[2])])
    analysed, camera = np.mean(rates, axis=0)
    return float(analysed), float(camera)


def drawn_clip() -> bytes:
    """A drawn face that goes to and fro, as JPEG after JPEG."""
    face = Image.fromarray(draw_faces(np.array([3]), seed=5)[0, ..., 0])
    large = np.asarray(face.resize((240, 240), Image.Resampling.BICUBIC))
    clip = io.BytesIO()
    for step in [*range(STEPS), *reversed(range(STEPS))]:
        picture = np.full((480, 640, 3), 120, np.uint8)
        picture[120:360, 40 + 5 * step : 280 + 5 * step] = large[..., None]
        Image.fromarray(picture).save(clip, "JPEG", quality=90)
    return clip.getvalue()


if __name__ == "__main__":
    main()
