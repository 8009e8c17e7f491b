"""Pictures with a file of boxes each, as YOLO is trained on, and other annotations by their names.

    data.yaml                    names: [Anger, Contempt, ...], or a name a line in classes.txt
    train/images/12.jpg          or images/train/12.jpg
    train/labels/12.txt          `class x y width height` a line, in shares of the picture

The label of a picture is that of its largest box. The face is found as in any photograph, so that
training sees what recognition sees. https://docs.ultralytics.com/datasets/detect/
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from mien.data.dataset import LEAVE_OUT
from mien.data.label_names import label_name
from mien.data.layout import Listing, split_named
from mien.data.tree import Parts, Tree
from mien.errors import DataError, printable

_SAMPLE = 50  # pictures whose files of boxes decide
_MAX_BYTES = 1_000_000  # of a file of boxes or names
_MAX_JSON_BYTES = 500_000_000
_NAME_FILES = ("classes.txt", "obj.names", "classes.names", "_darknet.labels")
_NAMES = re.compile(r"^names\s*:[ \t]*(.*)", re.MULTILINE)
_ENTRY = re.compile(r"""\s*(?:(\d+)\s*:\s*)?("[^"]*"|'[^']*'|[^,]+?)\s*(?:,|$)""")
_BOXES = re.compile(r"\s*\d+(?:[ \t]+-?[\d.]+(?:e-?\d+)?){4,}[ \t]*(?:\r?\n|$)", re.IGNORECASE)
_LINE = re.compile(r"\s*(?:-|(\d+)\s*:)\s+(.*?)\s*(?:#.*)?")


def list_yolo(folder: Path, tree: Tree, on_error: str = "raise") -> Listing | None:
    """The pictures of a folder with the labels of their boxes; None if they have no boxes.

    Args:
        folder: The folder.
        tree: Its content.
        on_error: `raise`, or `skip` to leave out pictures whose boxes cannot be read.

    Raises:
        DataError: for a file of boxes that cannot be read, unless it is to be skipped.
    """
    others = set(tree.others)
    pairs = [(parts, _boxes_file(parts, others)) for parts in tree.pictures]
    sample = pairs[:: max(1, len(pairs) // _SAMPLE)]
    texts = [_text(folder / Path(*boxes)) for _, boxes in sample if boxes is not None]
    if len(texts) * 2 < len(sample) or not any(map(_BOXES.match, texts)):
        return None
    named, names = _class_names(folder, tree)
    listing = Listing(folder, by_table=True)
    without = list[str]()
    for parts, boxes in pairs:
        try:
            label = "" if boxes is None else _label(folder / Path(*boxes), names)
        except DataError as error:
            listing.leave_out(error, on_error)
            continue
        if label:
            listing.add(folder / Path(*parts), printable(label), split_named(*parts[:-1]))
        else:
            without.append(printable("/".join(parts)))
    listing.has_splits = any(listing.splits)
    source = f", and their names from {named}" if named else ""
    listing.notes.append(
        f"The labels of {len(listing.pictures):,} pictures were read from their files of boxes "
        f"(YOLO){source}; of several boxes the largest counts."
    )
    if without:
        listing.notes.append(
            f"{len(without):,} pictures without a box were left out, such as {without[0]}."
        )
    return listing


def refuse_annotations(folder: Path, tree: Tree) -> None:
    """Refuse pictures whose labels lie in files that are not read.

    Raises:
        DataError: for COCO's and Pascal VOC's, saying how to convert them.
    """
    pictures = {parts[-1].rpartition(".")[0] for parts in tree.pictures}
    for parts in tree.others:
        path = folder / Path(*parts)
        suffix = path.suffix.lower()
        if suffix == ".json" and _holds(path, b'"annotations"', b'"categories"'):
            raise _foreign(path, "annotations of COCO")
        if suffix == ".xml" and path.stem in pictures and _holds(path, b"<annotation", b"<object"):
            raise _foreign(path, "annotations of Pascal VOC")


def _foreign(path: Path, kind: str) -> DataError:
    return DataError(
        path,
        got=f"{kind}, which mien does not read",
        expected="a folder for each label, YOLO's files of boxes, or a table of files and labels",
        fix="export the data as YOLO (most tools offer it), or put a table labels.csv with the "
        "columns file,label beside the pictures",
    )


def _holds(path: Path, *texts: bytes) -> bool:
    try:
        if not path.is_file() or path.stat().st_size > _MAX_JSON_BYTES:
            return False
        content = path.read_bytes()
    except OSError:
        return False
    return all(text in content for text in texts)


def _boxes_file(parts: Parts, others: set[Parts]) -> Parts | None:
    """The file of boxes of a picture: `labels` for the last `images` in its path, or beside it."""
    name = f"{parts[-1].rpartition('.')[0]}.txt"
    places = [(*parts[:-1], name)]
    for at in reversed(range(len(parts) - 1)):
        if parts[at].lower() == "images":
            labels = "Labels" if parts[at][0] == "I" else "labels"
            places.insert(0, (*parts[:at], labels, *parts[at + 1 : -1], name))
            break
    return next((place for place in places if place in others), None)


def _label(path: Path, names: dict[int, str]) -> str:
    """The name, or else the number, of the class of the largest box; '' if there is no box.

    Raises:
        DataError: for a line that is not a box, or a class without a name among others.
    """
    largest, label = -1.0, ""
    for row, line in enumerate(_text(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            number, *values = (float(word) for word in line.split())
            if len(values) < 4 or not number.is_integer() or (names and int(number) not in names):
                raise ValueError
        except ValueError:
            raise DataError(
                path,
                row=row,
                got=repr(line.strip()[:60]),
                expected="a class and a box, such as 3 0.5 0.5 0.9 0.9"
                + (f", of the classes {min(names)} to {max(names)}" if names else ""),
                fix=f"correct the line, or {LEAVE_OUT}",
            ) from None
        if len(values) == 4:
            area = values[2] * values[3]
        else:  # an outline
            xs, ys = values[0::2], values[1::2]
            area = (max(xs) - min(xs)) * (max(ys) - min(ys))
        if area > largest:
            largest, label = area, label_name(names.get(int(number), int(number)))
    return label


def _class_names(folder: Path, tree: Tree) -> tuple[str, dict[int, str]]:
    """The file that names the classes, and their names; ('', {}) if there is none."""
    for parts in sorted(tree.others, key=lambda parts: (len(parts), parts)):
        path = folder / Path(*parts)
        names: Sequence[tuple[int, str]] = []
        if path.suffix.lower() in (".yaml", ".yml"):
            names = _yaml_names(_text(path))
        elif path.name.lower() in _NAME_FILES:
            names = list(enumerate(filter(None, map(str.strip, _text(path).splitlines()))))
        if names:
            return printable("/".join(parts)), dict(names)
    return "", {}


def _yaml_names(text: str) -> list[tuple[int, str]]:
    """The entry `names` of a data.yaml: a list or a mapping, in one line or with a line each."""
    match = _NAMES.search(text)
    if match is None:
        return []
    rest = text[match.start(1) :]
    if rest[:1] in ("[", "{"):
        inside = " ".join(rest[1:].partition("]" if rest[0] == "[" else "}")[0].split())
        found = [(one[1], one[2]) for one in _ENTRY.finditer(inside)]
    else:
        found = []
        for line in rest.splitlines()[1:]:
            if line.strip() and not line.lstrip().startswith("#"):
                entry = _LINE.fullmatch(line)
                if entry is None:
                    break
                found.append((entry[1], entry[2]))
    return [
        (position if number is None else int(number), name.strip().strip("\"'"))
        for position, (number, name) in enumerate(found)
    ]


def _text(path: Path) -> str:
    """The content of a small file; '' for another."""
    try:
        if not path.is_file() or path.stat().st_size > _MAX_BYTES:
            return ""
        return path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError:
        return ""
