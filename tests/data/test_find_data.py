"""FER2013 is found where it usually lies, and nothing else is taken for it."""

from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from mien.data.readers import find_data, load_dataset
from mien.errors import DataError

PIXELS = " ".join(["9"] * 2304)


def table(columns: str = "emotion,pixels,Usage") -> str:
    values = {"emotion": "3", "pixels": PIXELS, "usage": "Training"}
    row = ",".join(values[name.strip().lower()] for name in columns.split(","))
    return f"{columns}\n{row}\n"


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_mien_data_comes_first_and_must_exist(tmp_path: Path) -> None:
    write(tmp_path / "fer2013.csv", table())
    mine = write(tmp_path / "mine.csv", table())
    assert find_data({"MIEN_DATA": str(mine)}, [tmp_path]) == mine
    with pytest.raises(DataError, match="does not exist") as caught:
        find_data({"MIEN_DATA": str(tmp_path / "gone")}, [tmp_path])
    assert caught.value.where == "$MIEN_DATA"


def test_roots_are_searched_in_order_and_in_depth(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    (first / "competitions" / "challenge").mkdir(parents=True)
    second.mkdir()
    assert find_data({}, [first, second, tmp_path / "gone"]) is None
    write(second / "fer2013.csv", table())
    assert find_data({}, [first, second]) == second / "fer2013.csv"
    found = write(
        first / "competitions" / "challenge" / "icml_face_data.csv", table("emotion, Usage, pixels")
    )
    assert find_data({}, [first, second]) == found


def test_only_what_is_recognisably_fer2013_is_found(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", "id,price\n1,2\n")
    write(tmp_path / "test.csv", "id\n1\n")
    for split in ("train", "test"):
        (tmp_path / "houses" / split / "detached").mkdir(parents=True)
        (tmp_path / "houses" / split / "terraced").mkdir()
    assert find_data({}, [tmp_path]) is None
    write(tmp_path / "train.csv", f"emotion,pixels\n3,{PIXELS}\n")
    assert find_data({}, [tmp_path]) == tmp_path / "train.csv"
    (tmp_path / "train.csv").unlink()
    for split in ("train", "test"):
        for label in ("Angry", "happiness"):
            (tmp_path / "faces" / split / label).mkdir(parents=True)
    assert find_data({}, [tmp_path]) is None  # reading would refuse it
    for label in (tmp_path / "faces").glob("*/*"):
        Image.new("L", (48, 48)).save(label / "1.png")
    assert find_data({}, [tmp_path]) == tmp_path / "faces"


def test_the_default_places_are_data_and_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mien.data.readers.KAGGLE_INPUT", tmp_path / "kaggle")
    monkeypatch.chdir(tmp_path)
    assert find_data({}) is None
    (tmp_path / "elsewhere").mkdir()
    write(tmp_path / "elsewhere" / "fer2013.csv", table())
    assert find_data({}) is None  # below the working directory nothing is searched but ./data
    here = write(tmp_path / "fer2013.csv", table())
    assert find_data({}) == here
    (tmp_path / "data").mkdir()
    below = write(tmp_path / "data" / "fer2013.csv", table())
    assert find_data({}) == below
    (tmp_path / "kaggle" / "input" / "fer2013").mkdir(parents=True)
    kaggle = write(tmp_path / "kaggle" / "input" / "fer2013" / "fer2013.csv", table())
    assert find_data({}) == kaggle
    assert load_dataset().source == str(kaggle)


def test_without_data_the_drawn_faces_are_read_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mien.data import synthetic

    monkeypatch.setattr(
        synthetic, "drawn_dataset", partial(synthetic.drawn_dataset, 35, 7, 7)
    )  # the real one, fewer faces
    monkeypatch.setattr("mien.data.readers.KAGGLE_INPUT", tmp_path / "kaggle")
    monkeypatch.chdir(tmp_path)
    dataset = load_dataset()
    assert len(dataset) == 49
    assert "embedded drawn faces, not photographs" in dataset.notes[-1]


def test_what_is_found_can_be_read(tmp_path: Path) -> None:
    """Kaggle's face-expression-recognition-dataset repeats itself in a folder of itself."""
    root = tmp_path / "face-expression-recognition-dataset" / "images"
    for above in (root, root / "images"):
        for split in ("train", "validation"):
            for label in ("angry", "happy"):
                (above / split / label).mkdir(parents=True)
                for name in "ab":
                    Image.new("L", (48, 48), 9).save(above / split / label / f"{name}.jpg")
    found = find_data({}, [tmp_path])
    assert found == root
    dataset = load_dataset(found)
    assert dataset.counts().sum(axis=1).tolist() == [4, 4, 0]
    assert any("images repeats 8 pictures" in note for note in dataset.notes)
    assert len(load_dataset(tmp_path)) == 8
