"""Requests a second and their times: `mien serve` beside a plain FastAPI endpoint.

    MIEN_YUNET=FILE python benchmarks/serve.py [--seconds 5] [--max-side 640] [--json]

The picture is a JPEG of 640 x 480 with one face (scikit-image's astronaut, shrunk into a plain
background). The plain endpoint is what one writes first: `def faces(file: UploadFile)`, which
FastAPI runs in its thread pool, calling the same recogniser. Both run alone, one after the other,
with the load on the same cores.

closed c  so many clients, each on a connection of its own, ask again as soon as they are answered;
          one that is refused waits as Retry-After says.
open x    requests at fixed times, x times as many as `closed 8` answered, whatever comes back: what
          visitors do, who do not wait for each other.
whole     closed 8 with `?faces=whole` (only `mien serve`): the picture is a face already.

`ok` are answers a second, `refused` 503s a second, p50 and p99 in ms; `health` is the p99 of
/healthz, asked every 50 ms meanwhile; `cpu` the server's processor time for an answer, in ms, which
other work on the machine changes least.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import harness
import numpy as np
from PIL import Image
from skimage.data import astronaut

from mien.runtime import cores, processor

PLAIN = """
import mien, uvicorn
from fastapi import FastAPI, UploadFile
app = FastAPI()
recognizer = mien.load(max_side={side})

@app.post("/v1/faces")
def faces(file: UploadFile):
    return [face.to_dict() for face in recognizer.faces(file.file.read())]

@app.get("/healthz")
def healthz():
    return "ok"

uvicorn.run(app, port={port}, log_level="warning")
"""


@dataclass
class Seen:
    """What came back, in seconds."""

    ok: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    other: int = 0
    health: list[float] = field(default_factory=list)

    def row(self, seconds: float) -> dict[str, float]:
        found = {
            "ok": len(self.ok) / seconds,
            "p50": ms(self.ok, 50),
            "p99": ms(self.ok, 99),
            "refused": len(self.refused) / seconds,
            "refused p99": ms(self.refused, 99),
            "other": self.other,
            "health": ms(self.health, 99),
        }
        return {name: round(value, 1) for name, value in found.items()}


def ms(seconds: list[float], percent: float) -> float:
    return 1000 * float(np.percentile(seconds, percent)) if seconds else float("nan")


class Client:
    """One keep-alive connection."""

    def __init__(self, port: int) -> None:
        self._port, self._streams = port, None

    async def ask(self, request: bytes) -> tuple[int, float]:
        """The status, and Retry-After in seconds (0 without one)."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.I)
        await reader.readexactly(int(length[1]) if length else 0)
        if b"connection: close" in head.lower():
            self.close()
        later = re.search(rb"retry-after: (\d+)", head, re.I)
        return int(head[9:12]), float(later[1]) if later else 0.0

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def timed(client: Client, request: bytes, seen: Seen) -> float:
    began = time.perf_counter()
    try:
        status, later = await client.ask(request)
    except (OSError, asyncio.IncompleteReadError):
        client.close()
        seen.other += 1
        return 0.1
    took = time.perf_counter() - began
    if status == 200:
        seen.ok.append(took)
    elif status == 503:
        seen.refused.append(took)
    else:
        seen.other += 1
    return later


async def health(port: int, seen: Seen) -> None:
    client = Client(port)
    while True:
        began = time.perf_counter()
        await client.ask(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        seen.health.append(time.perf_counter() - began)
        await asyncio.sleep(0.05)


async def closed(port: int, request: bytes, count: int, seconds: float) -> Seen:
    seen, until = Seen(), time.perf_counter() + seconds

    async def one() -> None:
        client = Client(port)
        while (left := until - time.perf_counter()) > 0:
            later = await timed(client, request, seen)
            await asyncio.sleep(min(later, left))
        client.close()

    watching = asyncio.ensure_future(health(port, seen))
    await asyncio.gather(*(one() for _ in range(count)))
    watching.cancel()
    return seen


async def opened(port: int, request: bytes, rate: float, seconds: float) -> Seen:
    seen, idle, jobs = Seen(), [Client(port) for _ in range(64)], set()

    async def one() -> None:
        client = idle.pop() if idle else Client(port)
        await timed(client, request, seen)
        idle.append(client)

    watching = asyncio.ensure_future(health(port, seen))
    began = time.perf_counter()
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
        job = asyncio.ensure_future(one())
        jobs.add(job)
        job.add_done_callback(jobs.discard)
    await asyncio.gather(*jobs)
    watching.cancel()
    for client in idle:
        client.close()
    return seen


def picture() -> bytes:
    """640 x 480, one face."""
    canvas = Image.new("RGB", (640, 480), (96, 110, 120))
    canvas.paste(Image.fromarray(astronaut()).resize((400, 400)), (120, 40))
    held = io.BytesIO()
    canvas.save(held, "JPEG", quality=80)
    return held.getvalue()


def request_of(data: bytes, path: str) -> bytes:
    """A form, which both understand."""
    body = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'
        + data
        + b"\r\n--b--\r\n"
    )
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"Content-Type: multipart/form-data; boundary=b\r\n\r\n" + body


@contextmanager
def running(name: str, side: int, port: int) -> Iterator[subprocess.Popen[bytes]]:
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "plain.py"
        script.write_text(PLAIN.format(side=side, port=port))
        ours = [*"-m mien serve --port".split(), str(port), "--max-side", str(side)]
        with open(os.devnull, "w") as quiet:
            command = [sys.executable, *(ours if name == "mien serve" else [str(script)])]
            process = subprocess.Popen(command, stderr=quiet)
        try:
            asyncio.run(ready(port))
            yield process
        finally:
            process.terminate()
            process.wait(20)


async def ready(port: int) -> None:
    for _ in range(600):
        try:
            status, _ = await Client(port).ask(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            if status == 200:
                return
        except (OSError, asyncio.IncompleteReadError):
            await asyncio.sleep(0.1)
    raise SystemExit("the server did not answer within a minute")


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--max-side", type=int, default=1280)
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    seconds, port = options.seconds, options.port
    load = os.getloadavg()[0]
    print(f"{processor()}, {cores()} cores, load {load:.1f}; {seconds:g} s each", file=sys.stderr)
    for name in ("mien serve", "plain FastAPI"):
        with running(name, options.max_side, port) as process:
            for row in measured(name, process, port, seconds):
                if options.json:
                    print(json.dumps({"server": name, **row}), flush=True)
                else:
                    print(
                        f"{name:14s} " + ", ".join(f"{k} {v}" for k, v in row.items()), flush=True
                    )


def measured(
    name: str, process: subprocess.Popen[bytes], port: int, seconds: float
) -> Iterator[dict[str, object]]:
    """A row for each way of loading it."""
    data = picture()
    form, whole = request_of(data, "/v1/faces"), request_of(data, "/v1/faces?faces=whole")
    asyncio.run(closed(port, form, 2, 1))  # so that everything is loaded
    rate = 0.0
    for load in ("closed 1", "closed 8", "closed 64", "open 2", "whole"):
        kind, _, number = load.partition(" ")
        if kind == "whole" and name != "mien serve":
            continue
        before = processor_s(process.pid)
        if kind == "open":
            seen = asyncio.run(opened(port, form, float(number) * rate, seconds))
        else:
            request, count = (whole, 8) if kind == "whole" else (form, int(number))
            seen = asyncio.run(closed(port, request, count, seconds))
        row = seen.row(seconds)
        rate = row["ok"] if load == "closed 8" else rate
        spent = processor_s(process.pid) - before
        yield {"load": load, **row, "cpu": round(1000 * spent / max(1, len(seen.ok)), 1)}


def processor_s(pid: int) -> float:
    """Processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
