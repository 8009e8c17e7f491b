"""Interpret the folders above a picture as its split, its label and its group.

    split/label/picture     label/picture     split/label/person/picture     person/label/picture

Any of these may lie in further folders, as archives create them; links to folders are followed.
Names decide, not positions: the level whose names are expressions is that of the labels, or, if
there is none, the first level with several names. Other levels name groups, such as persons, which
a random validation split keeps whole.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mien.data.dataset import LEAVE_OUT, SPLITS, LeftOut
from mien.data.tree import Parts, Tree
from mien.errors import DataError, printable
from mien.labels import FERPLUS, canonical

SPLIT_NAMES = {
    "train": "training",
    "training": "training",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "validate": "validation",
    "dev": "validation",
    "eval": "validation",
    "evaluation": "validation",
    "publictest": "validation",
    "test": "test",
    "testing": "test",
    "privatetest": "test",
}
_VIDEOS = (".avi", ".mp4", ".mov", ".mkv", ".webm", ".wmv")
_EVALUATION = ("eval", "evaluation")  # the test split if another folder is the validation split
_MAX_SPLITS = 3  # up to so many folders above the labels count as misspelt splits, not persons
_MIN_GROUPS = 3  # fewer folders of one level count as kinds of pictures, not persons
# Names of folders of one person in well-known data sets; `AF01` is one of KDEF's.
_PERSON = re.compile(
    r"(?:[sp]|id|subj?|subject|person|actor|actress|user|participant|individual|identity|speaker"
    r"|patient|child|student|model)[ _.-]*\d+|[ab][fm]\d\d",
    re.IGNORECASE,
)
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
FOLDER_GROUPS = "Folders above or below the labels name "  # the note on groups begins with it
# Words that may accompany an expression in the name of a label folder.
_LABEL_WORDS = set("face faces image images emotion expression class label set".split())


@dataclass
class Listing:
    """The pictures of a folder, sorted by path, before any is opened.

    Attributes:
        root: The folder that contains them.
        pictures, labels, splits, groups: For each picture its path, canonical label, position in
            `SPLITS` and group name (empty if it has none).
        has_splits: Whether folders name splits.
        notes, left_out: As in Dataset.
        unread: Tables beside the pictures that could not be used: what was got, and the fix.
        loose: Number of files beside the label folders that were not read.
        by_table: Whether a table beside the pictures gave the labels.
    """

    root: Path
    pictures: list[Path] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    splits: list[int] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    has_splits: bool = False
    notes: list[str] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    unread: list[tuple[str, str]] = field(default_factory=list)
    loose: int = 0
    by_table: bool = False

    def add(self, path: Path, label: str, split: str | None, group: str = "") -> None:
        """Add a picture; without a split it is for training."""
        self.pictures.append(path)
        self.labels.append(label)
        self.splits.append(SPLITS.index(split or "training"))
        self.groups.append(group)

    def leave_out(self, error: DataError, on_error: str) -> None:
        """Raise the error of a picture or folder, or list what is left out for it if `on_error` is
        `skip`.
        """
        if on_error == "raise":
            raise error
        reason = f"got {error.got}; expected {error.expected}"
        self.left_out.append(LeftOut(error.where, error.row, reason))


def list_folder(folder: Path, tree: Tree, on_error: str = "raise") -> Listing:
    """List the pictures of a folder with their labels, splits and groups.

    Args:
        folder: The folder.
        tree: Its content.
        on_error: `raise`, or `skip` to leave out what is not laid out as the rest.

    Raises:
        DataError: if the folders do not say what the pictures are.
    """
    if not tree.folders:
        raise DataError(
            folder,
            got=f"{len(tree.pictures):,} pictures without labels: no folders, table or names of a "
            "known set give them"
            if tree.pictures
            else "a folder without a FER2013 csv and without subfolders",
            expected="fer2013.csv, or pictures as split/label/picture or label/picture",
            fix="sort the pictures into one folder for each label, or put a table labels.csv with "
            "the columns file,label beside them",
        )
    if not any(len(parts) > 1 for parts in tree.pictures):
        has_videos = any(parts[-1].lower().endswith(_VIDEOS) for parts in tree.others)
        raise DataError(
            folder,
            got=f"label folders {'with videos but ' * has_videos}without a single picture",
            expected="pictures as split/label/picture or label/picture",
            fix="save frames of each video in a folder of its own, label/video/frame.png"
            if has_videos
            else "check that the copy is complete",
        )
    tree, root = _unwrapped(tree, folder)
    listing = Listing(root)
    for parts in tree.loops:
        listing.leave_out(_loop(root / Path(*parts)), on_error)
    tops = sorted({parts[0] for parts in tree.pictures if len(parts) > 1})
    if splits := split_folders(tops):
        listing.has_splits = True
        for top in tops:
            if top not in splits:
                _pass_over(listing, tree, top, on_error)
        for top, split in sorted(splits.items()):
            _list_part(listing, tree, (top,), split, on_error)
        listing.loose += sum(len(parts) == 1 for parts in tree.others)
        for parts in tree.pictures:
            if len(parts) == 1:
                listing.leave_out(_outside(root / parts[0]), on_error)
    else:
        _list_part(listing, tree, (), "training", on_error)
    _name_groups(listing)
    return listing


def split_folders(names: Iterable[str]) -> dict[str, str]:
    """Which of the folders in one place are splits: name -> split.

    `train`, `Training_Set`, `FER2013Train`, `val-images`, `2_test` are; `train_happy` is not.
    """
    words = {name: word for name in names if (word := split_word(name))}
    exact = {name for name in words if name.lower() in SPLIT_NAMES}
    splits = {name: SPLIT_NAMES[word] for name, word in words.items()}
    rest = {splits[name] for name, word in words.items() if word not in _EVALUATION}
    if "validation" in rest and "test" not in rest:
        splits |= {name: "test" for name, word in words.items() if word in _EVALUATION}
    # A split's name among other words counts only if all folders have such names.
    others = [name for name in names if name not in words]
    return splits if exact or not others else {}


def split_word(name: str) -> str | None:
    """The key of `SPLIT_NAMES` in the name of a folder, file or split; None if there is none."""
    plain = name.strip().lower()
    if plain in SPLIT_NAMES:
        return plain
    words = [word.lower() for word in _WORDS.findall(name)]
    joined = "".join(words)
    for ending in ("set", "data", "images", "faces", "folder", "split"):
        words += [joined.removesuffix(ending)] if joined.endswith(ending) else []
    if any(canonical(word) in FERPLUS for word in words):
        return None
    keys = {word for word in words if word in SPLIT_NAMES}
    if {"public", "private"} & set(words) and "test" in keys:
        return "publictest" if "public" in words else "privatetest"
    return keys.pop() if len({SPLIT_NAMES[word] for word in keys}) == 1 else None


def split_named(*names: str) -> str | None:
    """The split that the first of the names that names one gives; None if none does."""
    return next((SPLIT_NAMES[word] for name in names if (word := split_word(name))), None)


def label_of(name: str) -> str:
    """The label that a folder's name gives; an expression is also recognised in names such as
    `0_Angry`, `happy faces` and `04-Sadness`.
    """
    plain = canonical(printable(name))
    words = [word.lower() for word in _WORDS.findall(name)]
    expressions = {canonical(word) for word in words} & set(FERPLUS)
    rest = {word for word in words if canonical(word) not in FERPLUS and not word.isdigit()}
    if plain not in FERPLUS and len(expressions) == 1 and rest <= _LABEL_WORDS:
        return expressions.pop()
    return plain


def names_labels(tree: Tree) -> bool:
    """Whether the folders of most pictures name expressions."""
    named = sum(any(label_of(name) in FERPLUS for name in parts[:-1]) for parts in tree.pictures)
    return named * 2 > len(tree.pictures)


def _unwrapped(tree: Tree, folder: Path) -> tuple[Tree, Path]:
    """Descend through folders that contain all pictures and are neither a split nor a label."""
    while True:
        tops = {parts[0] for parts in tree.pictures if len(parts) > 1}
        if len(tops) != 1 or any(len(parts) == 1 for parts in tree.pictures):
            return tree, folder
        (top,) = tops
        below = any(len(parts) > 2 for parts in tree.pictures)
        if not below or split_folders([top]) or label_of(top) in FERPLUS:
            return tree, folder
        beside = [parts[-1:] for parts in tree.others if parts[0] != top]  # counted but not read
        tree = Tree(
            _below(top, tree.pictures),
            sorted([*_below(top, tree.others), *beside]),
            _below(top, tree.folders),
            _below(top, tree.loops),
        )
        folder /= top


def _below(top: str, paths: Iterable[Parts]) -> list[Parts]:
    return [parts[1:] for parts in paths if parts[0] == top and len(parts) > 1]


def _pass_over(listing: Listing, tree: Tree, top: str, on_error: str) -> None:
    """Pass over a folder beside those of the splits: it repeats their pictures, which a note says,
    or it is an error.
    """
    pictures = _below(top, tree.pictures)
    if set(pictures) <= set(tree.pictures):
        listing.notes.append(
            f"The folder {printable(top)} repeats {len(pictures):,} pictures of the folders "
            "beside it; it was not read."
        )
        return
    error = DataError(
        listing.root / top,
        got=f"the unknown split folder {top!r}",
        expected="one of " + ", ".join(SPLIT_NAMES),
        fix=f"rename or remove it, or {LEAVE_OUT}",
    )
    listing.leave_out(error, on_error)


def _list_part(listing: Listing, tree: Tree, above: Parts, split: str, on_error: str) -> None:
    """List the pictures below `above`, the folder of a split, or () for all."""
    skip = len(above)
    pictures = [parts for parts in tree.pictures if parts[:skip] == above]
    level = _label_level([parts[skip:-1] for parts in pictures if len(parts) - skip > 1], listing)
    at = skip + level
    for parts in tree.others:
        if parts[:-1][:skip] != above:
            continue
        if len(parts) - 1 > at:
            listing.leave_out(_no_picture(listing.root / Path(*parts)), on_error)
        else:
            listing.loose += 1
    if above and split != "training" and all(len(parts) == skip + 1 for parts in pictures):
        listing.notes.append(
            f"{printable('/'.join(above))} holds {len(pictures):,} pictures without labels, which "
            "were left out: mien predict recognises them."
        )
        return
    filled = {parts[: at + 1] for parts in pictures}
    for parts in tree.folders:
        if len(parts) == at + 1 and parts[:skip] == above and parts not in filled:
            listing.leave_out(_empty(listing.root / Path(*parts)), on_error)
    for parts in pictures:
        path = listing.root / Path(*parts)
        if len(parts) - 1 <= at:
            listing.leave_out(_outside(path), on_error)
        else:
            group = "/".join((*parts[skip:at], *parts[at + 1 : -1]))
            listing.add(path, label_of(parts[at]), split, group)


def _label_level(folders: Sequence[Parts], listing: Listing) -> int:
    """The level of the folders above the pictures that names labels, from 0."""
    depth = max((len(parts) for parts in folders), default=1)
    for level in range(depth):
        names = [parts[level] for parts in folders if len(parts) > level]
        if sum(label_of(name) in FERPLUS for name in names) * 2 > len(folders):
            tops = sorted({parts[0] for parts in folders})
            are_persons = all(map(_PERSON.fullmatch, tops))
            are_splits = not are_persons and 1 < len(tops) <= _MAX_SPLITS
            if level and not listing.has_splits and are_splits:
                raise DataError(
                    listing.root,
                    got="label folders in folders that are not known splits: " + ", ".join(tops),
                    expected="split/label/picture with splits named "
                    + ", ".join(SPLIT_NAMES)
                    + ", or label/person/picture",
                    fix="rename the split folders, or put folders that are no splits below the "
                    f"labels: label/{tops[0]}/picture",
                )
            return level
    for level in range(depth):
        distinct = sorted({parts[level] for parts in folders if len(parts) > level})
        if len(distinct) > 1:
            if all(map(_PERSON.fullmatch, distinct)):
                raise _only_persons(listing.root, distinct)
            return level
    return min((len(parts) for parts in folders), default=1) - 1


def _person_groups(groups: Sequence[str]) -> list[str]:
    """The part of each group's path that keeps a person whole: the level whose names are those of
    persons (`S001`), or else the path down to the first level with several names.
    """
    paths = [group.split("/") for group in groups]
    for level in range(max(map(len, paths), default=0)):
        names = [path[level] for path in paths if len(path) > level]
        if sum(bool(_PERSON.fullmatch(name)) for name in names) * 2 > len(paths):
            return [path[level] if len(path) > level else "/".join(path) for path in paths]
    for end in range(1, max(map(len, paths), default=0)):
        shorter = ["/".join(path[:end]) for path in paths]
        if all(shorter) and len(set(shorter)) >= _MIN_GROUPS:
            return shorter
    return list(groups)


def _name_groups(listing: Listing) -> None:
    """Keep the other folders as groups, unless each label of a split has only one of them."""
    listing.groups = _person_groups(listing.groups)
    groups = sorted({group for group in listing.groups if group})
    by_label: dict[tuple[str, int], set[str]] = defaultdict(set)
    for label, split, group in zip(listing.labels, listing.splits, listing.groups, strict=True):
        by_label[label, split].add(group)
    if len(groups) < 2 or all(len(names) == 1 for names in by_label.values()):
        listing.groups = [""] * len(listing.pictures)
        return
    examples = ", ".join(printable(group) for group in groups[:3])
    listing.notes.append(
        f"{FOLDER_GROUPS}{len(groups):,} groups ({examples}"
        + (", ...)" if len(groups) > 3 else ")")
        + ": a random validation split keeps each whole."
    )


def _outside(path: Path) -> DataError:
    return DataError(
        path,
        got="a picture outside any label folder",
        expected="split/label/picture or label/picture",
        fix=f"move it into the folder of its label, or {LEAVE_OUT}",
    )


def _no_picture(path: Path) -> DataError:
    return DataError(
        path,
        got=f"a file that is not a picture ({path.suffix or 'no suffix'})",
        expected=f"only pictures in a label folder ({path.parent.name!r})",
        fix=f"move or remove it, or {LEAVE_OUT}",
    )


def _empty(path: Path) -> DataError:
    return DataError(
        path,
        got="a label folder without pictures",
        expected="at least one picture",
        fix=f"add pictures or remove the folder, or {LEAVE_OUT}",
    )


def _only_persons(root: Path, names: Sequence[str]) -> DataError:
    return DataError(
        root,
        got="folders that name persons, not labels: " + ", ".join(names[:3]),
        expected="label/person/picture or person/label/picture",
        fix="sort the pictures into a folder for each label, or put a table labels.csv with the "
        f"columns file,label beside them; if these are labels, call them label_{names[0]} ...",
    )


def _loop(path: Path) -> DataError:
    return DataError(
        path,
        got="a link to a folder that contains it",
        expected="links to other folders",
        fix=f"remove the link, or {LEAVE_OUT}",
    )
