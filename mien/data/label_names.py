"""Names for labels that data sets give as numbers or under names of their own.

Only the authors of the data know what a number means: `--labels` says so, nothing is guessed.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence

import numpy as np

from mien.data.dataset import UNLABELLED, Dataset
from mien.errors import DataError, UsageError, meant
from mien.labels import FER2013, LabelSet, canonical

_NUMBERED = re.compile(r"(?:class|label|emotion|expression|emo|exp|category|cat)?[ _.\-]*(\d+)")
_NONE = "-1"  # with which arrays and Hugging Face's files mark no label
_PAIRS = "write pairs such as 1=surprise,2=fear (an empty name leaves a label out)"
# Numbers as the authors of the data sets give them.
PRESETS: dict[str, dict[str, str]] = {
    # http://www.whdeld.cn/RAFDB.html: list_patition_label.txt
    "rafdb": {
        **{"1": "surprise", "2": "fear", "3": "disgust", "4": "happy"},
        **{"5": "sad", "6": "angry", "7": "neutral"},
    },
    # http://mohammadmahoor.com/affectnet/: the column expression; 8 none, 9 uncertain, 10 no face
    "affectnet": {
        **{"0": "neutral", "1": "happy", "2": "sad", "3": "surprise", "4": "fear"},
        **{"5": "disgust", "6": "angry", "7": "contempt", "8": "", "9": "", "10": ""},
    },
    "fer2013": {str(number): name for number, name in enumerate(FER2013)},
    # The header of FER+'s fer2013new.csv
    "ferplus": {
        **{"0": "neutral", "1": "happy", "2": "surprise", "3": "sad", "4": "angry"},
        **{"5": "disgust", "6": "fear", "7": "contempt", "8": "", "9": ""},
    },
    # Lucey et al. 2010 (CK+): Emotion/*.txt
    "ckplus": {
        **{"0": "neutral", "1": "angry", "2": "contempt", "3": "disgust", "4": "fear"},
        **{"5": "happy", "6": "sad", "7": "surprise"},
    },
    # Zhang et al. 2018 (ExpW): label.lst
    "expw": {str(number): name for number, name in enumerate(FER2013)},
}


def names_for(labels: str | Mapping[str, str]) -> dict[str, str]:
    """New names by old ones, from a preset's name, a text like `1=surprise,2=fear`, or a mapping.

    An empty name leaves out the rows of that label.

    Raises:
        UsageError: for anything else.
    """
    if isinstance(labels, Mapping):
        return {str(old): str(new) for old, new in labels.items()}
    if preset := _preset(labels):
        return dict(PRESETS[preset])
    names = {}
    for part in filter(None, (piece.strip() for piece in labels.split(","))):
        old, equals, new = (piece.strip() for piece in part.partition("="))
        if not equals or not old:
            raise UsageError(
                f"labels: got {part[:60]!r}; expected one of {', '.join(PRESETS)}, or pairs. Fix: "
                + meant(part, PRESETS, _PAIRS)
            )
        names[old] = new
    if not names:
        raise UsageError(
            f"labels: got {labels!r}; expected one of {', '.join(PRESETS)}, or pairs. Fix: {_PAIRS}"
        )
    return names


def rename_labels(dataset: Dataset, labels: str | Mapping[str, str]) -> Dataset:
    """The data with other names for its labels; labels with the same new name are merged, and rows
    of labels with an empty name are left out.

    Args:
        dataset: The data.
        labels: As for `names_for`; labels that it does not mention keep their names.

    Raises:
        UsageError: if it mentions no label of the data.
        DataError: if fewer than two labels remain.
    """
    names = {_plain(old): new for old, new in names_for(labels).items()}

    def new_name(label: str) -> str | None:
        plain = _plain(label)
        return names.get(plain, names.get(number_in(plain) or plain))

    if dataset.numeric_labels and set(names) & set(PRESETS["fer2013"]):
        dataset = _with_numbers(dataset)
    if isinstance(labels, str) and (preset := _preset(labels)):
        _check_first_number(dataset, preset)
    old = dataset.label_set.names
    if all(new_name(name) is None for name in old):
        raise UsageError(
            f"labels: got names for {', '.join(list(names)[:12])}; expected labels of "
            f"{dataset.source}. Fix: name some of {', '.join(old)}"
        )
    new = [canonical(name if (other := new_name(name)) is None else other) for name in old]
    label_set = label_set_of([name for name in new if name], dataset.source)
    positions = [label_set.names.index(name) if name else UNLABELLED for name in new]
    to = np.array([*positions, UNLABELLED])
    dropped = np.array([not name for name in new] + [False])[dataset.labels]
    pairs = ", ".join(f"{a} = {b or 'left out'}" for a, b in zip(old, new, strict=True) if a != b)
    notes = [f"Labels were renamed: {pairs}."] if pairs else []
    if dropped.any():
        notes.append(f"{int(dropped.sum()):,} pictures of labels without a name were left out.")
    old_notes = dataset.notes
    if not any(map(number_in, label_set)):  # the advice was followed
        advice = (NUMBERS, FER2013_NUMBERS)
        old_notes = tuple(note for note in old_notes if note not in advice)
    changed = dataclasses.replace(
        dataset,
        labels=to[dataset.labels],
        label_set=label_set,
        numeric_labels=False,
        notes=old_notes,
    )
    return changed.take(~dropped).with_notes(*notes)


def _preset(labels: str) -> str | None:
    """The key of `PRESETS` for a name, also for one such as `RAF-DB`, `raf_db` or `FER+`; None if
    there is none.
    """
    plain = re.sub("[^a-z0-9]", "", labels.lower().replace("+", "plus"))
    return plain if plain in PRESETS else None


def _check_first_number(dataset: Dataset, preset: str) -> None:
    """Refuse numbers from 0 if those of the preset begin at 1, and the other way round.

    Raises:
        UsageError: as described.
    """
    positions = np.unique(dataset.labels[dataset.labels != UNLABELLED])
    numbers = {int(n) for k in positions if (n := number_in(dataset.label_set[int(k)]))}
    preset_numbers = sorted(int(n) for n, name in PRESETS[preset].items() if name)
    first, last = preset_numbers[0], preset_numbers[-1]
    from_one = [set(range(1, last + 2))]
    if preset != "ckplus":  # CK+ gives no sequence the label neutral, its 0
        from_one.append(set(range(1, last + 1)))
    if first == 0 and numbers in from_one:
        shift = 1
    elif first == 1 and 0 in numbers:
        shift = -1
    else:
        return
    pairs = ",".join(f"{n + shift}={PRESETS[preset][str(n)]}" for n in preset_numbers)
    raise UsageError(
        f"labels: got {preset}, whose numbers begin at {first}, for the numbers {min(numbers)} "
        f"to {max(numbers)} of {dataset.source}; expected numbers that begin there. Fix: write "
        f"what they mean, such as --labels {pairs} if they are in that order"
    )


def label_positions(values: Sequence[object], source: str) -> tuple[np.ndarray, LabelSet, bool]:
    """Turn labels as data sets store them (numbers, names, booleans, nothing) into positions.

    Args:
        values: A label for each picture: int, float, str, bytes, bool, or None or NaN for no label;
            so is -1 if all others are numbers from 0.
        source: The name of the data in errors.

    Returns:
        int64 (N,) positions in the label set, the label set, and whether the labels are numbers
        that were read as FER2013's, since all are whole numbers from 0 to 6. Other numbers are
        used as label names until they are renamed.
    """
    names = [label_name(value) for value in values]
    if all(name.isdecimal() for name in set(names) - {"", _NONE}):
        names = ["" if name == _NONE else name for name in names]
    distinct = {name for name in names if name}
    are_numbers = bool(distinct) and distinct <= set(PRESETS["fer2013"])
    if are_numbers:
        names = [PRESETS["fer2013"].get(name, name) for name in names]
        distinct = set(names) - {""}
    label_set = label_set_of(sorted(distinct), source) if distinct else FER2013
    positions = {name: label_set.names.index(name) for name in distinct}
    labels = np.array([positions.get(name, UNLABELLED) for name in names], np.int64)
    return labels, label_set, are_numbers


def largest(values: Sequence[object]) -> list[int | None]:
    """For each row of a table with a column for each class, the position of the largest number;
    None if several are largest, or all are zero.
    """
    numbers = np.nan_to_num(np.asarray(values, np.float64))
    most = numbers.max(axis=1, keepdims=True)
    is_single = ((numbers == most).sum(axis=1) == 1) & (most[:, 0] > 0)
    chosen = numbers.argmax(axis=1).tolist()
    return [k if single else None for k, single in zip(chosen, is_single, strict=True)]


def named(value: float, names: Sequence[str]) -> str | float | None:
    """The name of a number; None for NaN and -1, with which data with names mark no label."""
    if value != value or value == -1:
        return None
    return names[int(value)] if value in range(len(names)) else value


def unlabelled_note(labels: np.ndarray) -> list[str]:
    """A note on rows without a label, if there are any."""
    count = int(np.sum(labels == UNLABELLED))
    return [f"{count:,} rows have no label: they can be predicted, not scored."] if count else []


# Notes on data whose labels are numbers.
FER2013_NUMBERS = "Labels are numbers, read as FER2013's (--labels names others)."
NUMBERS = f"Labels are numbers: --labels ({', '.join(PRESETS)}) gives them names."


def label_name(value: object) -> str:
    """A label's canonical name; `1.0` becomes `1`, and no label becomes an empty text."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if value is None or value != value:  # NaN
        return ""
    text = str(value).strip()
    return "" if text.lower() in ("nan", "none", "null", "<na>") else _plain(text)


def label_set_of(labels: Sequence[str], source: str) -> LabelSet:
    """The label set of some canonical labels: FER2013's if it has them all, else known expressions
    in FER2013's order, followed by other labels by name.

    Raises:
        DataError: for fewer than two labels that are not FER2013's.
    """
    names = set(labels)
    if names and names <= set(FER2013):
        return FER2013
    known = [name for name in (*FER2013, "contempt") if name in names]
    ordered = (*known, *sorted(names - set(known), key=_natural))
    if len(ordered) < 2:
        raise DataError(
            source,
            got=f"the single label {ordered[0]!r}" if ordered else "no label",
            expected="two or more labels, or FER2013's",
            fix="check that the folders are split/label/picture or label/picture",
        )
    return LabelSet(ordered)


def _with_numbers(dataset: Dataset) -> Dataset:
    """Turn labels that were read as FER2013's back into their numbers."""
    numbers = {name: str(number) for number, name in enumerate(FER2013)}
    names = tuple(numbers.get(name, name) for name in dataset.label_set)
    return dataclasses.replace(dataset, label_set=LabelSet(names))


def number_in(label: str) -> str | None:
    """`3` for `3`, `03`, `class003` and `emotion 3`; None for other names."""
    match = _NUMBERED.fullmatch(label.strip().lower())
    return str(int(match[1])) if match else None


def _natural(name: str) -> tuple[int, str]:
    """Sort key: `-1` comes before `0`, and `2` before `10`."""
    return (int(name), "") if name.removeprefix("-").isdecimal() else (1 << 60, name)


def _plain(label: str) -> str:
    """The same text for `01`, `1.0` and `1`."""
    text = label.strip().lower()
    try:
        number = float(text)
    except ValueError:
        return canonical(text)
    return str(int(number)) if number.is_integer() else text
