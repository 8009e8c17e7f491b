"""The summary, events and timelines of a video, written while its frames pass."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from mien.recognizer import Recognizer
from mien.results import Frame
from mien.results.resume import make_folder, unwritable
from mien.results.writers import open_writer
from mien.video.events import events, write_events
from mien.video.summary import summary, write_summary
from mien.video.timeline import Timelines


def summed_up(
    frames: Iterator[Frame], name: str, recognizer: Recognizer, folder: Path
) -> Iterator[Frame]:
    """Pass frames on, then read them again from a file, so that memory does not grow."""
    timelines = Timelines(recognizer.labels)
    target = folder / name
    make_folder(target.parent)
    spool = target.with_name(f".{target.name}.jsonl")
    try:
        writer = open_writer(spool, "jsonl", labels=recognizer.labels.names)
    except OSError as error:
        raise unwritable(spool, error) from error

    def again() -> Iterable[Frame]:
        with spool.open(encoding="utf-8") as lines:
            for line in lines:
                yield Frame.from_dict(json.loads(line))

    try:
        with writer:
            for frame in frames:
                writer.write(frame)
                timelines.add(frame)
                yield frame
    finally:
        # Also after Ctrl-C: the frames so far are summed up.
        try:
            rows = summary(again(), labels=recognizer.labels.names)
            write_summary(target.with_name(f"{target.name}_summary.csv"), rows)
            write_events(
                target.with_name(f"{target.name}_events.tsv"),
                events(again()),
                about={"Network": recognizer.bundle.digest},
            )
            timelines.write(target.with_name(f"{target.name}_persons"))
        except OSError as error:
            raise unwritable(Path(error.filename or folder), error) from error
        finally:
            spool.unlink(missing_ok=True)
