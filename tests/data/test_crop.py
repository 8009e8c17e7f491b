"""Photographs as data: faces are cut as recognition cuts them, and what was odd is told."""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien import pipeline
from mien.data import crop
from mien.data.audit import audit
from mien.data.crop_folder import place_of, write_crop_sheets, write_crops
from mien.data.readers import load_dataset
from mien.data.source import Source
from mien.data.synthetic import drawn_dataset
from mien.errors import DataError, DownloadError, UsageError
from mien.evaluation.predictions import of_bundle
from mien.recognizer import Recognizer
from mien.vision import detect
from mien.vision.detections import Detections
from mien.vision.image import load_image
from tests.toy_bundle import write_toy

LABELS = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
FACES = drawn_dataset(7, 7, 7, seed=3).images


class FindsFrames:
    """A detector of the drawn photographs below: each face is framed in pure red."""

    name, geometry, note = "frames", "yunet", ""

    def detect(self, image: np.ndarray) -> Detections:
        red = (image[:, :, 0] == 255) & (image[:, :, 1] == 0)
        boxes = []
        for value in sorted(set(image[:, :, 2][red].tolist())):
            y, x = np.nonzero(red & (image[:, :, 2] == value))
            boxes.append([x.min(), y.min(), x.max() + 1, y.max() + 1])
        found = np.array(boxes, np.float32).reshape(-1, 4)
        return Detections(found, np.full(len(found), 0.9, np.float32), None, "yunet")


@pytest.fixture(autouse=True)
def _detector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detect, "find_detector", lambda *a, **k: FindsFrames())


def photo(path: Path, *sides: int, size: tuple[int, int] = (320, 240)) -> Path:
    """A gray picture with a framed face of each side, left to right."""
    canvas = np.full((size[1], size[0], 3), 90, np.uint8)
    left = 4
    for number, side in enumerate(sides):
        face = np.asarray(Image.fromarray(FACES[number, :, :, 0]).resize((side, side)))
        canvas[6 : 6 + side, left : left + side] = face[:, :, None]
        canvas[6 : 6 + side, [left, left + side - 1]] = (255, 0, number)
        canvas[[6, 5 + side], left : left + side] = (255, 0, number)
        left += side + 4
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(canvas).save(path)
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two photographs a label; one has two faces, one none."""
    for label in LABELS:
        photo(tmp_path / "photos" / label / "one.png", 100)
        photo(tmp_path / "photos" / label / "two.png", 120)
    photo(tmp_path / "photos" / "happy" / "group.png", 60, 140)
    photo(tmp_path / "photos" / "sad" / "empty.png")
    return tmp_path / "photos"


def test_faces_are_what_recognition_cuts(photos: Path, tmp_path: Path) -> None:
    dataset = load_dataset(photos)
    assert len(dataset) == 15 and dataset.files is not None
    recognizer = Recognizer(write_toy(tmp_path / "toy"), FindsFrames())
    for row, file in enumerate(dataset.files):
        image = load_image(photos / file)
        crops = recognizer._detect(image).crops
        sizes = [box[2] - box[0] for box in FindsFrames().detect(image).boxes]
        assert np.array_equal(dataset.images[row], crops[int(np.argmax(sizes))])


def test_predict_answers_what_evaluate_judges(photos: Path, tmp_path: Path) -> None:
    dataset = load_dataset(photos)
    bundle = write_toy(tmp_path / "toy")
    judged = of_bundle(dataset, bundle, "toy", print)[" --fast"].probabilities["training"]
    assert dataset.files is not None and len(judged) == 15
    recognizer = Recognizer(bundle, FindsFrames())
    for row, file in enumerate(dataset.files):
        faces = recognizer.faces(photos / file)
        largest = max(faces, key=lambda face: face.box[2] - face.box[0])
        assert np.allclose(largest.probabilities, judged[row], atol=1e-4)


def test_what_was_odd_is_told_and_kept(photos: Path) -> None:
    first, again = load_dataset(photos), load_dataset(photos)
    for dataset in (first, again):
        assert [(one.where, one.reason) for one in dataset.left_out] == [
            ("sad/empty.png", "no face found")
        ]
        assert dataset.cropped is not None
        assert (dataset.cropped.num_none, dataset.cropped.num_several) == (1, 1)
        assert [one[:2] for one in dataset.cropped.examples] == [
            ("sad/empty.png", "no face found"),
            ("happy/group.png", "several faces"),
        ]
        assert any("15 faces were cut out of 16 pictures" in note for note in dataset.notes)
        assert any("in 94% of a sample of 16 pictures" in note for note in dataset.notes)
    assert np.array_equal(first.images, again.images)


def test_side(photos: Path) -> None:
    dataset = load_dataset(photos, side=96)
    assert dataset.images.shape == (15, 96, 96, 1) and dataset.side == 96
    small = dataset.resized(48)
    assert small.images.shape == (15, 48, 48, 1)
    assert np.abs(small.images.astype(int) - load_dataset(photos).images).mean() < 6


def test_other_sides_can_be_audited_and_judged(photos: Path) -> None:
    assert audit(load_dataset(photos, side=96)).table()
    said: list[str] = []
    read = pipeline.read(Source(photos, side=96), say=said.append, to_train=False)
    assert np.array_equal(read.images, load_dataset(photos).images)
    assert "--side 96: networks take 48 px" in said[0]


def test_whole_takes_pictures_as_they_are(photos: Path) -> None:
    dataset = load_dataset(photos, faces="whole")
    assert len(dataset) == 16 and dataset.cropped is None and dataset.left_out == ()
    assert any("taken whole" in note for note in dataset.notes)


def test_auto_leaves_small_pictures_alone(tmp_path: Path) -> None:
    for label in LABELS:
        for name in "ab":
            photo(tmp_path / "small" / label / f"{name}.png", 40, size=(48, 48))
    dataset = load_dataset(tmp_path / "small")
    assert len(dataset) == 14 and dataset.cropped is None


def test_auto_takes_drawings_whole_where_no_face_is_found(tmp_path: Path) -> None:
    for label in LABELS:
        for name in "ab":
            photo(tmp_path / "drawings" / label / f"{name}.png")
    dataset = load_dataset(tmp_path / "drawings")
    assert len(dataset) == 14 and dataset.cropped is None
    assert any("in 0% of a sample of 14 pictures" in note for note in dataset.notes)
    assert any("--faces detect" in note for note in dataset.notes)


def test_auto_without_a_detector_says_so(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*a: object, **k: object) -> None:
        raise DownloadError("no weights")

    monkeypatch.setattr(detect, "find_detector", fail)
    dataset = load_dataset(photos)
    assert len(dataset) == 16
    assert any("there is no detector" in note for note in dataset.notes)
    with pytest.raises(DownloadError, match="no weights"):
        load_dataset(photos, faces="detect")
    with pytest.raises(UsageError, match="expected one of auto, detect, whole"):
        load_dataset(photos, faces="some")


def test_written_faces_are_read_whole_and_equal(photos: Path, tmp_path: Path) -> None:
    dataset = load_dataset(photos, side=96)
    out = write_crops(dataset, tmp_path / "faces")
    again = load_dataset(out, side=96)
    assert again.cropped is None and np.array_equal(again.images, dataset.images)
    assert any("mien data crop" in note for note in again.notes)
    with open(out / "faces.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 15
    assert rows[0] == {
        "file": "angry/one.png",
        "source": "angry/one.png",
        "label": "angry",
        "split": "training",
        "group": "",
        "side_px": "110",
    }
    with pytest.raises(UsageError, match="already exists"):
        write_crops(dataset, out)


def test_names_that_become_one_are_parted(photos: Path, tmp_path: Path) -> None:
    photo(photos / "angry" / "one.bmp", 90)
    dataset = load_dataset(photos)
    out = write_crops(dataset, tmp_path / "faces")
    assert len(load_dataset(out)) == 16
    assert (out / "angry" / "one-2.png").exists()


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ("/tmp/x/orig.png", "tmp/x/orig.png"),
        ("../../escaped.jpg", "escaped.png"),
        ("a/./../b.JPG", "a/b.png"),
        ("C:\\data\\..\\one.png", "data/one.png"),
        ("\\\\host\\share\\one.png", "host/share/one.png"),
        ("/root/.cache/one.png", "root/cache/one.png"),
        ("train-00000-of-00001.parquet:7", "train-00000-of-00001.parquet-7.png"),
        ("Dr. No", "Dr. No.png"),
        ("..", "face.png"),
        ("a\0b.png", "a-b.png"),
    ],
)
def test_no_name_leads_out_of_the_folder(source: str, place: str) -> None:
    assert str(place_of(source)) == place


def test_pictures_that_a_table_names_stay_as_they_are(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    arrow = pytest.importorskip("pyarrow")
    original = photo(tmp_path / "mine" / "orig.png", 100)
    names = [str(original), "../../escaped.png", None, None]
    rows = [{"bytes": original.read_bytes(), "path": name} for name in names]
    held = arrow.table({"image": rows, "label": ["happy", "sad", "happy", "sad"]})
    before = original.read_bytes()
    parquet.write_table(held, tmp_path / "rows.parquet")
    dataset = load_dataset(tmp_path / "rows.parquet", faces="detect")
    out = write_crops(dataset, tmp_path / "deep" / "er" / "faces")
    assert original.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"mine", "rows.parquet", "deep"}
    assert len(list(out.rglob("*.png"))) == 4
    again = load_dataset(out)
    assert np.bincount(again.labels, minlength=7).tolist() == [0, 0, 0, 2, 2, 0, 0]


def test_one_name_for_many_faces(photos: Path, tmp_path: Path) -> None:
    row = load_dataset(photos).take(np.zeros(300, np.int64))
    out = write_crops(row, tmp_path / "faces")
    assert (out / "angry" / "one-300.png").exists()


def test_renamed_labels_are_read_back(photos: Path, tmp_path: Path) -> None:
    (photos / "surprise" / "one.png").rename(photos / "surprise" / "three.png")
    (photos / "persons.csv").write_text(
        "file,person\n"
        + "".join(f"{n}/{one}.png,{one}\n" for n in LABELS for one in ("one", "two"))
    )
    source = Source(photos, labels="surprise=fear", faces="detect")
    dataset = source.load()
    again = load_dataset(write_crops(dataset, tmp_path / "faces"))
    assert again.counts().tolist() == dataset.counts().tolist()
    assert dataset.groups is not None and again.groups is not None
    assert sorted(again.groups) == sorted(dataset.groups)


def test_sheets(photos: Path, tmp_path: Path) -> None:
    paths = write_crop_sheets(load_dataset(photos), tmp_path / "sheets")
    assert [path.name for path in paths] == ["faces.png", "no-face.png", "several-faces.png"]
    for path in paths:
        with Image.open(path) as sheet:
            assert min(sheet.size) > 90


def test_photographs_without_any_face_name_the_way_out(tmp_path: Path) -> None:
    for label in ("happy", "sad"):
        (tmp_path / label).mkdir()
        Image.new("RGB", (320, 240), (90, 90, 90)).save(tmp_path / label / "1.png")
    with pytest.raises(DataError, match="no face in any of 2 pictures.*--faces whole"):
        load_dataset(tmp_path, faces="detect")
    assert len(load_dataset(tmp_path, faces="whole")) == 2


def test_thumbnails_are_whole_pictures() -> None:
    small = crop.thumbnail(np.full((30, 60, 3), 200, np.uint8), None)
    assert small.shape == (96, 96, 1)
    assert (small[:, :, 0] == 200).sum() == 48 * 96


def test_an_archive_is_read_as_the_folder_is(photos: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.writestr("notes.csv", "file,person\n")
        for path in sorted(photos.rglob("*.png")):
            archive.write(path, Path("photos") / path.relative_to(photos))
    dataset, packed = load_dataset(photos), load_dataset(tmp_path / "photos.zip")
    assert np.array_equal(dataset.images, packed.images)
    assert packed.files is not None and dataset.files is not None
    assert packed.files.tolist() == dataset.files.tolist()
