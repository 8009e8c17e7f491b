"""Every published csv form of FER2013 is read alike; every bad input gets one clear error or is
left out aloud.
"""

import gzip
import os
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mien.data.dataset import SPLITS, UNLABELLED, Dataset
from mien.data.readers import load_dataset
from mien.errors import DataError, UsageError
from mien.labels import FER2013, FERPLUS_VOTES

COUNT = 70  # more than two blocks of the parser
EMOTIONS = [index % 7 for index in range(COUNT)]
USAGES = ["Training"] * 42 + ["PublicTest"] * 14 + ["PrivateTest"] * 14
IMAGES = np.random.default_rng(0).integers(0, 256, (COUNT, 48, 48, 1), dtype=np.uint8)
PIXELS = [" ".join(map(str, image.ravel().tolist())) for image in IMAGES]


def table(
    columns: str = "emotion,pixels,Usage", count: int = COUNT, end: str = "\n", quote: str = ""
) -> str:
    values = {
        "emotion": [str(value) for value in EMOTIONS],
        "pixels": [f"{quote}{text}{quote}" for text in PIXELS],
        "usage": USAGES,
    }
    names = [name.strip().lower() for name in columns.split(",")]
    rows = [",".join(values[name][index] for name in names) for index in range(count)]
    return end.join([columns, *rows]) + end


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def check(dataset: Dataset) -> None:
    assert len(dataset) == COUNT
    assert dataset.label_set == FER2013
    np.testing.assert_array_equal(dataset.images, IMAGES)
    np.testing.assert_array_equal(dataset.labels, EMOTIONS)
    np.testing.assert_array_equal(dataset.rows, np.arange(2, COUNT + 2))
    assert [SPLITS[split] for split in dataset.splits] == ["training"] * 42 + [
        "validation"
    ] * 14 + ["test"] * 14
    assert dataset.left_out == ()


@pytest.mark.parametrize(
    ("columns", "end", "quote"),
    [
        ("emotion,pixels,Usage", "\n", ""),
        ("emotion, Usage, pixels", "\n", ""),
        ("emotion, Usage, pixels", "\r\n", '"'),
        ("Usage,pixels,emotion", "\n", '"'),
        ("emotion,pixels,Usage", "\r\n", '"'),
        ("pixels, EMOTION ,usage", "\n", ""),
    ],
)
def test_columns_are_found_by_name(tmp_path: Path, columns: str, end: str, quote: str) -> None:
    check(load_dataset(write(tmp_path / "fer2013.csv", table(columns, end=end, quote=quote))))


def test_gz_and_zip_are_read_by_content(tmp_path: Path) -> None:
    (tmp_path / "fer2013.csv.gz").write_bytes(gzip.compress(table().encode(), 1))
    check(load_dataset(tmp_path / "fer2013.csv.gz"))
    (tmp_path / "misnamed.csv").write_bytes(gzip.compress(table().encode(), 1))
    check(load_dataset(tmp_path / "misnamed.csv"))
    with zipfile.ZipFile(tmp_path / "archive.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("readme.txt", "not this")
        archive.writestr("__MACOSX/._fer2013.csv", "nor this")
        archive.writestr("fer2013/fer2013.csv", table())
    check(load_dataset(tmp_path / "archive.zip"))


def test_no_line_end_at_the_end_blank_lines_and_extra_columns_are_fine(tmp_path: Path) -> None:
    check(load_dataset(write(tmp_path / "a.csv", table().rstrip("\n"))))
    lines = table().splitlines()
    extra = [lines[0] + ",source", *(f'{line},"by hand, twice"' for line in lines[1:])]
    check(load_dataset(write(tmp_path / "b.csv", "\n".join(extra))))
    dataset = load_dataset(
        write(tmp_path / "c.csv", "\n".join([*lines[:3], "", *lines[3:], "", ""]))
    )
    assert len(dataset) == COUNT and dataset.rows.tolist() == [2, 3, *range(5, COUNT + 3)]
    assert any("blank line" in note for note in dataset.notes)


def test_a_byte_order_mark_is_accepted_and_noted(tmp_path: Path) -> None:
    dataset = load_dataset(write(tmp_path / "fer2013.csv", "\ufeff" + table()))
    check(dataset)
    assert any("byte order mark" in note for note in dataset.notes)


def test_a_column_of_folds_is_no_split_and_noted(tmp_path: Path) -> None:
    first, *lines = table().splitlines()
    assert first.endswith(",Usage")
    rows = [first.replace("Usage", "fold"), *(f"{line.rpartition(',')[0]},1" for line in lines)]
    dataset = load_dataset(write(tmp_path / "faces.csv", "\n".join(rows)))
    assert dataset.counts().sum(axis=1).tolist() == [len(lines), 0, 0]
    assert any(note.startswith("In faces.csv, fold did not count") for note in dataset.notes)


@pytest.mark.parametrize("given", ["", "train.csv", "test.csv.gz"])
def test_the_competitions_pair_is_read_whole_from_either_file(tmp_path: Path, given: str) -> None:
    head = [
        "emotion,pixels",
        *(f'{e},"{p}"' for e, p in zip(EMOTIONS[:42], PIXELS[:42], strict=True)),
    ]
    write(tmp_path / "train.csv", "\n".join(head))
    (tmp_path / "test.csv.gz").write_bytes(
        gzip.compress("\n".join(["pixels", *PIXELS[42:]]).encode())
    )
    dataset = load_dataset(tmp_path / given)
    assert len(dataset) == COUNT
    np.testing.assert_array_equal(dataset.images, IMAGES)
    assert dataset.labels.tolist() == EMOTIONS[:42] + [UNLABELLED] * 28
    assert [SPLITS[split] for split in dataset.splits] == ["training"] * 42 + ["test"] * 28
    assert dataset.rows.tolist() == [*range(2, 44), *range(2, 30)]
    assert any("28 rows have no label" in note for note in dataset.notes)


def test_a_zip_with_the_pair_inside_is_read_whole(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "both.zip", "w") as archive:
        archive.writestr("test.csv", "\n".join(["pixels", *PIXELS[42:]]))
        training = [
            f"{emotion},{pixels}"
            for emotion, pixels in zip(EMOTIONS[:42], PIXELS[:42], strict=True)
        ]
        archive.writestr("train.csv", "\n".join(["emotion,pixels", *training]))
    dataset = load_dataset(tmp_path / "both.zip")
    assert np.bincount(dataset.splits, minlength=3).tolist() == [42, 0, 28]


def row(emotion: str = "3", pixels: str = PIXELS[0], usage: str = "Training") -> str:
    return f"{emotion},{pixels},{usage}"


def changed(value: str) -> str:
    return " ".join([*PIXELS[0].split()[:9], value, *PIXELS[0].split()[10:]])


BAD_ROWS = {
    "2303 pixels": (row(pixels=PIXELS[0].rsplit(" ", 1)[0]), "2,303 pixels", "2,304"),
    "2305 pixels": (row(pixels=PIXELS[0] + " 7"), "2,305 pixels", "2,304"),
    "no pixels": (row(pixels=""), "0 pixels", "2,304"),
    "256": (row(pixels=changed("256")), "'256' as pixel 10", "0 to 255"),
    "-1": (row(pixels=changed("-1")), "'-1' as pixel 10", "0 to 255"),
    "abc": (row(pixels=changed("abc")), "'abc' as pixel 10", "0 to 255"),
    "emotion 7": (row(emotion="7"), "the emotion '7'", "0 to 6"),
    "emotion wink": (row(emotion="wink"), "the emotion 'wink'", "0 to 6"),
    "emotion 3.5": (row(emotion="3.5"), "the emotion '3.5'", "0 to 6"),
    "emotion -1": (row(emotion="-1"), "the emotion '-1'", "0 to 6"),
    "pixels cut short": (row(pixels='"[70 80 ... 12]"'), "cut short by '...'", "2,304"),
    "Usage": (row(usage="Holdout"), "the Usage 'Holdout'", "Training or PublicTest or PrivateTest"),
    "too few fields": ("3," + PIXELS[0], "2 field(s)", "3 fields, as in the header"),
    "too many fields": (row() + ",x", "4 field(s)", "3 fields, as in the header"),
}


@pytest.mark.parametrize("case", BAD_ROWS)
@pytest.mark.parametrize("place", [0, 31, 50])
def test_a_bad_row_is_named_or_left_out(tmp_path: Path, case: str, place: int) -> None:
    bad, got, expected = BAD_ROWS[case]
    lines = table().splitlines()
    lines.insert(1 + place, bad)
    path = write(tmp_path / "fer2013.csv", "\n".join(lines) + "\n")
    with pytest.raises(DataError) as caught:
        load_dataset(path)
    error = caught.value
    assert (error.where, error.row) == (str(path), place + 2)
    assert got in error.got and expected in error.expected and "on_error='skip'" in error.fix

    dataset = load_dataset(path, on_error="skip")
    assert len(dataset) == COUNT
    np.testing.assert_array_equal(dataset.images, IMAGES)
    assert place + 2 not in dataset.rows
    assert len(dataset.left_out) == 1
    assert (dataset.left_out[0].where, dataset.left_out[0].row) == (str(path), place + 2)
    assert got in dataset.left_out[0].reason
    assert sum("could not be read and were left out" in note for note in dataset.notes) == 1


def test_the_first_of_several_bad_rows_is_named_and_all_are_listed(tmp_path: Path) -> None:
    lines = table().splitlines()
    lines[5] = BAD_ROWS["256"][0]
    lines[7] = BAD_ROWS["emotion 7"][0]  # seen before the pixels of line 6 are parsed
    lines[40] = BAD_ROWS["2305 pixels"][0]
    path = write(tmp_path / "fer2013.csv", "\n".join(lines))
    with pytest.raises(DataError) as caught:
        load_dataset(path)
    assert caught.value.row == 6
    dataset = load_dataset(path, on_error="skip")
    assert len(dataset) == COUNT - 3
    assert [item.row for item in dataset.left_out] == [6, 8, 41]
    np.testing.assert_array_equal(dataset.images, np.delete(IMAGES, [4, 6, 39], axis=0))
    np.testing.assert_array_equal(dataset.labels, np.delete(EMOTIONS, [4, 6, 39]))


@pytest.mark.parametrize("kept", ["3", "3,1 2 3", f"3,{PIXELS[0]}", f"3,{PIXELS[0]},Trai"])
def test_a_cut_off_last_line_is_an_error_or_left_out(tmp_path: Path, kept: str) -> None:
    path = write(tmp_path / "fer2013.csv", table() + kept)
    with pytest.raises(DataError, match="a cut-off last line") as caught:
        load_dataset(path)
    assert caught.value.row == COUNT + 2 and "download the file again" in caught.value.fix
    dataset = load_dataset(path, on_error="skip")
    assert len(dataset) == COUNT and [item.row for item in dataset.left_out] == [COUNT + 2]


def cut_gz(text: str) -> bytes:
    return gzip.compress(text.encode(), 1)[:-2000]


def zipped(*names: str) -> bytes:
    import io

    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return held.getvalue()


WHOLE: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty file": (lambda: b"", "an empty file"),
    "blank first line": (lambda: b"\n\n", "an empty first line"),
    "only a header": (lambda: b"emotion,pixels,Usage\n", "a header without rows"),
    "only a header, no line end": (lambda: b"emotion,pixels,Usage", "a header without rows"),
    "missing pixels": (lambda: b"emotion,Usage\n3,Training\n", "the columns 'emotion', 'Usage'"),
    "a column twice": (lambda: b"emotion,pixels,Usage,emotion\n", "the column 'emotion' twice"),
    "a long name": (lambda: b"a" * 200_000 + b"\n", "the columns 'aaaa"),
    "a carriage return": (lambda: b"emotion,pix\rels,Usage\n", "the columns 'emotion', 'pix els'"),
    "semicolons": (lambda: b"emotion;pixels;Usage\n", "a header without rows"),
    "a picture": (lambda: b"\x89PNG\r\n\x1a\n" + bytes(100), "bytes that are not text"),
    "no lines": (lambda: b"a" * 3_000_000, "no line end"),
    "a line without end": (
        lambda: b"emotion,pixels,Usage\n" + b"1 " * 6_000_000,
        "a line of more than a megabyte",
    ),
    "truncated gz": (lambda: cut_gz(table()), "a damaged or cut-off archive"),
    "broken zip": (lambda: zipped("fer2013.csv")[:40], "a damaged or cut-off archive"),
    "zip without data": (
        lambda: zipped("notes.txt", "read/me.md"),
        "an archive that holds notes.txt",
    ),
    "empty zip": (lambda: zipped(), "an archive that holds nothing"),
    "zip with two unknown csv": (
        lambda: zipped("a.csv", "b.csv"),
        "an archive that holds a.csv, b.csv",
    ),
}


@pytest.mark.parametrize("on_error", ["raise", "skip"])
@pytest.mark.parametrize("case", WHOLE)
def test_what_is_wrong_with_a_whole_file_always_raises(
    tmp_path: Path, case: str, on_error: str
) -> None:
    make, got = WHOLE[case]
    path = tmp_path / "fer2013.csv"
    path.write_bytes(make())
    with pytest.raises(DataError) as caught:
        load_dataset(path, on_error=on_error)
    assert got in caught.value.got
    assert caught.value.where.startswith(str(path)) and caught.value.expected and caught.value.fix


def test_rows_that_are_all_bad_raise_in_both_modes(tmp_path: Path) -> None:
    path = write(
        tmp_path / "fer2013.csv", f"emotion,pixels,Usage\n{row(emotion='-1')}\n{row(usage='x')}\n"
    )
    with pytest.raises(DataError, match="no readable row"):
        load_dataset(path, on_error="skip")


def test_a_directory_a_missing_path_and_a_wrong_mode(tmp_path: Path) -> None:
    (tmp_path / "fer2013.csv").mkdir()
    with pytest.raises(DataError, match="a folder with the name of a file"):
        load_dataset(tmp_path / "fer2013.csv")
    with pytest.raises(DataError, match="no such file or folder"):
        load_dataset(tmp_path / "nowhere.csv")
    with pytest.raises(UsageError, match="on_error"):
        load_dataset(tmp_path, on_error="ignore")
    with pytest.raises(DataError, match="a folder without a FER2013 csv"):
        load_dataset((tmp_path / "fer2013.csv").rename(tmp_path / "empty"))


def test_training_without_a_class_raises_and_skip_notes_it(tmp_path: Path) -> None:
    lines = [
        line
        for line in table().splitlines()
        if not (line.startswith("1,") and line.endswith("Training"))
    ]
    path = write(tmp_path / "fer2013.csv", "\n".join(lines))
    with pytest.raises(DataError, match="the training split has no picture of: disgust"):
        load_dataset(path)
    whole = load_dataset(write(tmp_path / "whole.csv", table()))
    others = int(whole.counts()[1:, 1].sum())
    assert others > 0
    dataset = load_dataset(path, on_error="skip")
    # What cannot be learned is left out of every split, and listed.
    assert dataset.label_set.names == tuple(name for name in whole.label_set if name != "disgust")
    assert len(dataset) == COUNT - 6 - others and len(dataset.left_out) == others
    assert {one.reason for one in dataset.left_out} == {
        "its class has no training picture: disgust"
    }
    assert "The training split has no picture of: disgust." in dataset.notes
    kept = whole.take(whole.labels != 1)
    assert [dataset.label_set[k] for k in dataset.labels] == [
        whole.label_set[k] for k in kept.labels
    ]
    np.testing.assert_array_equal(dataset.images, kept.images)
    lines = [
        line
        for line in table().splitlines()
        if not (line.startswith("1,") and line.endswith("PublicTest"))
    ]
    path = write(path, "\n".join(lines))
    with pytest.raises(DataError, match="the validation split has no picture of: disgust"):
        load_dataset(path)
    dataset = load_dataset(path, on_error="skip")
    assert "The validation split has no picture of: disgust." in dataset.notes
    assert dataset.label_set == whole.label_set and not dataset.left_out


def test_images_are_read_only(tmp_path: Path) -> None:
    path = write(tmp_path / "fer2013.csv", table())
    assert not load_dataset(path).images.flags.writeable


def test_reading_raises_no_warning_and_leaves_no_file_open(tmp_path: Path) -> None:
    path = write(tmp_path / "fer2013.csv", table())
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_dataset(path, cache=False)
        (tmp_path / "z.csv.gz").write_bytes(gzip.compress(table().encode(), 1))
        load_dataset(tmp_path / "z.csv.gz", cache=False)
    if before is not None:
        assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.shared
def test_the_shared_file_has_the_published_counts(shared_dir: Path) -> None:
    dataset = load_dataset(shared_dir / "data" / "fer2013.csv.gz", cache=False)
    assert len(dataset) == 32_298
    assert dataset.counts().tolist() == [
        [3995, 436, 4097, 7215, 4830, 3171, 4965],
        [467, 56, 496, 895, 653, 415, 607],
        [0] * 7,
    ]
    assert dataset.votes is not None and dataset.votes.shape == (32_298, 10)
    training = dataset.part("training")
    assert training.votes is not None
    own = training.votes[
        np.arange(28_709),
        np.array([FERPLUS_VOTES.index(name) for name in FER2013])[training.labels],
    ]
    assert (
        0.62 < np.mean((own > 0) & (own == training.votes.max(axis=1))) < 0.70
    )  # published: 64.5 %
    assert dataset.images[0, 0, :4, 0].tolist() == [70, 80, 82, 72]


def test_a_path_that_is_not_utf8_has_a_name_to_print(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"gr\xf6sse")
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system has names in UTF-8 only")
    path = write(folder / "fer2013.csv", table())
    dataset = load_dataset(path)
    check(dataset)
    assert dataset.source == f"{tmp_path}/gr\\udcf6sse/fer2013.csv"
    write(path, table() + "3,9 9,Training\n")
    dataset = load_dataset(path, on_error="skip")
    assert len(dataset) == COUNT and len(dataset.left_out) == 1
    for text in (dataset.left_out[0].where, *dataset.notes):
        text.encode()


def test_a_csv_of_validation_beside_that_of_training_is_read(tmp_path: Path) -> None:
    parts = {"train": slice(0, 42), "val": slice(42, 56), "test": slice(56, 70)}
    lines = {
        name: "\n".join(
            ["emotion,pixels", *(f"{e},{p}" for e, p in zip(EMOTIONS[k], PIXELS[k], strict=True))]
        )
        for name, k in parts.items()
    }
    (tmp_path / "data").mkdir()
    for name, text in lines.items():
        write(tmp_path / "data" / f"{name}.csv", text)
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for name, text in lines.items():
            archive.writestr(f"{name}.csv", text)
    for given in ("data", "data/train.csv", "data/val.csv", "all.zip"):
        dataset = load_dataset(tmp_path / given, on_error="skip")
        assert [len(dataset.part(split)) for split in SPLITS] == [42, 14, 14], given
        assert dataset.labels.tolist() == EMOTIONS
    notes = load_dataset(tmp_path / "data", on_error="skip").notes
    assert "train.csv, val.csv and test.csv were read together." in notes
