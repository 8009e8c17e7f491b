"""Interpret the columns of a csv file of faces.

FER2013's own columns are `emotion`, `pixels` and `Usage`, found by name, in any order. People also
pass the faces on as pandas or a spreadsheet writes them: `;` or tabs between columns, brackets or
commas between pixels, `5.0` for 5, names for numbers, a column for each pixel, other names for
columns and splits, or no splits at all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from mien.data.dataset import LEAVE_OUT, SPLITS, UNLABELLED, USAGE
from mien.data.encodings import decode_text
from mien.data.groups import FILE_COLUMNS, GROUP_COLUMNS
from mien.data.layout import split_named, split_word
from mien.data.pixels import PIXELS, BadRow, quoted, shape_of
from mien.data.tables import csv_rows, ignored_splits
from mien.errors import DataError
from mien.labels import FER2013, FERPLUS, canonical

LONGEST = 1 << 20  # bytes in a line; a FER2013 line has at most 9,230
COLUMNS = {
    "pixels": ("pixels", "pixel", "pixel_values", "image_pixels"),
    "emotion": (
        *("emotion", "label", "class", "expression", "emotions", "labels", "category", "target"),
        "y",
    ),
    "usage": ("usage", "split", "set", "subset", "partition", "dataset"),
    "group": GROUP_COLUMNS,
}
_WIDE = re.compile(r"(?:pixels?|px|p|x|feature|f)?[_\- .]*(\d+)(?:\.0)?$")
_DELIMITERS = (",", ";", "\t", "|")
_BLANK = bytes.maketrans(b"[](){},;|\t\"'", b" " * 12)
_ZEROS = re.compile(rb"\.0*(?=\D|$)")
_FOREIGN = (b"\x89PNG", b"\xff\xd8", b"GIF8", b"\x00")  # pictures under the name of a csv
_MIN_ROW = 500  # letters of the pixels of a picture
_NUMBER = re.compile(r"[+-]?\d+(?:[.,]0*)?$")


@dataclass(frozen=True)
class Header:
    """The positions of the columns of a csv file, and the meaning of its rows.

    Attributes:
        width: Number of columns.
        delimiter: What separates them.
        pixels: Positions of the columns of pixels, in the order of the pixels: one column for all
            pixels, or one for each.
        emotion, usage: Column positions; None where the file has no such column.
        split: Position in `SPLITS` of every row if there is no Usage column.
        notes: What the user should know about the file.
        classes: Where there is no column of labels: a column for each class, as (position, label).
        is_row: Whether the first line is already a row, since the file has no column names.
        group: Position of the column of persons or other groups, or None.
    """

    width: int
    delimiter: bytes
    pixels: tuple[int, ...]
    emotion: int | None
    usage: int | None
    split: int
    notes: tuple[str, ...] = ()
    classes: tuple[tuple[int, bytes], ...] = ()
    is_row: bool = False
    group: int | None = None


@dataclass
class Labels:
    """Names of the labels met so far, FER2013's first; a row holds the position of its label."""

    names: list[str] = field(default_factory=lambda: list(FER2013))
    positions: dict[bytes, int] = field(default_factory=dict)
    num_texts: int = 0  # labels that are not numbers

    def __post_init__(self) -> None:
        self.positions = {str(index).encode(): index for index in range(len(FER2013))}

    def of(self, cell: bytes) -> int:
        """Position of the label in a cell of the emotion column: FER2013's number, another number,
        or a name; `UNLABELLED` for an empty cell.
        """
        position = self.positions.get(cell)
        if position is None:
            position = self.positions[cell] = self._place(cell)
        return position

    def _place(self, cell: bytes) -> int:
        text = decode_text(cell).strip(" \"'\r\t")
        if text.lower() in ("", "nan", "none", "null", "na", "<na>"):
            return UNLABELLED
        if _NUMBER.match(text):
            number = int(re.split("[.,]", text)[0])
            if number < 0:
                raise BadRow(f"the emotion {quoted(cell)}", expected_emotion())
            if number < len(FER2013):
                return number
            name = str(number)
        elif _is_number(text):
            raise BadRow(f"the emotion {quoted(cell)}", expected_emotion())
        else:
            self.num_texts += 1
            name = canonical(text)
        if name not in self.names:
            self.names.append(name)
        return self.names.index(name)

    def is_expression(self, place: int) -> bool:
        """Whether a label is an expression of FER2013 or FER+."""
        return self.names[place] in FERPLUS


def expected_emotion() -> str:
    return f"a whole number from 0 to {len(FER2013) - 1}, or a name"


def read_header(line: bytes, where: str, name: str, allowed: str) -> Header:
    """The header of a csv file of faces.

    Args:
        line: The first line.
        where: What errors call the file.
        name: The file's own name; `train.csv` and `test.csv` name the split.
        allowed: The formats that are read, for errors.

    Raises:
        DataError: for a line that names no column of pixels.
    """
    notes = []
    if line.startswith(b"\xef\xbb\xbf"):
        line = line[3:]
        notes.append(f"{Path(name).name} begins with a byte order mark, which was ignored.")
    text = _text(line, where, allowed)
    delimiter = max(_DELIMITERS, key=text.count)
    cells = [cell.strip() for cell in _cells(text, delimiter)]
    if bare := _without_names(cells, delimiter, Path(name).name):
        return bare
    columns = [cell.lower().replace(" ", "_") for cell in cells]
    places = {kind: _place(kind, columns, where) for kind in COLUMNS}
    pixels = pixel_columns(columns) if places["pixels"] is None else (places["pixels"],)
    if not pixels:
        listed = ", ".join(repr(cell[:40]) for cell in cells[:6]) + (", ..." if cells[6:] else "")
        raise DataError(
            where,
            row=1,
            got=f"the columns {listed}",
            expected="a column 'pixels' (of emotion, pixels, Usage; in any order), or a column for "
            f"each of {PIXELS:,} pixels",
            fix=_fix_of_names(columns),
        )
    stem = Path(name).name.lower().split(".")[0]
    classes = class_columns(columns) if places["emotion"] is None else ()
    if places["emotion"] is None and (classes or not split_word(stem)):
        notes.append(_labels_note(Path(name).name, columns, pixels, classes))
    if places["usage"] is None:
        notes += ignored_splits(columns, Path(name).name)
    split = split_named(stem) if places["usage"] is None else None
    return Header(
        len(columns),
        delimiter.encode(),
        pixels,
        places["emotion"],
        places["usage"],
        SPLITS.index(split or "training"),
        tuple(notes),
        classes,
        group=places["group"],
    )


def fields(text: bytes, header: Header, labels: Labels) -> tuple[bytes, int, int, bytes]:
    """(pixels, label, split, group) of one line; pixels are not parsed yet.

    Raises:
        BadRow: for another number of fields, or an unknown label or split.
    """
    parts = cells_of(text, header)
    if len(parts) != header.width:
        raise BadRow(f"{len(parts)} field(s)", f"{header.width} fields, as in the header")
    label, split = UNLABELLED, header.split
    if header.emotion is not None:
        label = labels.of(parts[header.emotion].strip(b' "\r'))
    elif header.classes:
        label = _of_classes(parts, header, labels)
    if header.usage is not None:
        split = _split(parts[header.usage].strip(b' "\r'))
    if len(header.pixels) == 1:
        pixels = parts[header.pixels[0]].strip(b' "')
    else:
        pixels = b" ".join([parts[place] for place in header.pixels])
    group = b"" if header.group is None else parts[header.group].strip(b' "\r')
    return pixels, label, split, group


def cells_of(text: bytes, header: Header) -> list[bytes]:
    """The fields of a record, whatever their number."""
    parts = text.split(header.delimiter)
    if len(parts) != header.width and b'"' in text:
        # A quoted field may hold delimiters. Latin-1 keeps every byte.
        row = _cells(text.decode("latin-1"), header.delimiter.decode())
        parts = [part.encode("latin-1") for part in row]
    return parts


def _cells(line: str, delimiter: str) -> list[str]:
    """The fields of a line, also of one with quotes or stray carriage returns."""
    _, cells = next(csv_rows([line.replace("\r", " ")], delimiter))
    return cells


def plain_pixels(pixels: bytes) -> bytes:
    """Numbers separated by spaces, whatever separated them before; `70.0` becomes `70`.

    Raises:
        BadRow: for pixels cut short as numpy prints large arrays.
    """
    if b"..." in pixels:
        raise BadRow(
            "pixels cut short by '...', as numpy prints large arrays",
            f"all {PIXELS:,} pixels",
            f"write them with ' '.join(map(str, pixels.ravel())), or {LEAVE_OUT}",
        )
    plain = pixels.translate(_BLANK)
    return (_ZEROS.sub(b"", plain) if b"." in plain else plain).strip()


_SPLIT_OF = {usage.encode(): SPLITS.index(split) for usage, split in USAGE.items()}


def _split(cell: bytes) -> int:
    position = _SPLIT_OF.get(cell)
    if position is None:
        split = split_named(cell.decode("latin-1"))
        if split is None:
            raise BadRow(f"the Usage {quoted(cell)}", " or ".join(USAGE) + ", or train, val, test")
        position = SPLITS.index(split)
    return position


def _of_classes(parts: list[bytes], header: Header, labels: Labels) -> int:
    """The label whose column has the largest number; `UNLABELLED` where several have it, or all are
    zero.
    """
    values = []
    for place, name in header.classes:
        try:
            values.append((float(parts[place].strip(b' "\r') or b"0"), name))
        except ValueError as error:
            raise BadRow(
                f"{quoted(parts[place])} in the column of {name.decode()}", "a number"
            ) from error
    most = max(value for value, _ in values)
    winners = [name for value, name in values if value == most]
    return labels.of(winners[0]) if len(winners) == 1 and most > 0 else UNLABELLED


def class_columns(columns: list[str]) -> tuple[tuple[int, bytes], ...]:
    """Columns named by expressions, at least two: one-hot labels, or votes."""
    expressions = [
        (place, canonical(name).encode())
        for place, name in enumerate(columns)
        if canonical(name) in FERPLUS
    ]
    names = [name for _, name in expressions]
    return tuple(expressions) if len(set(names)) == len(names) > 1 else ()


def _fix_of_names(columns: list[str]) -> str:
    """The fix where no column is known to hold pixels."""
    if len(columns) > PIXELS and not any(name.isdecimal() for name in columns):
        return f"call the columns of pixels pixel0 to pixel{PIXELS - 1}"
    if named := [name for name in columns if name in FILE_COLUMNS]:
        return (
            f"call the column {named[0]!r} 'pixels' if it holds them; if it holds names of files, "
            "name the folder with the table and the pictures"
        )
    return "write the column names in the first line"


def _labels_note(
    name: str, columns: list[str], pixels: tuple[int, ...], classes: tuple[tuple[int, bytes], ...]
) -> str:
    if classes:
        named = ", ".join(columns[place] for place, _ in classes)
        return f"Each row of {name} has the label of the largest of the columns {named}."
    others = [column for place, column in enumerate(columns) if place not in pixels]
    return (
        f"{name} has no column of labels ({', '.join(COLUMNS['emotion'][:4])}, ...)"
        + (
            f"; it has {', '.join(one[:40] or 'an unnamed one' for one in others[:8])}"
            if others
            else ""
        )
        + "."
    )


def _without_names(cells: list[str], delimiter: str, name: str) -> Header | None:
    """The header of a file whose first line is already a row of pixels; None if it is not."""
    pixels = [
        place
        for place, cell in enumerate(cells)
        if len(cell) > _MIN_ROW and shape_of(len(plain_pixels(cell.encode()).split()))
    ]
    if len(pixels) != 1 or len(cells) > 3:
        return None
    others = [place for place in range(len(cells)) if place != pixels[0]]
    usage = [place for place in others if split_word(cells[place])]
    emotion = [place for place in others if place not in usage]
    if len(usage) > 1 or len(emotion) > 1:
        return None
    return Header(
        len(cells),
        delimiter.encode(),
        (pixels[0],),
        emotion[0] if emotion else None,
        usage[0] if usage else None,
        SPLITS.index("training"),
        (f"{name} has no column names: its columns were recognised by their first row.",),
        is_row=True,
    )


def _place(kind: str, columns: list[str], where: str) -> int | None:
    for name in COLUMNS[kind]:
        if columns.count(name) > 1:
            raise DataError(
                where,
                row=1,
                got=f"the column {name!r} twice",
                expected="each column once",
                fix="remove or rename one of them",
            )
        if name in columns:
            return columns.index(name)
    return None


def pixel_columns(columns: list[str]) -> tuple[int, ...]:
    """Positions of the columns named by pixel numbers, in their order; () unless they count 2,304
    pixels from 0 or 1 on.
    """
    numbered = {}
    for place, name in enumerate(columns):
        if match := _WIDE.match(name):
            numbered[int(match[1])] = place
    numbers = sorted(numbered)
    if not shape_of(len(numbers)) or numbers[-1] - numbers[0] != len(numbers) - 1:
        return ()
    return tuple(numbered[number] for number in numbers)


def _text(line: bytes, where: str, allowed: str) -> str:
    if not line.strip():
        raise DataError(
            where,
            got="an empty first line" if line else "an empty file",
            expected="a header with the columns emotion, pixels, Usage",
            fix=f"name {allowed}",
        )
    if b"\0" in line or line.startswith(_FOREIGN):
        raise DataError(
            where,
            row=1,
            got="bytes that are not text",
            expected="a csv file",
            fix=f"name {allowed}",
        )
    text = decode_text(line)
    if len(line) >= LONGEST:
        raise DataError(
            where,
            row=1,
            got="no line end in the first megabyte",
            expected="a header line",
            fix=f"name {allowed}",
        )
    return text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
