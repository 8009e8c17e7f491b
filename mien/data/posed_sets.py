"""Collections of posed faces, whose labels and persons stand in the names of their files.

    JAFFE   KA.AN1.39.tiff                                   person, expression, number
    KDEF    AF01ANS.JPG                                      series, person, expression, angle
    RaFD    Rafd090_01_Caucasian_female_angry_frontal.jpg    angle, person, group, sex, expression
    FACES   004_o_m_a_b.jpg                                  person, age, sex, expression, series
    CK+     S005/001/S005_001_00000011.png, with the number of its expression in a file
            S005_001_00000011_emotion.txt; only the last picture of a sequence has one

Lyons et al. 1998; Lundqvist et al. 1998; Langner et al. 2010; Ebner et al. 2010; Lucey et al. 2010.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from mien.data.dataset import LEAVE_OUT
from mien.data.layout import Listing, split_named
from mien.data.tree import Parts, Tree
from mien.errors import DataError, printable

_NAMES: Mapping[str, re.Pattern[str]] = {
    "JAFFE": re.compile(r"(?P<person>[A-Z]{2})\.(?P<code>AN|DI|FE|HA|NE|SA|SU)\d+\.\d+", re.I),
    "KDEF": re.compile(
        r"[AB](?P<person>[FM]\d\d)(?P<code>AF|AN|DI|HA|NE|SA|SU)(?:FL|FR|HL|HR|S)", re.I
    ),
    "RaFD": re.compile(
        r"Rafd\d+_(?P<person>\d+)_[a-z]+_[a-z]+_(?P<code>angry|contemptuous|disgusted|fearful"
        r"|happy|neutral|sad|surprised)_[a-z]+",
        re.I,
    ),
    "FACES": re.compile(r"(?P<person>\d{1,3})_[ymo]_[fm]_(?P<code>[adfhns])_[ab]", re.I),
}
# CK+ gives the expressions in other files; copies of it in label folders keep the names.
_PERSONS = {**_NAMES, "CK+": re.compile(r"(?P<person>S\d{3})_\d{3}_\d{8}", re.I)}
_EXPRESSIONS = {
    **{"a": "angry", "d": "disgust", "f": "fear", "h": "happy", "n": "neutral", "s": "sad"},
    **{"an": "angry", "af": "fear", "co": "contempt", "di": "disgust", "fe": "fear"},
    **{"ha": "happy", "ne": "neutral", "sa": "sad", "su": "surprise"},
}
_CK_ENDING = "_emotion.txt"
_CK_NUMBERS = ("neutral", "angry", "contempt", "disgust", "fear", "happy", "sad", "surprise")
_CK_NUMBER = re.compile(r"\s*([0-7])(?:\.0*(?:e[+-]?0+)?)?\s*", re.I)
_MAX_BYTES = 100  # of a file of one number


def list_by_names(folder: Path, tree: Tree, on_error: str = "raise") -> Listing | None:
    """The pictures of a folder with the labels and persons in their names; None if most have none.

    Args:
        folder: The folder.
        tree: Its content.
        on_error: `raise`, or `skip` to leave out pictures with other names.

    Raises:
        DataError: for a picture with another name, unless it is to be skipped.
    """
    name, matches = _named([parts[-1] for parts in tree.pictures], _NAMES)
    if not matches:
        return None
    listing = Listing(folder)
    for parts, match in zip(tree.pictures, matches, strict=True):
        path = folder / Path(*parts)
        if match is None:
            listing.leave_out(_other_name(path, name), on_error)
            continue
        code = match["code"].lower()
        label = _EXPRESSIONS[code if len(code) == 1 else code[:2]]
        listing.add(path, label, split_named(*parts[:-1]), match["person"].upper())
    return _told(listing, f"from the names of the files, which are those of {name}")


def persons_by_names(listing: Listing) -> None:
    """Add the persons in the names of the pictures, if most are names of one of these collections,
    as in copies that are sorted into label folders.
    """
    name, matches = _named([path.name for path in listing.pictures], _PERSONS)
    groups = [match["person"].upper() if match else "" for match in matches]
    if (num_persons := len(set(groups) - {""})) < 2:
        return
    listing.groups = groups
    listing.notes.append(
        f"The names of the files are those of {name}: they name {num_persons:,} persons. A random "
        "validation split keeps each whole."
    )


def list_ck(folder: Path, tree: Tree, on_error: str = "raise") -> Listing | None:
    """The pictures of a folder that have a file with the number of their expression, as CK+ has
    them; None if none has one.

    Raises:
        DataError: for such a file without a number from 0 to 7, unless it is to be skipped.
    """
    files = {parts[-1].lower(): parts for parts in tree.others if _is_ck(parts)}
    listing, num_without, used = Listing(folder), 0, set[str]()
    for parts in tree.pictures if files else ():
        stem = parts[-1].rpartition(".")[0]
        if (file := files.get(name := stem.lower() + _CK_ENDING)) is None:
            num_without += 1
            continue
        used.add(name)
        try:
            label = _CK_NUMBERS[_number(folder / Path(*file))]
        except DataError as error:
            listing.leave_out(error, on_error)
            continue
        person = stem.partition("_")[0].upper()
        listing.add(folder / Path(*parts), label, split_named(*parts[:-1]), person)
    if not listing.pictures and not listing.left_out:
        return None
    listing = _told(listing, f"from files {_CK_ENDING}, as in CK+")
    if num_without:
        listing.notes.append(
            f"{num_without:,} pictures without such a file were left out. In CK+ only the last "
            "picture of a sequence has one, and not of each."
        )
    if unused := sorted(files.keys() - used):
        name = "/".join(files[unused[0]])
        listing.notes.append(
            f"{len(unused):,} files {_CK_ENDING} have no picture of their name. The first: {name}."
        )
    return listing


def _named(
    files: Sequence[str], patterns: Mapping[str, re.Pattern[str]]
) -> tuple[str, list[re.Match[str] | None]]:
    """The collection that names most of the files, and the match of each; no matches if it names
    no more than half of them.
    """
    stems = [file.rpartition(".")[0] for file in files]
    named = {name: list(map(pattern.fullmatch, stems)) for name, pattern in patterns.items()}
    name = max(named, key=lambda name: sum(map(bool, named[name])))
    return name, named[name] if sum(map(bool, named[name])) * 2 > len(stems) else []


def _told(listing: Listing, source: str) -> Listing:
    listing.has_splits = any(listing.splits)
    num_persons = len(set(listing.groups))
    listing.notes.append(
        f"The labels of {len(listing.pictures):,} pictures of {num_persons:,} persons were read "
        f"{source}. A random validation split keeps each person whole."
    )
    return listing


def _is_ck(parts: Parts) -> bool:
    return parts[-1].lower().endswith(_CK_ENDING)


def _number(path: Path) -> int:
    try:
        with open(path, "rb") as file:
            text = file.read(_MAX_BYTES).decode("ascii", "replace")
    except OSError as error:
        raise DataError(
            path,
            got=f"a file that cannot be read ({error.strerror})",
            expected="the number of an expression",
            fix=f"check the copy, or {LEAVE_OUT}",
        ) from error
    if (match := _CK_NUMBER.fullmatch(text)) is None:
        raise DataError(
            path,
            got=repr(printable(text[:40])),
            expected="the number of an expression, 0 to 7",
            fix=f"copy it again, or {LEAVE_OUT}",
        )
    return int(match[1])


def _other_name(path: Path, collection: str) -> DataError:
    return DataError(
        path,
        got="a picture whose name gives no expression",
        expected=f"names such as those of {collection} beside it",
        fix=f"rename or remove it, or {LEAVE_OUT}",
    )
