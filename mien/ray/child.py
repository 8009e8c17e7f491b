"""The process in which a worker recognises: one that hangs or dies costs a file, not the worker.

`python -m mien.ray.child DESCRIPTOR` is started by `mien.ray.watched`. It gets a `Setup` and then
lists of (number, Item) through the connection, and tells `(kind, number, value)`:

    ready    None    it can begin
    refused  None    the sentence of a MienError: it cannot
    begun    n       the clock of the file runs anew
    waits    n       its bytes are there, and all cores are busy: no clock runs
    frame    n       a Frame
    ended    n       the file is whole
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

AHEAD = 4  # remote files that are read while others are looked at
BROKEN = 70  # exit code after an error that is nobody's picture

Tell = Callable[[str, int | None, Any], None]


def main() -> None:
    """Answer until the worker is gone."""
    threading.excepthook = _die
    connection: Connection[Any, Any] = Connection(int(sys.argv[1]))
    lock = threading.Lock()

    def tell(kind: str, number: int | None, value: Any = None) -> None:
        with lock:
            connection.send((kind, number, value))

    try:
        setup: Setup = connection.recv()
        _hold_threads(setup.num_threads)
        recognizer = setup.load()
    except MienError as error:
        tell("refused", None, str(error))
        return
    tell("ready", None)
    waiting: queue.SimpleQueue[tuple[int, Item]] = queue.SimpleQueue()
    cores = threading.Semaphore(setup.num_threads)
    answering = Answering(setup, recognizer, cores, tell)
    for _ in range(setup.num_threads + AHEAD):
        threading.Thread(target=_work, args=(waiting, answering), daemon=True).start()
    while True:
        try:
            given = connection.recv()
        except (EOFError, OSError):
            os._exit(0)  # the worker is gone, and whatever hangs here goes with it
        for one in given:
            waiting.put(one)


def _work(waiting: queue.SimpleQueue[tuple[int, Item]], answering: Answering) -> None:
    while True:
        number, item = waiting.get()
        answering.answer(number, item)


class Answering:
    """Answers files, as many at a time as there are cores."""

    def __init__(
        self, setup: Setup, recognizer: Recognizer, cores: threading.Semaphore, tell: Tell
    ) -> None:
        self._setup, self._recognizer, self._cores, self._tell = setup, recognizer, cores, tell

    def answer(self, number: int, item: Item) -> None:
        """Tell the frames of a file."""
        self._tell("begun", number, None)
        with ExitStack() as stack:
            error: DataError | None = None
            got: str | bytes = item.source if item.data is None else item.data
            try:
                if item.data is None and storage.is_remote(item.source):
                    got = self._fetched(number, item, stack)
            except DataError as failure:
                error = failure
            self._tell("waits", number, None)
            stack.enter_context(self._cores)
            self._tell("begun", number, None)
            is_empty = True
            for frame in self._frames(item, got, error):
                self._tell("frame", number, frame)
                is_empty = False
            if is_empty:  # every file has a row
                self._tell("frame", number, self._failed(item, _empty(item.source)))
            self._tell("ended", number, None)

    def _fetched(self, number: int, item: Item, stack: ExitStack) -> str | bytes:
        """The bytes of a remote picture; the path of a copy of a remote video."""
        if not item.is_video:
            return storage.read(item.source, self._setup.queries, Limits())
        copy = stack.enter_context(
            tempfile.NamedTemporaryFile(prefix="mien-", suffix=PurePath(item.source).suffix)
        )
        for piece in storage.pieces(item.source, self._setup.queries):
            copy.write(piece)
            self._tell("begun", number, None)  # a long way is no reason to give up
        copy.flush()
        return copy.name

    def _frames(self, item: Item, got: str | bytes, error: DataError | None) -> Iterator[Frame]:
        recognizer, setup = self._recognizer, self._setup
        if error is not None:
            yield self._failed(item, error)
        elif isinstance(got, bytes) or not item.is_video:
            picture = got if isinstance(got, str) else _named(got, item.source)
            frame = frame_of(recognizer, picture, item.source)
            yield draw_picture(recognizer, frame, got, item.name, setup.outputs)
        else:
            for frame in watch_video(
                got, item.name, recognizer, setup.outputs, setup.options, _say
            ):
                said = None if frame.error is None else frame.error.replace(got, item.source)
                yield replace(frame, source=item.source, error=said)

    def _failed(self, item: Item, error: DataError) -> Frame:
        detector, prior = self._recognizer.detector.name, self._recognizer.prior
        return failed(item.source, str(error), detector, prior)


def failed(source: str, error: str, detector: str, prior: str) -> Frame:
    """The frame of a file that could not be answered."""
    return Frame(source, 0, None, 0, 0, detector, (), error, prior)


def _empty(source: str) -> DataError:
    return DataError(
        source, got="a video without a frame", expected="one or more", fix="remove the file"
    )


def _named(data: bytes, name: str) -> io.BytesIO:
    """Bytes that errors call by the file's name."""
    file = io.BytesIO(data)
    file.name = name  # type: ignore[attr-defined]
    return file


def _hold_threads(num: int) -> None:
    """OpenCV would take all cores of the machine."""
    import cv2

    cv2.setNumThreads(1)
    os.environ["OMP_NUM_THREADS"] = "1"


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def _die(what: threading.ExceptHookArgs) -> None:
    """The worker sees the process end and looks at its files one by one."""
    traceback.print_exception(what.exc_value)
    sys.stderr.flush()
    os._exit(BROKEN)


if __name__ == "__main__":
    main()
