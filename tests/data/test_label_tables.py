"""Pictures whose labels stand beside them; RAF-DB and AffectNet as their authors pack them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.data.label_names import PRESETS, rename_labels
from mien.data.readers import load_dataset
from mien.errors import DataError
from mien.labels import FER2013, FERPLUS


def save(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (48, 48), value).save(path)


# Picture n of each kind shows label n % 7 (8 for AffectNet), and its gray is n.


def plain(root: Path) -> None:
    lines = ["image,emotion"]
    for n in range(14):
        save(root / "images" / f"{n:04d}.jpg", n)
        lines.append(f"{n:04d}.jpg,{FER2013[n % 7].upper()}")
    (root / "legend.csv").write_text("\n".join(lines))


def two_tables(root: Path) -> None:
    for split in ("train", "test"):
        lines = ["\ufeffpth;label;subject"]
        for n in range(14):
            value = n if split == "train" else 13 - n  # one name, another label in each split
            save(root / split / f"{n}.png", value)
            lines.append(f"{n}.png;{FER2013[value % 7]};s{n % 3}")
        (root / f"{split}_labels.csv").write_text("\r\n".join(lines), encoding="utf-8")


def flat(root: Path) -> None:
    lines = ["split\tfile\tclass"]
    for n in range(14):
        save(root / f"{n}.png", n)
        lines.append(f"{'val' if n > 6 else 'train'}\tC:\\data\\faces\\{n}.png\t{FER2013[n % 7]}")
    (root / "index.tsv").write_text("\n".join(lines).replace("C:\\data\\faces\\", ""))


def windows_paths(root: Path) -> None:
    flat(root)
    lines = ["split\tfile\tclass"]
    for n in range(14):
        kind = "val" if n > 6 else "train"
        lines.append(f"{kind}\tC:\\Users\\me\\faces\\{n}.png\t{FER2013[n % 7]}")
    (root / "index.tsv").write_text("\n".join(lines))


def json_lines(root: Path) -> None:
    lines = []
    for n in range(14):
        save(root / "train" / f"{n}.png", n)
        lines.append(json.dumps({"file_name": f"{n}.png", "label": FER2013[n % 7]}))
    (root / "train" / "metadata.jsonl").write_text("\n".join(lines))


def foreign_columns(root: Path) -> None:
    lines = ["Bild;Ausdruck"]
    for n in range(14):
        save(root / "bilder" / f"{n}.png", n)
        lines.append(f"{n}.png;{FER2013[n % 7]}")
    root.joinpath("liste.csv").write_text("\r\n".join(lines), encoding="utf-16")


def ids(root: Path) -> None:
    lines = ["id,emotion"]
    for n in range(14):
        save(root / "images" / f"{n:04d}.png", n)
        lines.append(f"{n:04d},{FER2013[n % 7]}")
    (root / "labels.csv").write_text("\n".join(lines))


KINDS: dict[str, tuple[Callable[[Path], None], list[int]]] = {
    "plain": (plain, [14, 0, 0]),
    "two tables": (two_tables, [14, 0, 14]),
    "beside the pictures": (flat, [7, 7, 0]),
    "paths of another machine": (windows_paths, [7, 7, 0]),
    "lines of JSON": (json_lines, [14, 0, 0]),
    "foreign columns": (foreign_columns, [14, 0, 0]),
    "names without endings": (ids, [14, 0, 0]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_tables(tmp_path: Path, kind: str) -> None:
    make, counts = KINDS[kind]
    make(tmp_path / "data")
    dataset = load_dataset(tmp_path / "data")
    assert dataset.label_set == FER2013
    assert dataset.counts().sum(axis=1).tolist() == counts
    gray = dataset.images[:, 0, 0, 0].astype(int)
    assert dataset.labels.tolist() == (gray % 7).tolist()
    assert any("pictures were read from" in note for note in dataset.notes)
    if kind == "two tables":
        assert dataset.groups is not None and set(dataset.groups) == {"s0", "s1", "s2"}


def test_rafdb_as_its_authors_pack_it(tmp_path: Path) -> None:
    root = tmp_path / "basic"
    lines = []
    for split in ("train", "test"):
        for n in range(14):
            save(root / "Image" / "aligned" / f"{split}_{n:05d}_aligned.jpg", n)
            lines.append(f"{split}_{n:05d}.jpg {n % 7 + 1}")
    (root / "EmoLabel").mkdir()
    (root / "EmoLabel" / "list_patition_label.txt").write_text("\n".join(lines) + "\n")
    dataset = rename_labels(load_dataset(root), "rafdb")
    assert dataset.label_set == FER2013
    assert dataset.counts().sum(axis=1).tolist() == [14, 0, 14]
    names = PRESETS["rafdb"]
    for image, label in zip(dataset.images, dataset.labels, strict=True):
        assert dataset.label_set[label] == names[str(image[0, 0, 0] % 7 + 1)]


def test_affectnet_as_its_authors_pack_it(tmp_path: Path) -> None:
    for split in ("train_set", "val_set"):
        for n in range(16):
            save(tmp_path / "a" / split / "images" / f"{n}.jpg", n)
            notes = tmp_path / "a" / split / "annotations"
            notes.mkdir(exist_ok=True)
            np.save(notes / f"{n}_exp.npy", np.array(str(n % 8)))
            np.save(notes / f"{n}_val.npy", np.array("0.3"))
    dataset = rename_labels(load_dataset(tmp_path / "a"), "affectnet")
    assert dataset.label_set == FERPLUS
    assert dataset.counts().sum(axis=1).tolist() == [16, 16, 0]
    names = PRESETS["affectnet"]
    for image, label in zip(dataset.images, dataset.labels, strict=True):
        assert dataset.label_set[label] == names[str(image[0, 0, 0] % 8)]


def test_a_long_text_beside_the_pictures_is_no_table(tmp_path: Path) -> None:
    plain(tmp_path)
    (tmp_path / "notes.txt").write_text("long " + "x" * 200_000)
    assert len(load_dataset(tmp_path)) == 14


def test_a_picture_without_a_label(tmp_path: Path) -> None:
    plain(tmp_path)
    save(tmp_path / "images" / "new.jpg", 3)
    with pytest.raises(DataError, match=r"legend\.csv does not list"):
        load_dataset(tmp_path)
    dataset = load_dataset(tmp_path, on_error="skip")
    assert len(dataset) == 14 and len(dataset.left_out) == 1


def test_a_table_that_changes_is_read_again(tmp_path: Path) -> None:
    ids(tmp_path)
    assert load_dataset(tmp_path).labels.tolist() == [n % 7 for n in range(14)]
    path = tmp_path / "labels.csv"
    path.write_text(path.read_text().replace("angry", "neutral"))
    assert load_dataset(tmp_path).labels.tolist() == [n % 7 or 6 for n in range(14)]


def test_a_table_without_a_column_that_is_known_is_named(tmp_path: Path) -> None:
    ids(tmp_path)
    (tmp_path / "labels.csv").write_text("photo,mood,age\n0000.png,glad,3\n0001.png,sad,4\n")
    with pytest.raises(
        DataError, match=r"labels\.csv names pictures .* photo, mood, age"
    ) as caught:
        load_dataset(tmp_path)
    assert caught.value.fix.startswith("call the column of labels 'label'")


def test_a_table_of_persons_beside_folders_of_labels(tmp_path: Path) -> None:
    lines = ["file,subject"]
    for n in range(21):
        save(tmp_path / "data" / "faces" / FER2013[n % 7] / f"{n}.png", n)
        lines.append(f"{FER2013[n % 7]}/{n}.png,s{n % 5}")
    (tmp_path / "data" / "people.csv").write_text("\n".join(lines))
    dataset = load_dataset(tmp_path / "data")
    gray = dataset.images[:, 0, 0, 0].astype(int)
    assert dataset.groups is not None
    assert dataset.groups.tolist() == [f"s{n % 5}" for n in gray]
    assert any("5 groups were read from people.csv" in note for note in dataset.notes)
    assert not any("not read" in note for note in dataset.notes)
    (tmp_path / "data" / "readme.txt").write_text("about")
    assert "1 file(s) beside the label folders were not read." in load_dataset(tmp_path).notes


def test_a_table_of_persons_comes_before_folders_of_videos(tmp_path: Path) -> None:
    rows = []
    for n in range(24):
        file = f"{('happy', 'sad')[n % 2]}/video{n % 6}/{n}.png"
        save(tmp_path / file, n)
        rows.append(f"{file},person {n % 3}")
    table = tmp_path / "persons.csv"
    table.write_text("\n".join(["file,person", *rows]))
    dataset = load_dataset(tmp_path)
    gray = dataset.images[:, 0, 0, 0].astype(int)
    assert dataset.groups is not None
    assert dataset.groups.tolist() == [f"person {n % 3}" for n in gray]
    assert not any("Folders above or below" in note for note in dataset.notes)
    table.write_text("\n".join(["file,person", *rows[:20]]))
    dataset = load_dataset(tmp_path)
    assert dataset.groups is not None
    assert dataset.groups.tolist() == [
        f"person {n % 3}" if n < 20 else f"video{n % 6}" for n in gray
    ]


def test_folders_of_persons_stay_if_a_table_names_their_clips(tmp_path: Path) -> None:
    lines = ["file,clip"]
    for n in range(24):
        path = tmp_path / ("happy", "sad")[n % 2] / f"person{n % 3}" / f"{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (48, 48), 5 * n).save(path)
        lines.append(f"{path.relative_to(tmp_path).as_posix()},clip{n % 6}")
    (tmp_path / "clips.csv").write_text("\n".join(lines))
    groups = load_dataset(tmp_path).groups
    assert groups is not None and set(groups) == {"person0", "person1", "person2"}


def test_folders_that_name_labels_come_first(tmp_path: Path) -> None:
    for n, label in enumerate(FER2013):
        save(tmp_path / label / "1.png", n)
        save(tmp_path / label / "2.png", n)
    (tmp_path / "labels.csv").write_text("file,label\n1.png,sad\n2.png,sad\n")
    dataset = load_dataset(tmp_path)
    assert dataset.labels.tolist() == dataset.images[:, 0, 0, 0].tolist()


def test_originals_beside_aligned_faces_stay_in_one_split(tmp_path: Path) -> None:
    rows = []
    for n in range(40):
        save(tmp_path / "Image" / "aligned" / f"train_{n:05d}_aligned.jpg", n)
        save(tmp_path / "Image" / "original" / f"train_{n:05d}.jpg", 100 + n)
        rows.append(f"train_{n:05d}.jpg {1 + n % 2}")
    (tmp_path / "list_patition_label.txt").write_text("\n".join(rows) + "\n")
    dataset = load_dataset(tmp_path)
    assert len(dataset) == 80
    assert any("80 pictures have 40 rows: " in note for note in dataset.notes)
    split = dataset.with_validation()
    assert dataset.files is not None
    numbers = np.array([file.rsplit("/")[-1][6:11] for file in dataset.files])
    sides = [set(numbers[split.mask(name)]) for name in ("training", "validation")]
    assert len(sides[1]) >= 2 and not sides[0] & sides[1]


def test_a_split_without_a_name_in_use_is_not_training(tmp_path: Path) -> None:
    flat(tmp_path)
    path = tmp_path / "index.tsv"
    text = path.read_text()
    for odd in ("holdout", ""):
        path.write_text(text.replace("val\t", f"{odd}\t"))
        with pytest.raises(DataError, match=f"the split '{odd}' in index.tsv; expected train"):
            load_dataset(tmp_path)
        dataset = load_dataset(tmp_path, on_error="skip")
        assert dataset.counts().sum(axis=1).tolist() == [7, 0, 0] and len(dataset.left_out) == 7
    path.write_text(text.replace("val\t", "A\t").replace("train\t", "B\t"))
    dataset = load_dataset(tmp_path)
    assert dataset.counts().sum(axis=1).tolist() == [14, 0, 0]
    assert any("column split of index.tsv names no splits" in note for note in dataset.notes)
    path.write_text(path.read_text().replace("split", "fold", 1))
    notes = load_dataset(tmp_path).notes
    assert any(note.startswith("In index.tsv, fold did not count") for note in notes)


def test_a_name_of_a_person_is_no_split(tmp_path: Path) -> None:
    names = [f"{who}_{n:04d}.jpg" for who in ("Val_Kilmer", "Ann_Lee") for n in range(2)]
    for n, name in enumerate(names):
        save(tmp_path / name, n)
    rows = [f"{name},{('happy', 'sad')[n % 2]}" for n, name in enumerate(names)]
    (tmp_path / "labels.csv").write_text("\n".join(["file,label", *rows]))
    dataset = load_dataset(tmp_path)
    assert len(dataset) == 4 and dataset.mask("training").all()


def test_rows_without_a_label_are_named_as_such(tmp_path: Path) -> None:
    flat(tmp_path)
    path = tmp_path / "index.tsv"
    text = path.read_text()
    path.write_text(text.replace("\tangry", "\t"))
    with pytest.raises(DataError, match=r"0\.png: got a picture without a label in index\.tsv"):
        load_dataset(tmp_path)
    path.write_text(f"{text}\ntrain\t0.png\thappy")
    with pytest.raises(DataError, match=r"several labels in index\.tsv: angry, happy"):
        load_dataset(tmp_path)
    lines = [
        line.rpartition("\t")[0] + "\t" if "val" in line else line for line in text.split("\n")
    ]
    path.write_text("\n".join(lines).replace("val", "test"))
    dataset = load_dataset(tmp_path)  # a test split without labels, as of a competition
    assert dataset.counts().sum(axis=1).tolist() == [7, 0, 0] and not dataset.left_out
    assert any("7 pictures of the test split have no labels" in note for note in dataset.notes)


def test_expw_as_its_authors_pack_it(tmp_path: Path) -> None:
    rows = []
    for n in range(14):
        save(tmp_path / "origin" / f"actor_{n}.jpg", n)
        rows.append(f"actor_{n}.jpg 0 0 0 9 9 60.2 {(n + 1) % 7}")
        rows.append(f"actor_{n}.jpg 1 2 2 40 40 50.1 {n % 7}")
    (tmp_path / "label.lst").write_text("\n".join(rows) + "\n")
    dataset = rename_labels(load_dataset(tmp_path), "expw")
    assert len(dataset) == 14 and dataset.label_set == FER2013
    assert dataset.labels.tolist() == (dataset.images[:, 0, 0, 0] % 7).tolist()
    (tmp_path / "label.lst").unlink()
    (tmp_path / "faces.txt").write_text("\n".join(f"{row} 7" for row in rows))
    with pytest.raises(DataError, match="beside 8 columns without names.*its first line"):
        load_dataset(tmp_path)


def test_a_table_may_list_a_few_of_many_pictures(tmp_path: Path) -> None:
    lines = ["file,label,person"]
    for n in range(35):
        for frame in range(1, 4):
            save(tmp_path / "images" / f"S{n % 5:03d}" / "001" / f"{n}_{frame}.png", n)
        lines.append(f"{n}_3.png,{FER2013[n % 7]},S{n % 5:03d}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"0_1\.png: got a picture that labels\.csv does not list"):
        load_dataset(tmp_path)
    dataset = load_dataset(tmp_path, on_error="skip")
    assert dataset.labels.tolist() == (dataset.images[:, 0, 0, 0] % 7).tolist()
    assert len(dataset) == 35 and len(dataset.left_out) == 70
    assert dataset.groups is not None and len(set(dataset.groups)) == 5


def test_a_table_of_other_names_is_named(tmp_path: Path) -> None:
    ids(tmp_path)
    path = tmp_path / "labels.csv"
    path.write_text(path.read_text().replace("\n0", "\nphoto-0"))
    with pytest.raises(DataError, match=r"labels\.csv labels 0 of 14 pictures.*'photo-0000'"):
        load_dataset(tmp_path)
    for n in range(14):
        (tmp_path / "images" / str(n % 2)).mkdir(exist_ok=True)
        (tmp_path / "images" / f"{n:04d}.png").rename(tmp_path / f"images/{n % 2}/{n}.png")
    notes = load_dataset(tmp_path).notes
    assert "A table was not used: labels.csv labels 0 of 14 pictures here." in notes
