"""Collections of posed faces: labels and persons in the names of the files, and CK+'s numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from mien.data.readers import load_dataset
from mien.errors import DataError

JAFFE = {
    f"{person}.{code}{n}.{k}.tiff": (label, person)
    for k, (person, code, n, label) in enumerate(
        (person, code, n, label)
        for person in ("KA", "YM", "TM")
        for code, label in (("AN", "angry"), ("NE", "neutral"), ("SU", "surprise"))
        for n in (1, 2)
    )
}
KDEF = {
    f"{series}{person}/{series}{person}{code}{angle}.JPG": (label, person)
    for series in "AB"
    for person in ("F01", "M35")
    for code, label in (("AF", "fear"), ("DI", "disgust"), ("HA", "happy"))
    for angle in ("S", "HL")
}
RAFD = {
    f"Rafd{angle}_{person}_Caucasian_{sex}_{word}_{gaze}.jpg": (label, person)
    for angle in ("090", "135")
    for person, sex in (("01", "female"), ("57", "male"))
    for word, label in (("contemptuous", "contempt"), ("fearful", "fear"), ("sad", "sad"))
    for gaze in ("frontal", "left")
}
FACES = {
    f"{person}_{age}_{sex}_{code}_{series}.jpg": (label, person)
    for person, age, sex in (("004", "o", "m"), ("140", "y", "f"))
    for code, label in (("a", "angry"), ("n", "neutral"), ("s", "sad"))
    for series in "ab"
}
CK = {"S005/001": (3, "disgust"), "S010/002": (7, "surprise"), "S010/004": (1, "angry")}


def save(root: Path, name: str, gray: int = 90) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (48, 48), gray).save(root / name)


@pytest.mark.parametrize(
    ("kind", "names"), [("JAFFE", JAFFE), ("KDEF", KDEF), ("RaFD", RAFD), ("FACES", FACES)]
)
def test_names_give_labels_and_persons(
    kind: str, names: dict[str, tuple[str, str]], tmp_path: Path
) -> None:
    for n, name in enumerate(names):
        save(tmp_path, name, n)
    (tmp_path / "README").write_text("The seven expressions of ten women.\n")
    data = load_dataset(tmp_path, faces="whole")
    assert data.files is not None and data.groups is not None
    found = zip(data.files, data.labels, data.groups, strict=True)
    assert {name: (data.label_set[k], group) for name, k, group in found} == names
    assert any(f"which are those of {kind}." in note for note in data.notes)


CK_NAMES = {
    f"{person}_{number:03d}_{frame:08d}.png": (label, person)
    for person in ("S010", "S011", "S132")
    for number, label in enumerate(("angry", "happy"), 1)
    for frame in (15, 16, 17)
}


@pytest.mark.parametrize(
    ("kind", "names"),
    [("CK+", CK_NAMES), ("JAFFE", JAFFE), ("KDEF", KDEF), ("RaFD", RAFD), ("FACES", FACES)],
)
def test_names_give_persons_in_label_folders_too(
    kind: str, names: dict[str, tuple[str, str]], tmp_path: Path
) -> None:
    for n, (name, (label, _)) in enumerate(names.items()):
        save(tmp_path, f"{label}/{Path(name).name}", n)
    save(tmp_path, "angry/another.png", 200)
    save(tmp_path, "happy/another.png", 201)
    data = load_dataset(tmp_path, faces="whole")
    assert data.files is not None and data.groups is not None
    found = {Path(file).name: group for file, group in zip(data.files, data.groups, strict=True)}
    persons = {Path(name).name: person for name, (_, person) in names.items()}
    assert found == {**persons, "another.png": ""}
    assert any(f"are those of {kind}: they name" in note for note in data.notes)


def test_labels_that_a_table_gives_leave_the_persons_in_the_names(tmp_path: Path) -> None:
    for n, name in enumerate(CK_NAMES):
        save(tmp_path, f"pictures/{name}", n)
    rows = (f"{name},{label}" for name, (label, _) in CK_NAMES.items())
    (tmp_path / "labels.csv").write_text("\n".join(["file,label", *rows]))
    data = load_dataset(tmp_path, faces="whole")
    assert data.groups is not None
    assert set(data.groups) == {"S010", "S011", "S132"}


def make_ck(root: Path) -> Path:
    for sequence, (number, _) in CK.items():
        stem = sequence.replace("/", "_")
        for frame in (1, 2, 3):
            save(root, f"cohn-kanade-images/{sequence}/{stem}_{frame:08d}.png", 10 * frame)
        file = root / "Emotion" / sequence / f"{stem}_00000003_emotion.txt"
        file.parent.mkdir(parents=True)
        file.write_text(f"   {number}.0000000e+00\n")
    save(root, "cohn-kanade-images/S011/001/S011_001_00000001.png")  # without an expression
    return root


def test_of_ck_the_last_picture_of_a_sequence_is_read(tmp_path: Path) -> None:
    data = load_dataset(make_ck(tmp_path), faces="whole")
    assert sorted(data.label_set[k] for k in data.labels) == sorted(
        label for _, label in CK.values()
    )
    assert data.groups is not None and sorted(data.groups) == ["S005", "S010", "S010"]
    assert set(data.images[:, 0, 0, 0]) == {30}
    assert any("7 pictures without such a file" in note for note in data.notes)


def test_of_ck_unlabelled_sequences_and_files_without_a_picture_are_told(tmp_path: Path) -> None:
    root = make_ck(tmp_path)
    (root / "cohn-kanade-images/S010/002/S010_002_00000003.png").unlink()
    data = load_dataset(root, faces="whole")
    assert len(data.labels) == 2
    told = [note for note in data.notes if "no picture of their name" in note]
    assert told == [
        "1 files _emotion.txt have no picture of their name. "
        "The first: Emotion/S010/002/S010_002_00000003_emotion.txt."
    ]
    assert any("and not of each." in note for note in data.notes)


def test_of_ck_folders_may_give_the_split(tmp_path: Path) -> None:
    people = {"S005": "train", "S006": "train", "S010": "test", "S011": "test"}
    for k, (person, split) in enumerate(people.items()):
        stem = f"{split}/{person}/{person}_001_00000003"
        save(tmp_path, f"{stem}.png", k)
        (tmp_path / f"{stem}_emotion.txt").write_text(f"{(1, 7)[k % 2]}.0")
    data = load_dataset(tmp_path, faces="whole")
    assert data.groups is not None
    for split, persons in (("training", {"S005", "S006"}), ("test", {"S010", "S011"})):
        assert set(data.groups[data.mask(split)]) == persons


def test_a_person_is_the_same_in_upper_and_lower_case(tmp_path: Path) -> None:
    for k, name in enumerate(JAFFE):
        save(tmp_path / "jaffe", name if k % 2 else name.lower())
    root = make_ck(tmp_path / "ck")
    last = root / "cohn-kanade-images/S010/002/S010_002_00000003.png"
    last.rename(last.with_name(last.name.lower()))
    for kind, persons in (("jaffe", {"KA", "YM", "TM"}), ("ck", {"S005", "S010"})):
        data = load_dataset(tmp_path / kind, faces="whole")
        assert data.groups is not None and set(data.groups) == persons


@pytest.mark.parametrize("text", ["", "8", "3.5", "happy", "\u00e9"])
def test_a_file_without_the_number_of_an_expression_is_named(tmp_path: Path, text: str) -> None:
    file = make_ck(tmp_path) / "Emotion/S005/001/S005_001_00000003_emotion.txt"
    file.write_text(text)
    with pytest.raises(DataError, match=r"_emotion.txt: got .*expected the number .* 0 to 7. Fix"):
        load_dataset(tmp_path, faces="whole")
    data = load_dataset(tmp_path, faces="whole", on_error="skip")
    assert len(data.labels) == 2 and len(data.left_out) == 1


def test_other_names_among_them_are_named_and_left_out_on_request(tmp_path: Path) -> None:
    for name in (*KDEF, "AF31/AF31V.JPG"):
        save(tmp_path, name)
    with pytest.raises(
        DataError, match=r"AF31V.JPG: got a picture whose name gives .*those of KDEF"
    ):
        load_dataset(tmp_path, faces="whole")
    data = load_dataset(tmp_path, faces="whole", on_error="skip")
    assert len(data.labels) == len(KDEF) and len(data.left_out) == 1


def test_a_table_or_folders_of_labels_come_first(tmp_path: Path) -> None:
    rows = ["file,label"]
    for name in RAFD:
        save(tmp_path / "tables", name)
        save(tmp_path / "folders" / ("calm" if "_sad_" in name else "happy"), name)
        rows.append(f"{name},{'sad' if '_sad_' in name else 'happy'}")
    (tmp_path / "tables" / "labels.csv").write_text("\n".join(rows))
    for kind, labels in (("tables", {"sad", "happy"}), ("folders", {"calm", "happy"})):
        data = load_dataset(tmp_path / kind, faces="whole")
        assert {data.label_set[k] for k in data.labels} == labels
