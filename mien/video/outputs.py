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


def with_summaries(
    frames: Iterator[Frame], name: str, recognizer: Recognizer, folder: Path
) -> Iterator[Frame]:
    """Pass frames on, and write the summary, events and timelines of the video at its end.

    Frames are stored in a temporary file, so memory does not grow with the length of the video.

    Raises:
        UsageError: if a file cannot be written.
    """
    timelines = Timelines(recognizer.labels)
    target = folder / name
    make_folder(target.parent)
    spool = target.with_name(f".{target.name}.jsonl")
    try:
        writer = open_writer(spool, "jsonl", labels=recognizer.labels.names)
    except OSError as error:
        raise unwritable(spool, error) from error

    def stored_frames() -> Iterable[Frame]:
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
        # After Ctrl-C too, for the frames so far.
        try:
            rows = summary(stored_frames(), labels=recognizer.labels.names)
            write_summary(target.with_name(f"{target.name}_summary.csv"), rows)
            write_events(
                target.with_name(f"{target.name}_events.tsv"),
                events(stored_frames()),
                about={"Network": recognizer.bundle.digest},
            )
            timelines.write(target.with_name(f"{target.name}_persons"))
        except OSError as error:
            raise unwritable(Path(error.filename or folder), error) from error
        finally:
            spool.unlink(missing_ok=True)
