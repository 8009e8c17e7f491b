"""`make vendor`: what is not ours, put into the package: onnxruntime-web, uPlot and YuNet.

npm takes the first two as `package-lock.json` pins them, YuNet comes as `mien predict` would fetch
it ($MIEN_YUNET, the cache, a checked download). Every file is compared with the sha256 below and
lies, with its licence, in a folder that git ignores and that the wheel includes. Without npm or
network everything else works; the page then says that it cannot recognise on the device.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

from mien.errors import MienError
from mien.vision.yunet_weights import YUNET_FILE, YUNET_SHA256, yunet_weights

WEB = Path(__file__).parent
MODULES = WEB / "node_modules"
VENDOR = WEB.parent / "mien" / "serving" / "page" / "vendor"
NPM_TIMEOUT_S = 300

# File in VENDOR -> file in node_modules, sha256.
PINNED = {
    "ort/ort.wasm.min.mjs": (
        "onnxruntime-web/dist/ort.wasm.min.mjs",
        "219e6a1fc8a9938268d18efca3c91d310bd2f4a59bbd13744df5b2b7fc6cee3b",
    ),
    "ort/ort-wasm-simd-threaded.mjs": (
        "onnxruntime-web/dist/ort-wasm-simd-threaded.mjs",
        "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b",
    ),
    "ort/ort-wasm-simd-threaded.wasm": (
        "onnxruntime-web/dist/ort-wasm-simd-threaded.wasm",
        "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
    ),
    "uplot/uPlot.esm.js": (
        "uplot/dist/uPlot.esm.js",
        "5dd9b3281aa64b461b42d9945f6adb2649d346502b12281a9ae0d46599a80eba",
    ),
    "uplot/uPlot.min.css": (
        "uplot/dist/uPlot.min.css",
        "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    ),
    "uplot/LICENSE": (
        "uplot/LICENSE",
        "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
    ),
}


class VendorError(Exception):
    """What could not be taken, and how to fix it."""


def main() -> int:
    """Take what can be had; 1 where something is missing."""
    problems = []
    for name, take in (("onnxruntime-web and uPlot", take_web), ("YuNet", take_yunet)):
        try:
            take()
        except (VendorError, MienError) as error:
            problems.append(f"vendor: {name}: {error}")
    for path in sorted(VENDOR.rglob("*")):
        if path.is_file():
            print(f"{path.stat().st_size:>12,}  {path.relative_to(VENDOR)}")
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def take_web() -> None:
    """The files of `PINNED`, by npm where they are not there yet, and the licences."""
    if not all(digest(VENDOR / name) == sha256 for name, (_, sha256) in PINNED.items()):
        install()
        for name, (source, sha256) in PINNED.items():
            put((MODULES / source).read_bytes(), name, sha256)
    # The package of npm has no licence file; that of PyPI, the same project, has.
    runtime = distribution("onnxruntime")
    for name in ("LICENSE", "ThirdPartyNotices.txt"):
        put(Path(str(runtime.locate_file(f"onnxruntime/{name}"))).read_bytes(), f"ort/{name}")


def take_yunet() -> None:
    """YuNet's weights and their licence."""
    kept = VENDOR / "yunet" / YUNET_FILE
    if digest(kept) != YUNET_SHA256:
        put(yunet_weights().read_bytes(), f"yunet/{YUNET_FILE}", YUNET_SHA256)
    put((WEB / "licences" / "yunet.txt").read_bytes(), "yunet/LICENSE")


def install() -> None:
    """`npm ci`: exactly what the lock file names, each checked by npm against its sha512."""
    npm = shutil.which("npm")
    if npm is None:
        raise VendorError("got no npm; expected Node.js with npm. Fix: install Node.js 20 or newer")
    try:
        done = subprocess.run(
            [npm, "ci"], cwd=WEB, capture_output=True, text=True, timeout=NPM_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise VendorError(
            f"got no answer from npm in {NPM_TIMEOUT_S} s; expected a registry. Fix: connect once"
        ) from None
    if done.returncode:
        reason = " ".join(done.stderr.split())[-300:]
        raise VendorError(
            f"got {reason!r} from npm ci; expected two packages. Fix: connect once to npm's "
            "registry"
        )


def put(data: bytes, name: str, sha256: str | None = None) -> None:
    """Write a file whole or not at all, if it is what was pinned."""
    found = hashlib.sha256(data).hexdigest()
    if sha256 is not None and found != sha256:
        raise VendorError(
            f"got {name} with sha256 {found}; expected {sha256}. Fix: see who changed it; a new "
            "version is pinned in web/vendor.py"
        )
    target = VENDOR / name
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    part.write_bytes(data)
    os.replace(part, target)


def digest(path: Path) -> str | None:
    """sha256 of a file, None where there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


if __name__ == "__main__":
    sys.exit(main())
