"""Whether damaged pictures can crash, hang or bloat the decoder.

    python benchmarks/mutate_images.py [--count 10000] [--seed 0] [--first 0] [--json]

About two dozen small pictures of all formats are drawn, and each case spoils one of them: bytes
flipped, pieces cut out, doubled, swapped or taken from another file, the end cut off, header fields
overwritten; checksums of PNG are mended in half of the cases, so that the damage reaches the
decoder. `mien.vision.image.load_image` may give a picture or a DataError, nothing else. The cases
run in a child process, so that a crash is a result and not the end; case n depends on the seed and
n alone, so `--first n --count 1` repeats it.

Ends with exit code 1 if a case crashed, raised anything but DataError, or took more than 2 s of
processor time, or if resident memory grew by 50 MB or more after the first 200 cases.
"""

from __future__ import annotations

import argparse
import gc
import io
import json
import os
import resource
import struct
import subprocess
import sys
import time
import zlib
from collections import Counter
from pathlib import Path

import harness
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
MOST_S = 2.0
MOST_GROWTH_MB = 50
WARM = 200


def png(
    pixels: np.ndarray, colour: int, depth: int, *, extra: bytes = b"", interlaced: bool = False
) -> bytes:
    """A PNG of the rows of `pixels`, which are samples in file order."""
    passes = [(0, 0, 1, 1)]
    if interlaced:
        passes = [
            (0, 0, 8, 8),
            (0, 4, 8, 8),
            (4, 0, 8, 4),
            (0, 2, 4, 4),
            (2, 0, 4, 2),
            (0, 1, 2, 2),
            (1, 0, 2, 1),
        ]
    lines = b""
    for top, left, down, right in passes:
        part = np.ascontiguousarray(pixels[top::down, left::right])
        lines += b"".join(
            b"\0" + (row.astype(">u2") if depth == 16 else row).tobytes()
            for row in part
            if part.size
        )
    header = struct.pack(
        ">IIBBBBB", pixels.shape[1], pixels.shape[0], depth, colour, 0, 0, int(interlaced)
    )
    parts = (
        chunk(b"IHDR", header),
        extra,
        chunk(b"IDAT", zlib.compress(lines)),
        chunk(b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def mend_png(data: bytes) -> bytes:
    """Make the checksums of a spoiled PNG true again, as far as its chunks can be followed."""
    out, position = bytearray(data), 8
    while position + 12 <= len(out):
        (length,) = struct.unpack_from(">I", out, position)
        end = position + 12 + length
        if end > len(out):
            break
        struct.pack_into(">I", out, end - 4, zlib.crc32(bytes(out[position + 4 : end - 4])))
        position = end
    return bytes(out)


def drawn_pictures() -> dict[str, bytes]:
    """Name -> file, of every format and kind that `load_image` reads."""
    from PIL import Image, features

    y, x = np.mgrid[0:90, 0:120]
    noise = np.random.default_rng(0).integers(0, 20, (90, 120))
    rgb = np.stack([(x * 2 + noise) % 256, (y * 2 + noise) % 256, (x + y) % 256], axis=2).astype(
        np.uint8
    )
    colour = Image.fromarray(rgb)
    gray, alpha = colour.convert("L"), colour.convert("RGBA")
    alpha.putalpha(Image.fromarray(((x * 2) % 256).astype(np.uint8)))
    others = [Image.fromarray(np.roll(rgb, 20 * step, axis=1)) for step in (1, 2)]
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "camera"

    def saved(image: Image.Image, form: str, **how: object) -> bytes:
        held = io.BytesIO()
        image.save(held, form, **how)
        return held.getvalue()

    files = {
        "jpeg": saved(colour, "JPEG", exif=exif),
        "jpeg-progressive": saved(colour, "JPEG", progressive=True),
        "jpeg-cmyk": saved(colour.convert("CMYK"), "JPEG"),
        "jpeg-gray": saved(gray, "JPEG", comment=b"a comment"),
        "png-1": saved(gray.convert("1"), "PNG"),
        "png-8": saved(colour, "PNG", exif=exif),
        "png-16": png(rgb[:, :, 0].astype(np.uint16) * 257, 0, 16),
        "png-16-rgb": png(rgb.astype(np.uint16) * 257, 2, 16),
        "png-palette": saved(colour.quantize(16), "PNG", transparency=3),
        "png-alpha": saved(alpha, "PNG", pnginfo=None),
        "png-gray-alpha": saved(alpha.convert("LA"), "PNG"),
        "png-interlaced": png(
            rgb,
            2,
            8,
            interlaced=True,
            extra=chunk(b"zTXt", b"Key\0\0" + zlib.compress(b"text" * 9)),
        ),
        "png-animated": saved(colour, "PNG", save_all=True, append_images=others),
        "webp": saved(colour, "WEBP", exif=exif),
        "webp-lossless": saved(alpha, "WEBP", lossless=True),
        "webp-animated": saved(colour, "WEBP", save_all=True, append_images=others),
        "gif": saved(colour, "GIF", comment=b"a comment"),
        "gif-animated": saved(colour, "GIF", save_all=True, append_images=others),
        "bmp": saved(colour, "BMP"),
        "bmp-palette": saved(colour.quantize(16), "BMP"),
        "tiff": saved(colour, "TIFF", exif=exif),
        "tiff-lzw": saved(alpha, "TIFF", compression="tiff_lzw"),
        "tiff-jpeg": saved(colour, "TIFF", compression="jpeg"),
        "tiff-pages": saved(
            gray, "TIFF", compression="tiff_deflate", save_all=True, append_images=others
        ),
        "pgm": saved(gray, "PPM"),
    }
    if features.check("avif"):
        files["avif"] = saved(colour, "AVIF", speed=10)
    return files


def spoil(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """One to three kinds of damage."""
    for _ in range(int(rng.integers(1, 4))):
        out, size = bytearray(data), max(1, len(data))
        start, length = int(rng.integers(size)), int(rng.integers(1, 1 + min(512, size)))
        kind = int(rng.integers(8))
        if kind == 0:  # flip bits anywhere
            for place in rng.integers(size, size=int(rng.integers(1, 12))):
                out[place : place + 1] = (
                    bytes([out[place] ^ (1 << int(rng.integers(8)))]) if place < len(out) else b""
                )
        elif kind == 1:  # overwrite bytes near the beginning, where the headers are
            for place in rng.integers(min(size, 256), size=int(rng.integers(1, 5))):
                out[place : place + 1] = bytes(
                    [int(rng.choice([0, 1, 127, 128, 255, int(rng.integers(256))]))]
                )
        elif kind == 2:
            out = out[:start]
        elif kind == 3:
            del out[start : start + length]
        elif kind == 4:
            out[start:start] = out[start : start + length] * int(rng.integers(1, 4))
        elif kind == 5:  # swap two pieces
            first, second = sorted(int(place) for place in rng.integers(size, size=2))
            out = (
                out[:first]
                + out[second : second + length]
                + out[first:second]
                + out[second + length :]
            )
        elif kind == 6:  # a piece of another file
            place = int(rng.integers(max(1, len(other))))
            out[start : start + length] = other[place : place + length]
        else:  # a 32-bit field made extreme
            value = int(rng.choice([0, 1, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFF]))
            out[start : start + 4] = struct.pack(str(rng.choice(["<I", ">I"])), value)
        data = bytes(out)
    return data


def case(number: int, seed: int, files: dict[str, bytes]) -> tuple[str, bytes]:
    rng = np.random.default_rng((seed, number))
    names = list(files)
    name, other = (names[int(index)] for index in rng.integers(len(names), size=2))
    data = spoil(files[name], files[other], rng)
    return name, mend_png(data) if name.startswith("png") and rng.random() < 0.5 else data


def resident_mb() -> float:
    """Of this process now; its peak where the system does not tell."""
    try:
        return (
            int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
        )
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def work(first: int, count: int, seed: int) -> None:
    """The child: a line with the number before each case, and the figures in the last one."""
    from mien.errors import DataError
    from mien.vision.image import load_image

    files = drawn_pictures()
    for data in files.values():
        load_image(data)
    ends: Counter[str] = Counter()
    wrong: list[str] = []
    slowest, slowest_case, before = 0.0, "", resident_mb()
    for number in range(first, first + count):
        name, data = case(number, seed, files)
        print(number, flush=True)
        began = time.process_time()
        try:
            pixels = load_image(data)
            ends["picture"] += 1
            if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
                wrong.append(f"{number} ({name}): {pixels.dtype} {pixels.shape}")
        except DataError:
            ends["DataError"] += 1
        except BaseException as error:  # noqa: BLE001 - whatever else comes out is what is looked for
            wrong.append(f"{number} ({name}): {type(error).__name__}: {error}")
        taken = time.process_time() - began
        if taken > slowest:
            slowest, slowest_case = taken, f"{number} ({name})"
        if number - first == WARM:
            gc.collect()
            before = resident_mb()
    gc.collect()
    figures = {
        "cases": count,
        "ends": dict(ends),
        "wrong": wrong,
        "slowest_s": slowest,
        "slowest_case": slowest_case,
        "growth_mb": resident_mb() - before,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        / (1e3 if sys.platform != "darwin" else 1e6),
    }
    print(json.dumps(figures), flush=True)


def main() -> int:
    parser = harness.parser(__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    if args.child:
        work(args.first, args.count, args.seed)
        return 0
    command = [
        sys.executable,
        "-W",
        "ignore",
        __file__,
        "--child",
        f"--first={args.first}",
        f"--count={args.count}",
    ]
    began = time.perf_counter()
    done = subprocess.run(
        [*command, f"--seed={args.seed}"], capture_output=True, text=True, errors="replace"
    )
    # libtiff writes of each spoiled file to stderr, past Python; only after a crash is that of
    # interest.
    lines = done.stdout.splitlines()
    if done.returncode or not lines or not lines[-1].startswith("{"):
        print(
            f"crashed with {done.returncode} at case {lines[-1] if lines else 'none'}",
            file=sys.stderr,
        )
        print(done.stderr[-2000:], file=sys.stderr)
        return 1
    figures = json.loads(lines[-1])
    figures["wall_s"] = time.perf_counter() - began
    ok = (
        not figures["wrong"]
        and figures["slowest_s"] <= MOST_S
        and figures["growth_mb"] < MOST_GROWTH_MB
    )
    if args.json:
        print(json.dumps(figures))
    else:
        for key, value in figures.items():
            print(f"{key:>14}: {value:.2f}" if isinstance(value, float) else f"{key:>14}: {value}")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
