"""The same faces as pandas, a spreadsheet or somebody's script writes them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

from mien.data.dataset import SPLITS, UNLABELLED, Dataset
from mien.data.label_names import rename_labels
from mien.data.readers import load_dataset
from mien.data.split import with_validation
from mien.errors import DataError
from mien.labels import FER2013

USAGES = ("Training", "PublicTest", "PrivateTest")


def rows_of(
    faces: Dataset,
    row: Callable[[str, list[str], str], str],
    head: str,
    end: str = "\n",
) -> bytes:
    lines = [head]
    for image, label, split in zip(faces.images, faces.labels, faces.splits, strict=True):
        lines.append(row(str(label), [str(v) for v in image.ravel()], USAGES[split]))
    return (end.join(lines) + end).encode()


def spaced(values: Iterable[str]) -> str:
    return " ".join(values)


def multi_line(values: list[str]) -> str:
    """As numpy prints an array whole: brackets, several lines."""
    return "[" + "\n ".join(spaced(values[i : i + 48]) for i in range(0, len(values), 48)) + "]"


NAMES = FER2013.names
TRAIN = {"Training": "train", "PublicTest": "val", "PrivateTest": "test"}
FORMS: dict[str, Callable[[Dataset], bytes]] = {
    "semicolons": lambda d: rows_of(
        d, lambda e, p, u: f"{e};{spaced(p)};{u}", "emotion;pixels;Usage", "\r\n"
    ),
    "tabs": lambda d: rows_of(
        d, lambda e, p, u: f"{u}\t{e}\t{spaced(p)}", "Usage\temotion\tpixels"
    ),
    "a list of pixels": lambda d: rows_of(
        d, lambda e, p, u: f'{e},"[{", ".join(p)}]",{u}', "emotion,pixels,Usage"
    ),
    "commas between pixels": lambda d: rows_of(
        d, lambda e, p, u: f'{e},"{",".join(p)}",{u}', "emotion,pixels,Usage"
    ),
    "floats and an index": lambda d: rows_of(
        d,
        lambda e, p, u: f"7,{e}.0,{'.0 '.join(p)}.0,{u}",
        ",emotion,pixels,Usage",
    ),
    "names": lambda d: rows_of(
        d, lambda e, p, u: f"{NAMES[int(e)].title()},{spaced(p)},{u}", "label,pixels,Usage"
    ),
    "synonyms": lambda d: rows_of(
        d,
        lambda e, p, u: (
            f"{NAMES[int(e)].replace('happy', 'Happiness').replace('sad', 'SADNESS')},"
            f"{spaced(p)},{u}"
        ),
        "Expression,Pixels,usage",
    ),
    "other names of splits": lambda d: rows_of(
        d, lambda e, p, u: f"{e},{spaced(p)},{TRAIN[u]}", "emotion,pixels,split"
    ),
    "wide": lambda d: rows_of(
        d,
        lambda e, p, u: ",".join([e, *p, u]),
        ",".join(["emotion", *(f"pixel{n}" for n in range(2304)), "Usage"]),
    ),
    "wide by number": lambda d: rows_of(
        d,
        lambda e, p, u: ";".join([*p, e, u]),
        ";".join([*map(str, range(1, 2305)), "label", "set"]),
    ),
    "an array of several lines": lambda d: rows_of(
        d, lambda e, p, u: f'{e},"{multi_line(p)}",{u}', "emotion,pixels,Usage"
    ),
    "byte order mark": lambda d: (
        b"\xef\xbb\xbf"
        + rows_of(d, lambda e, p, u: f'"{e}";"{spaced(p)}";"{u}"', '"emotion";"pixels";"Usage"')
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms(tmp_path: Path, faces: Dataset, form: str) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes(FORMS[form](faces))
    dataset = load_dataset(path)
    assert dataset.label_set == FER2013
    np.testing.assert_array_equal(dataset.images, faces.images)
    np.testing.assert_array_equal(dataset.labels, faces.labels)
    np.testing.assert_array_equal(dataset.splits, faces.splits)
    assert dataset.left_out == ()


def test_pandas_writes_what_is_read(tmp_path: Path, faces: Dataset) -> None:
    import pandas

    frame = pandas.DataFrame(
        {
            "emotion": faces.labels.astype(float),
            "pixels": [image.ravel().tolist() for image in faces.images],
            "Usage": [USAGES[split] for split in faces.splits],
        }
    )
    frame.to_csv(tmp_path / "mine.csv.gz")
    dataset = load_dataset(tmp_path / "mine.csv.gz")
    np.testing.assert_array_equal(dataset.images, faces.images)
    np.testing.assert_array_equal(dataset.labels, faces.labels)


def test_no_usage_is_a_folder_without_splits(tmp_path: Path, faces: Dataset) -> None:
    held = rows_of(faces, lambda e, p, u: f"{e},{spaced(p)}", "emotion,pixels")
    (tmp_path / "mine.csv").write_bytes(held)
    dataset = load_dataset(tmp_path / "mine.csv")
    assert set(dataset.splits) == {SPLITS.index("training")}
    assert "mine.csv has no Usage column." in dataset.notes
    (tmp_path / "my_val_faces.csv").write_bytes(held)
    assert set(load_dataset(tmp_path / "my_val_faces.csv").splits) == {SPLITS.index("validation")}


def test_rows_without_labels(tmp_path: Path, faces: Dataset) -> None:
    (tmp_path / "mine.csv").write_bytes(rows_of(faces, lambda e, p, u: spaced(p), "pixels"))
    dataset = load_dataset(tmp_path / "mine.csv")
    assert set(dataset.labels) == {UNLABELLED} and len(dataset) == 210
    some = rows_of(
        faces,
        lambda e, p, u: f"{'' if u == 'PrivateTest' else e},{spaced(p)},{u}",
        "y,pixels,Usage",
    )
    (tmp_path / "some.csv").write_bytes(some)
    dataset = load_dataset(tmp_path / "some.csv")
    assert np.array_equal(dataset.labels == UNLABELLED, dataset.mask("test"))
    assert any("35 rows have no label" in note for note in dataset.notes)


def test_numbers_are_fer2013s_only_where_all_are(tmp_path: Path, faces: Dataset) -> None:
    """FER+ and AffectNet have eight classes in other orders; others count from 1."""
    held = rows_of(faces, lambda e, p, u: f"{e},{spaced(p)},{u}", "emotion,pixels,Usage")
    (tmp_path / "ck.csv").write_bytes(held.replace(b"\n6,", b"\n7,"))
    dataset = load_dataset(tmp_path / "ck.csv")
    assert (
        dataset.label_set.names == ("0", "1", "2", "3", "4", "5", "7")
        and not dataset.numeric_labels
    )
    assert any("Labels are numbers: --labels (" in note for note in dataset.notes)
    assert np.array_equal(dataset.labels, faces.labels)
    named = rename_labels(rename_labels(dataset, "fer2013"), "7=contempt")
    assert named.label_set.names == (*FER2013.names[:6], "contempt")
    held = rows_of(faces, lambda e, p, u: f"{int(e) + 1},{spaced(p)}", "label,pixels")
    (tmp_path / "from_one.csv").write_bytes(held)
    dataset = load_dataset(tmp_path / "from_one.csv")
    assert dataset.label_set.names == tuple("1234567")
    assert "Labels are numbers" in " ".join(dataset.notes)
    dataset = rename_labels(dataset, "rafdb")
    assert np.array_equal(dataset.labels == 0, faces.labels == 5)  # angry is 6
    assert "Labels are numbers" not in " ".join(dataset.notes)


def rows_of_persons(faces: Dataset, row: Callable[..., str], names: str) -> bytes:
    """A csv as `rows_of` makes it, with thirty persons in turn in a last column."""
    count = itertools.count()
    return rows_of(
        faces, lambda *cells: f"{row(*cells)},S{next(count) % 30:02d}", f"{names},Subject"
    )


def test_persons_that_the_splits_of_a_csv_cut_are_noted(tmp_path: Path, faces: Dataset) -> None:
    held = rows_of_persons(faces, lambda e, p, u: f"{e},{spaced(p)},{u}", "emotion,pixels,Usage")
    (tmp_path / "mine.csv").write_bytes(held)
    notes = load_dataset(tmp_path / "mine.csv").notes
    cut = [note for note in notes if "are not of new people" in note]
    assert len(cut) == 1 and cut[0].startswith("Of 30 groups 30 (S00, S01, S02, ...) have")


def test_persons_of_a_csv_are_groups(tmp_path: Path, faces: Dataset) -> None:
    held = rows_of_persons(faces, lambda e, p, u: f"{e},{spaced(p)}", "emotion,pixels")
    (tmp_path / "mine.csv").write_bytes(held)
    dataset = load_dataset(tmp_path / "mine.csv")
    assert dataset.groups is not None and dataset.groups[31] == "S01"
    assert "30 groups, such as persons, were read from the csv." in dataset.notes
    split = with_validation(dataset)
    assert split.groups is not None and len(split.part("validation")) > 0
    sides = [set(split.groups[split.mask(name)]) for name in ("training", "validation")]
    assert not sides[0] & sides[1]
    (tmp_path / "bad.csv").write_bytes(held.replace(b" 0 ", b" x ", 1))
    some = load_dataset(tmp_path / "bad.csv", on_error="skip")
    assert some.groups is not None and len(some.groups) == len(some) == 209


@pytest.mark.parametrize(
    ("head", "fix"),
    [
        ("label,image", "call the column 'image' 'pixels' if it holds them; if it holds names"),
        ("label," + ",".join(f"p_{n}_{k}" for n in range(48) for k in range(48)), "pixel0 to"),
        ("one,two", "write the column names in the first line"),
    ],
)
def test_the_fix_knows_the_columns(tmp_path: Path, head: str, fix: str) -> None:
    (tmp_path / "mine.csv").write_text(f"{head}\n1,2\n")
    with pytest.raises(DataError, match=f"Fix: .*{fix}"):
        load_dataset(tmp_path / "mine.csv")


def test_labels_of_ones_own(tmp_path: Path, faces: Dataset) -> None:
    held = rows_of(
        faces,
        lambda e, p, u: f"{('calm', 'tense')[int(e) % 2]},{spaced(p)},{u}",
        "class,pixels,Usage",
    )
    (tmp_path / "mine.csv").write_bytes(held)
    assert load_dataset(tmp_path / "mine.csv").label_set.names == ("calm", "tense")


@pytest.mark.parametrize(
    ("head", "got"),
    [
        ("a,b,c", "the columns 'a', 'b', 'c'"),
        ("pixel0,pixel1,emotion", "the columns 'pixel0'"),
        ("emotion,pixels,pixels", "the column 'pixels' twice"),
    ],
)
def test_headers_that_name_no_pixels(tmp_path: Path, head: str, got: str) -> None:
    (tmp_path / "mine.csv").write_text(f"{head}\n1,2,3\n")
    with pytest.raises(DataError, match=got):
        load_dataset(tmp_path / "mine.csv")


@pytest.mark.parametrize("name", ['Pat "the Cat', '"Pat'])
def test_a_stray_quote_swallows_no_rows(tmp_path: Path, faces: Dataset, name: str) -> None:
    held = rows_of_persons(faces, lambda e, p, u: f"{e},{spaced(p)}", "emotion,pixels")
    lines = held.decode().splitlines()
    lines[20] = lines[20].rpartition(",")[0] + f",{name}"
    (tmp_path / "mine.csv").write_text("\n".join(lines) + "\n")
    dataset = load_dataset(tmp_path / "mine.csv")
    np.testing.assert_array_equal(dataset.images, faces.images)
    assert dataset.groups is not None and dataset.groups[19] == name.strip('"')

    lines[20] = f"x,{lines[20]}"
    (tmp_path / "mine.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match="row 21: got 4 field"):
        load_dataset(tmp_path / "mine.csv")
    some = load_dataset(tmp_path / "mine.csv", on_error="skip")
    assert len(some) == len(faces) - 1 and [one.row for one in some.left_out] == [21]
