"""The rows of FER2013's csv forms.

Data: ICML 2013 Challenges in Representation Learning (Goodfellow et al. 2013,
https://arxiv.org/abs/1307.0414). The file is read in chunks, so that memory holds little besides
the pictures.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np

from mien.constants import FACE_SIDE
from mien.data.csv_formats import ALLOWED, LONGEST, Header, damage, read_header, streams
from mien.data.dataset import SPLITS, UNLABELLED, USAGE, Dataset, LeftOut
from mien.data.pixels import PIXELS, BadRow, parse_block, parse_row, shown
from mien.errors import DataError
from mien.labels import FER2013

_CHUNK = 4 << 20  # bytes read at a time
_BLOCK = 32  # rows parsed at a time: about 270 kB, so that the passes stay in the processor's cache
_LABELS = {str(index).encode(): index for index in range(len(FER2013))}
_USAGES = {usage.encode(): SPLITS.index(split) for usage, split in USAGE.items()}


@dataclass
class _Rows:
    """What has been read so far."""

    images: list[np.ndarray] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    splits: list[int] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_csv(files: list[Path], *, source: str, on_error: str = "raise") -> Dataset:
    """Read one csv file, or `train.csv` and `test.csv` together.

    Args:
        files: As `companions` returns them.
        source: What the Dataset is to be called.
        on_error: "raise", or "skip" to leave out bad rows; what is wrong with a file as a whole
            always raises.

    Returns:
        Dataset with images uint8 (N, 48, 48, 1) in the order of the file.

    Raises:
        DataError: on the first bad row, or where the file is not FER2013 at all.
    """
    rows = _Rows()
    for path in files:
        for name, stream in streams(path):
            with stream:
                where = os.fspath(path) if name is None else f"{path}:{name}"
                _read_stream(stream, where, name or path.name, rows, on_error)
    if not rows.labels:
        raise DataError(
            source,
            came=f"no readable row ({len(rows.left_out):,} left out)",
            expected="at least one row that can be read",
            mend="correct the rows; the first: " + rows.left_out[0].reason,
        )
    images = np.concatenate(rows.images).reshape(-1, FACE_SIDE, FACE_SIDE, 1)
    labels = np.array(rows.labels, np.int64)
    if num_unlabelled := int(np.sum(labels == UNLABELLED)):
        rows.notes.append(
            f"{num_unlabelled:,} test rows carry no label: they can be predicted, not scored."
        )
    return Dataset(
        images,
        labels,
        np.array(rows.splits, np.uint8),
        np.array(rows.lines, np.int64),
        FER2013,
        source,
        notes=tuple(rows.notes),
        left_out=tuple(rows.left_out),
    )


def _read_stream(stream: IO[bytes], where: str, name: str, rows: _Rows, on_error: str) -> None:
    with damage(where):
        header = read_header(stream.readline(LONGEST), where, name)
    rows.notes += header.notes
    if header.usage is None:
        rows.notes.append(
            f"{Path(name).name} has no Usage column: its rows are the {SPLITS[header.split]} split."
        )
    before = len(rows.labels) + len(rows.left_out)
    block: list[tuple[int, bytes, int, int]] = []
    num_blank = 0

    def leave_out(line: int, bad: BadRow, whole: bool) -> None:
        came, mend = bad.came, bad.mend
        if not whole:
            came, mend = (
                f"a cut-off last line: {came}",
                "the file ends early: copy or download it again",
            )
        if on_error == "raise":
            raise DataError(where, row=line, came=came, expected=bad.expected, mend=mend)
        rows.left_out.append(LeftOut(where, line, f"came {came}; expected {bad.expected}"))

    def flush(whole: bool = True) -> None:
        if not block:
            return
        images = parse_block([pixels for _, pixels, _, _ in block])
        if images is not None:
            rows.images.append(images)
            good = block
        else:
            good = []
            for entry in block:
                try:
                    rows.images.append(parse_row(entry[1])[None])
                    good.append(entry)
                except BadRow as bad:
                    leave_out(entry[0], bad, whole or entry is not block[-1])
        rows.lines += [line for line, _, _, _ in good]
        rows.labels += [label for _, _, label, _ in good]
        rows.splits += [split for _, _, _, split in good]
        block.clear()

    number = 1
    for text, whole in _lines(stream, where):
        number += 1
        if len(text) < 4 and not text.strip():
            num_blank += 1
            continue
        try:
            pixels, label, split = _fields(text, header)
        except BadRow as bad:
            flush()  # an earlier row may be bad too, and the first one is to be named
            leave_out(number, bad, whole)
            continue
        block.append((number, pixels, label, split))
        if len(block) == _BLOCK or not whole:
            flush(whole)
    flush()
    if len(rows.labels) + len(rows.left_out) == before:
        raise DataError(
            where,
            came="a header without rows",
            expected="one row for each picture",
            mend="copy or download the file again",
        )
    if num_blank:
        rows.notes.append(
            f"{Path(name).name} holds {num_blank:,} blank line(s), which were ignored."
        )


def _lines(stream: IO[bytes], where: str) -> Iterator[tuple[bytes, bool]]:
    """Each line without its end, and whether it had one. Holds one chunk and one line in memory."""
    rest = b""
    while True:
        with damage(where):
            chunk = stream.read(_CHUNK)
        if not chunk:
            break
        lines = (rest + chunk).split(b"\n")
        rest = lines.pop()
        for line in lines:
            yield (line[:-1] if line.endswith(b"\r") else line), True
        if len(rest) > LONGEST:
            raise DataError(
                where,
                came="a line of more than a megabyte",
                expected=f"lines with {PIXELS:,} pixels, at most 10 kB each",
                mend=f"name {ALLOWED}",
            )
    if rest:
        yield rest, False


def _fields(text: bytes, header: Header) -> tuple[bytes, int, int]:
    """(pixel field, label, split) of one line; pixels are not looked at yet."""
    parts = text.split(b",")
    if len(parts) != header.width and b'"' in text:
        # A quoted field may hold commas; csv knows how. Latin-1 keeps every byte what it is.
        parts = [part.encode("latin-1") for part in next(csv.reader([text.decode("latin-1")]))]
    if len(parts) != header.width:
        raise BadRow(f"{len(parts)} field(s)", f"{header.width} fields, as in the header")
    label, split = UNLABELLED, header.split
    if header.emotion is not None:
        came = parts[header.emotion].strip(b' "')
        found = _LABELS.get(came)
        if found is None:
            raise BadRow(
                f"the emotion {shown(came)}", f"a whole number from 0 to {len(FER2013) - 1}"
            )
        label = found
    if header.usage is not None:
        came = parts[header.usage].strip(b' "\r')
        found = _USAGES.get(came)
        if found is None:
            raise BadRow(f"the Usage {shown(came)}", " or ".join(USAGE))
        split = found
    return parts[header.pixels].strip(b' "'), label, split
