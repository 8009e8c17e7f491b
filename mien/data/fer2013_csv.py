"""Read the rows of FER2013's csv formats, also with pictures of another side or in colour.

Data: ICML 2013 Challenges in Representation Learning (Goodfellow et al. 2013,
https://arxiv.org/abs/1307.0414). The file is read in chunks, so that memory holds little besides
the pictures.
"""

from __future__ import annotations

import itertools
import os
import re
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

import numpy as np

from mien.constants import FACE_SIDE
from mien.data.csv_formats import ALLOWED, damage, first_line, streams
from mien.data.csv_header import (
    LONGEST,
    Header,
    Labels,
    cells_of,
    expected_emotion,
    fields,
    plain_pixels,
    read_header,
)
from mien.data.dataset import SPLITS, UNLABELLED, Dataset, LeftOut
from mien.data.encodings import decode_text
from mien.data.face_cache import FacesRead
from mien.data.fractions import WHOLE, to_bytes, unify_scale
from mien.data.label_names import NUMBERS, label_set_of, number_in, unlabelled_note
from mien.data.layout import split_word
from mien.data.pictures import ReadOptions, read_faces
from mien.data.pixels import (
    FER2013_ROW,
    PIXELS,
    BadRow,
    Shape,
    parse_block,
    parse_row,
    pictures_of,
    shape_of,
)
from mien.errors import DataError
from mien.labels import FER2013, LabelSet

_CHUNK = 4 << 20  # bytes read at a time
_BLOCK = 32  # rows parsed at a time: about 270 kB, so that the passes stay in the processor's cache
# An unknown label in fewer rows than this, among known labels, is taken for an error.
_RARE = 5


@dataclass
class _Rows:
    """What has been read so far."""

    images: list[np.ndarray] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    splits: list[int] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    names: Labels = field(default_factory=Labels)
    dropped: set[int] = field(default_factory=set)  # rows whose label was taken for an error
    fractions: dict[int, int] = field(default_factory=dict)  # row -> kind of its pixels, not whole
    shape: Shape | None = None  # of all rows, as found in the first block


def read_csv(files: list[Path], options: ReadOptions, *, source: str) -> Dataset:
    """Read one csv file, or `train.csv` and `test.csv` together.

    Args:
        files: As `companions` returns them.
        options: How pictures other than FER2013's become faces, as for arrays, but they are not
            enlarged beyond 48 pixels; and whether bad rows are left out. Errors of a whole file
            always raise.
        source: The name of the Dataset.

    Returns:
        Dataset with images uint8 (N, S, S, 1) in the order of the file; FER2013's S is 48.

    Raises:
        DataError: for the first bad row, or a file that is not FER2013 at all.
    """
    rows = _Rows()
    for path in files:
        for name, stream in streams(path):
            with stream:
                where = os.fspath(path) if name is None else f"{path}:{name}"
                _read_stream(stream, where, name or path.name, rows, options.on_error)
    if len(rows.labels) == len(rows.dropped):
        raise DataError(
            source,
            got=f"no readable row ({len(rows.left_out):,} left out)",
            expected="at least one row that can be read",
            fix="correct the rows; the first error: " + rows.left_out[0].reason,
        )
    valid = np.array([row for row in range(len(rows.labels)) if row not in rows.dropped], np.int64)
    read = _faces(rows, valid, options, source)
    valid = valid[read.rows]
    labels, label_set = _own_positions(np.array(rows.labels, np.int64)[valid], rows.names, source)
    if all(map(number_in, label_set)):
        rows.notes.append(NUMBERS)
    if num_groups := len(set(rows.groups) - {""}):
        rows.notes.append(f"{num_groups:,} groups, such as persons, were read from the csv.")
    rows.notes += unlabelled_note(labels)
    return Dataset(
        read.images,
        labels,
        np.array(rows.splits, np.uint8)[valid],
        np.array(rows.lines, np.int64)[valid],
        label_set,
        source,
        notes=(*rows.notes, *read.notes),
        left_out=(*rows.left_out, *read.left_out),
        groups=np.array(rows.groups, object)[valid] if any(rows.groups) else None,
        cropped=read.cropped,
        numeric_labels=not rows.names.num_texts
        and bool(np.any(labels != UNLABELLED))
        and set(label_set) <= set(FER2013),
    )


def _faces(rows: _Rows, valid: np.ndarray, options: ReadOptions, source: str) -> FacesRead:
    """The faces of the valid rows. FER2013's are faces already, unless they are to be detected."""
    shape = rows.shape or FER2013_ROW
    images, notes = pictures_of(np.concatenate(rows.images), shape)
    images = images if len(valid) == len(images) else images[valid]
    rows.notes += notes
    side = min(options.side, max(FACE_SIDE, shape.side))
    if shape == FER2013_ROW and side == FACE_SIDE and options.faces != "detect":
        return FacesRead(images[..., np.newaxis], np.arange(len(images)), [], [], None)
    names = [f"row {rows.lines[row]}" for row in valid]
    return read_faces(list(images), names, replace(options, side=side), source)


def _own_positions(labels: np.ndarray, names: Labels, source: str) -> tuple[np.ndarray, LabelSet]:
    """Labels as positions in the label set of those that occur, and that set.

    Numbers are FER2013's only if all are from 0 to 6: other data sets give them other meanings.
    """
    all_names = names.names
    occurring = np.unique(labels[labels != UNLABELLED])
    if not names.num_texts and any(all_names[k].isdecimal() for k in occurring):
        all_names = [*map(str, range(len(FER2013))), *all_names[len(FER2013) :]]
    occur = [all_names[k] for k in occurring]
    label_set = label_set_of(occur, source) if occur else FER2013
    to = np.full(len(all_names) + 1, UNLABELLED, np.int64)
    for name in occur:
        to[all_names.index(name)] = label_set.names.index(name)
    return to[labels], label_set


def _read_stream(stream: IO[bytes], where: str, name: str, rows: _Rows, on_error: str) -> None:
    with damage(where):
        line, number = first_line(stream)
    header = read_header(line, where, name, ALLOWED)
    rows.notes += header.notes
    if header.usage is None:
        named = split_word(Path(name).name.split(".")[0])
        split_note = f": its rows are the {SPLITS[header.split]} split." if named else "."
        rows.notes.append(f"{Path(name).name} has no Usage column{split_note}")
    before, first = len(rows.labels) + len(rows.left_out), len(rows.labels)
    block = _Block(rows, where, on_error)
    num_blank = 0
    lines = _lines(stream, where)
    if header.is_row:
        number -= 1
        lines = itertools.chain([(line.rstrip(b"\r\n"), True)], lines)
    for text, whole, num_lines in _records(lines, header):
        number += num_lines
        if len(text) < 4 and not text.strip():
            num_blank += 1
            continue
        try:
            row = fields(text, header, rows.names)
        except BadRow as bad:
            block.flush()  # an earlier row may be bad too, and the first one must be named
            block.leave_out(number, bad, whole)
            continue
        block.add((number, *row), whole)
    block.flush()
    _unify_scale_of_file(rows, first, block.leave_out)
    _drop_rare_labels(rows, first, block.leave_out)
    if len(rows.labels) + len(rows.left_out) == before:
        raise DataError(
            where,
            got="a header without rows",
            expected="one row for each picture",
            fix="copy or download the file again",
        )
    if num_blank:
        rows.notes.append(
            f"{Path(name).name} holds {num_blank:,} blank line(s), which were ignored."
        )


def _shape(pixels: list[bytes]) -> Shape | None:
    """The shape of most rows, so that a row cut off does not decide it."""
    counts: Counter[Shape] = Counter()
    for row in pixels:
        with suppress(BadRow):
            if shape := shape_of(len(plain_pixels(row).split())):
                counts[shape] += 1
    return counts.most_common(1)[0][0] if counts else None


def _parsed(pixels: list[bytes], size: int) -> np.ndarray | None:
    """uint8 (rows, size), whatever separates the numbers; None if a row needs a closer look."""
    images = parse_block(pixels, size)
    if images is not None:
        return images
    try:
        return parse_block([plain_pixels(row) for row in pixels], size)
    except BadRow:
        return None


def _parse_one(pixels: bytes, shape: Shape | None) -> tuple[np.ndarray, int]:
    """uint8 (size,) of one row, and its kind of numbers (`mien.data.fractions`).

    Raises:
        BadRow: if they are not pixels.
    """
    try:
        return parse_row(pixels, shape), WHOLE
    except BadRow:
        try:
            values = np.array(pixels.split(), np.float64)
        except ValueError:
            values = np.empty(0)
        pixels_and_kind = to_bytes(values) if len(values) == (shape or FER2013_ROW).size else None
        if pixels_and_kind is None:
            raise
        return pixels_and_kind


_Entry = tuple[int, bytes, int, int, bytes]


class _Block:
    """Rows whose pixels are parsed together: line number, pixels, label, split, group."""

    def __init__(self, rows: _Rows, where: str, on_error: str) -> None:
        self._rows, self._where, self._on_error = rows, where, on_error
        self._entries: list[_Entry] = []

    def add(self, entry: _Entry, whole: bool) -> None:
        """Take a row; `whole` is False for a last line without an end."""
        self._entries.append(entry)
        if len(self._entries) == _BLOCK or not whole:
            self.flush(whole)

    def leave_out(self, line: int, bad: BadRow, whole: bool) -> None:
        """Raise an error for a bad row, or leave it out, as `on_error` says."""
        got, fix = bad.got, bad.fix
        if not whole:
            got = f"a cut-off last line: {got}"
            fix = "copy or download the file again, since it ends early"
        if self._on_error == "raise":
            raise DataError(self._where, row=line, got=got, expected=bad.expected, fix=fix)
        reason = f"got {got}; expected {bad.expected}"
        self._rows.left_out.append(LeftOut(self._where, line, reason))

    def flush(self, whole: bool = True) -> None:
        """Parse what was added."""
        if not self._entries:
            return
        pixels = [text for _, text, *_ in self._entries]
        if self._rows.shape is None:
            self._rows.shape = _shape(pixels)
        shape = self._rows.shape
        images = _parsed(pixels, (shape or FER2013_ROW).size)
        good = self._entries
        if images is not None:
            self._rows.images.append(images)
        else:
            good = []
            for entry in self._entries:
                try:
                    image, kind = _parse_one(plain_pixels(entry[1]), shape)
                except BadRow as bad:
                    self.leave_out(entry[0], bad, whole or entry is not self._entries[-1])
                    continue
                if kind != WHOLE:
                    self._rows.fractions[len(self._rows.labels) + len(good)] = kind
                self._rows.images.append(image[None])
                good.append(entry)
        self._rows.lines += [line for line, *_ in good]
        self._rows.labels += [label for _, _, label, *_ in good]
        self._rows.splits += [split for *_, split, _ in good]
        self._rows.groups += [decode_text(group) for *_, group in good]
        self._entries.clear()


def _unify_scale_of_file(
    rows: _Rows, first: int, leave_out: Callable[[int, BadRow, bool], None]
) -> None:
    """Give all rows of a file one scale; a row of another scale is a bad row."""
    if not any(row >= first for row in rows.fractions):
        return
    images = list(np.concatenate(rows.images))
    rows.images = [np.array(images[:first], np.uint8).reshape(-1, len(images[0]))]
    part = images[first:]
    kinds = [rows.fractions.get(row, WHOLE) for row in range(first, first + len(part))]
    odd, notes = unify_scale(part, kinds)
    for row in odd:
        rows.dropped.add(first + row)
        bad = BadRow("pixels above 1", "fractions from 0 to 1, as in other rows")
        leave_out(rows.lines[first + row], bad, True)
    rows.images.append(np.array(part, np.uint8))
    rows.notes += notes


def _drop_rare_labels(
    rows: _Rows, first: int, leave_out: Callable[[int, BadRow, bool], None]
) -> None:
    """Treat rare labels that are not expressions as errors, unless no label is an expression."""
    counts = Counter(label for label in rows.labels[first:] if label != UNLABELLED)
    odd = {label for label in counts if not rows.names.is_expression(label)}
    if not odd:
        return
    alone = odd == set(counts)
    rare = {label for label in odd if counts[label] < _RARE and not alone}
    for row in range(first, len(rows.labels)):
        if rows.labels[row] in rare:
            got = f"the emotion {rows.names.names[rows.labels[row]]!r}"
            rows.dropped.add(row)
            leave_out(rows.lines[row], BadRow(got, expected_emotion()), True)
    rows.left_out.sort(key=lambda row: (row.where, row.row or 0))
    others = sorted(rows.names.names[label] for label in odd - rare)
    if others and not all(name.isdecimal() for name in others):
        rows.notes.append(
            f"Labels that FER2013 does not have: {', '.join(others)}. --labels gives them names."
        )


def _records(
    lines: Iterator[tuple[bytes, bool]], header: Header
) -> Iterator[tuple[bytes, bool, int]]:
    """Records, whether each ends with a line end, and its number of lines: a quoted field may span
    several. A quote that is not closed, or only in another row, is a character of its line.
    """
    quote = re.compile(rb'(?:^|%s)\s*"' % re.escape(header.delimiter))
    held: deque[tuple[bytes, bool]] = deque()  # lines to be read again
    while record := [held.popleft()] if held else list(itertools.islice(lines, 1)):
        text, whole = record[0]
        if whole and text.count(b'"') % 2 == 1 and quote.search(text):
            size, is_open = len(text), True
            while is_open and size < LONGEST:
                if (line := held.popleft() if held else next(lines, None)) is None:
                    break
                record.append(line)
                size += len(line[0])
                is_open = line[0].count(b'"') % 2 == 0
            text = b" ".join(part for part, _ in record)
            if is_open or len(cells_of(text, header)) != header.width:
                held.extendleft(reversed(record[1:]))
                record = record[:1]
                text = record[0][0]
        yield text, record[-1][1], len(record)


def _lines(stream: IO[bytes], where: str) -> Iterator[tuple[bytes, bool]]:
    """Each line without its line end, and whether it had one; reads in chunks."""
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
                got="a line of more than a megabyte",
                expected=f"lines with {PIXELS:,} pixels, or of another small picture",
                fix=f"name {ALLOWED}",
            )
    if rest:
        yield rest, False
