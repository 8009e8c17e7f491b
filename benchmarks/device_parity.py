"""How far the answers of the page's device mode are from the library's, on pictures of your own.

    python benchmarks/device_parity.py PICTURES/ [--num 150] [--seed 0]

Takes pictures from a folder by chance, saves them in six formats in turn, adds six sheets of
sixteen (so that pictures are shrunk too), gives all to the page in Debian's chromium, and compares
what it writes as JSON with `mien.load(max_side=1280)`. Needs `make vendor` and the package
playwright.
"""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import harness
import numpy as np
from PIL import Image
from playwright.sync_api import expect, sync_playwright

import mien

FORMS = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "AVIF": "image/avif",
    "BMP": "image/bmp",
    "GIF": "image/gif",
}
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
MAX_SIDE = 1280  # what the page asks for by default
ENDS = {".jpg", ".jpeg", ".png", ".webp"}


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--num", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    made = pictures(options.folder, options.num, np.random.default_rng(options.seed))
    frames = from_the_page(made)
    recognizer = mien.load(max_side=MAX_SIDE, num_threads=1)
    away, labels, lost = [], 0, 0
    for (_, data), frame in zip(made, frames, strict=True):
        expected = recognizer.faces(data)
        lost += abs(len(expected) - len(frame["faces"]))
        for face, other in zip(expected, frame["faces"], strict=False):
            p = np.array(list(face.to_dict()["probabilities"].values()))
            away.append(np.abs(p - list(other["probabilities"].values())).max())
            first, second = np.sort(p)[::-1][:2]
            labels += other["label"] != face.label and first - second > 0.01
    found = np.array(away)
    print(
        f"{len(made)} pictures, {len(found)} faces, {lost} found by one of both only, {labels} "
        f"other labels; probabilities within 1e-3: {np.mean(found <= 1e-3):.1%}, 95 % within "
        f"{np.percentile(found, 95):.1e}, all within {found.max():.1e}"
    )


def pictures(folder: Path, num: int, rng: np.random.Generator) -> list[tuple[str, bytes]]:
    """(form, file) of pictures drawn by chance, and of six sheets of sixteen."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDS)
    if len(paths) < num:
        raise SystemExit(f"got {len(paths)} pictures in {folder}; expected at least {num}")
    forms = list(FORMS)
    chosen = [paths[i] for i in rng.choice(len(paths), num, replace=False)]
    made = [(forms[i % 6], saved(opened(path), forms[i % 6])) for i, path in enumerate(chosen)]
    for form in forms:
        sheet = Image.new("RGB", (1700, 1300), (90, 90, 90))
        for j in range(16):
            one = opened(paths[rng.integers(len(paths))])
            scale = 300 / max(one.size) * rng.uniform(0.7, 1.3)
            size = (max(1, int(one.width * scale)), max(1, int(one.height * scale)))
            sheet.paste(one.resize(size, Image.Resampling.BICUBIC), (j % 4 * 420, j // 4 * 320))
        made.append((form, saved(sheet, form)))
    return made


def opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def saved(image: Image.Image, form: str) -> bytes:
    held = io.BytesIO()
    image.save(held, form)
    return held.getvalue()


def from_the_page(made: list[tuple[str, bytes]]) -> list[dict[str, Any]]:
    """Frames as the page writes them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/"
    port = url.rsplit(":", 1)[1].rstrip("/")
    server = subprocess.Popen(
        [sys.executable, "-m", "mien", "serve", "--port", port],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(url + "healthz")
        with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
            paths = []
            for i, (form, data) in enumerate(made):
                paths.append(Path(folder) / f"{i:04}.{form.lower()}")
                paths[-1].write_bytes(data)
            browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
            page = browser.new_page()
            page.goto(url)
            expect(page.locator("#place-state")).to_contain_text("Ready", timeout=60_000)
            page.set_input_files("#pictures input[type=file]", paths)
            done = page.locator('.strip [title*=" face"]')
            expect(done).to_have_count(len(made), timeout=600_000)
            with page.expect_download() as waiting:
                page.click('button:has-text("JSON")')
            found = json.loads(Path(waiting.value.path()).read_text(encoding="utf-8"))
            browser.close()
            return list(found["frames"])
    finally:
        server.terminate()
        server.wait(30)


def wait_for(url: str) -> None:
    for _ in range(300):
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise SystemExit("got no answer from mien serve in a minute; expected one")


if __name__ == "__main__":
    main()
