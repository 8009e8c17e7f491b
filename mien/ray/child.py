"""The process in which a worker recognises: if it hangs or dies, one file fails, not the worker.

`python -m mien.ray.child DESCRIPTOR` is started by `mien.ray.watched`. It receives a `Setup` and
then lists of (number, Item) through the connection, and sends `(kind, number, value)`:

    ready    None    it is ready
    refused  None    it cannot start; the value is the message of a MienError
    begun    n       the file's time limit starts anew
    waits    n       the file's bytes are there, but all cores are busy: its time limit stops
    frame    n       the value is a Frame
    ended    n       the file is complete
"""

from __future__ import annotations

import io
import os
import queue
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import PurePath
from typing import Any

from mien.errors import DataError, MienError
from mien.predict import draw_picture, watch_video
from mien.ray import storage
from mien.ray.setup import Item, Setup, frame_of
from mien.recognizer import Recognizer
from mien.results import Frame
from mien.vision.reading import Limits

AHEAD = 4  # remote files that are read while others are analysed
BROKEN = 70  # exit code after an unexpected error

Send = Callable[[str, int | None, Any], None]


def main() -> None:
    """Process files until the worker ends."""
    threading.excepthook = _die
    connection: Connection[Any, Any] = Connection(int(sys.argv[1]))
    lock = threading.Lock()

    def send(kind: str, number: int | None, value: Any = None) -> None:
        with lock:
            connection.send((kind, number, value))

    try:
        setup: Setup = connection.recv()
        _limit_threads()
        recognizer = setup.load()
    except MienError as error:
        send("refused", None, str(error))
        return
    send("ready", None)
    waiting: queue.SimpleQueue[tuple[int, Item]] = queue.SimpleQueue()
    cores = threading.Semaphore(setup.num_threads)
    processor = Processor(setup, recognizer, cores, send)
    for _ in range(setup.num_threads + AHEAD):
        threading.Thread(target=_work, args=(waiting, processor), daemon=True).start()
    while True:
        try:
            numbered_items = connection.recv()
        except (EOFError, OSError):
            os._exit(0)  # the worker has ended; this also ends threads that hang
        for numbered_item in numbered_items:
            waiting.put(numbered_item)


def _work(waiting: queue.SimpleQueue[tuple[int, Item]], processor: Processor) -> None:
    while True:
        number, item = waiting.get()
        processor.process(number, item)


class Processor:
    """Processes files, as many at a time as there are cores."""

    def __init__(
        self, setup: Setup, recognizer: Recognizer, cores: threading.Semaphore, send: Send
    ) -> None:
        self._setup, self._recognizer, self._cores, self._send = setup, recognizer, cores, send

    def process(self, number: int, item: Item) -> None:
        """Send the frames of a file."""
        self._send("begun", number, None)
        with ExitStack() as stack:
            error: DataError | None = None
            content: str | bytes = item.source if item.data is None else item.data
            try:
                if item.data is None and storage.is_remote(item.source):
                    content = self._fetched(number, item, stack)
            except DataError as failure:
                error = failure
            self._send("waits", number, None)
            stack.enter_context(self._cores)
            self._send("begun", number, None)
            is_empty = True
            for frame in self._frames(item, content, error):
                self._send("frame", number, frame)
                is_empty = False
            if is_empty:  # every file has a row
                self._send("frame", number, self._failed(item, _empty(item.source)))
            self._send("ended", number, None)

    def _fetched(self, number: int, item: Item, stack: ExitStack) -> str | bytes:
        """The bytes of a remote picture, or the path of a local copy of a remote video."""
        if not item.is_video:
            return storage.read(item.source, self._setup.queries, Limits())
        copy = stack.enter_context(
            tempfile.NamedTemporaryFile(prefix="mien-", suffix=PurePath(item.source).suffix)
        )
        for piece in storage.pieces(item.source, self._setup.queries):
            copy.write(piece)
            self._send("begun", number, None)  # a slow download does not use up the time limit
        copy.flush()
        return copy.name

    def _frames(self, item: Item, content: str | bytes, error: DataError | None) -> Iterator[Frame]:
        recognizer, setup = self._recognizer, self._setup
        if error is not None:
            yield self._failed(item, error)
        elif isinstance(content, bytes) or not item.is_video:
            picture = content if isinstance(content, str) else _named(content, item.source)
            frame = frame_of(recognizer, picture, item.source)
            yield draw_picture(recognizer, frame, content, item.name, setup.outputs)
        else:
            frames = watch_video(content, item.name, recognizer, setup.outputs, setup.options, _say)
            for frame in frames:
                message = frame.error and frame.error.replace(content, item.source)
                yield replace(frame, source=item.source, error=message)

    def _failed(self, item: Item, error: DataError) -> Frame:
        detector, prior = self._recognizer.detector.name, self._recognizer.prior
        return failed(item.source, str(error), detector, prior)


def failed(source: str, error: str, detector: str, prior: str) -> Frame:
    """The frame of a file that could not be processed."""
    return Frame(source, 0, None, 0, 0, detector, (), error, prior)


def _empty(source: str) -> DataError:
    return DataError(
        source, got="a video without a frame", expected="one or more", fix="remove the file"
    )


def _named(data: bytes, name: str) -> io.BytesIO:
    """The bytes as a file with a name, which errors show."""
    file = io.BytesIO(data)
    file.name = name  # type: ignore[attr-defined]
    return file


def _limit_threads() -> None:
    """Keep OpenCV from using all cores of the machine."""
    import cv2

    cv2.setNumThreads(1)
    os.environ["OMP_NUM_THREADS"] = "1"


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def _die(what: threading.ExceptHookArgs) -> None:
    """End the process; the worker then tries its files one by one."""
    traceback.print_exception(what.exc_value)
    sys.stderr.flush()
    os._exit(BROKEN)


if __name__ == "__main__":
    main()
