"""From a picture to faces, with a tiny network and detectors whose answers are known."""

from __future__ import annotations

import io
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from toy_bundle import answers, write_toy

import mien
from mien.bundle import open_bundle
from mien.bundle.answer import softmax
from mien.constants import FACE_SIDE
from mien.data.synthetic import draw_faces
from mien.errors import DataError, UsageError
from mien.labels import FER2013
from mien.recognizer import Recognizer, load
from mien.results import Faces, Frame, Frames
from mien.vision.detect import WholeImage
from mien.vision.detections import Detections
from mien.vision.faces import entropy


class Fixed:
    """Finds faces where it was told to, as YuNet would."""

    name, note, geometry = "fixed", "", "yunet"

    def __init__(self, boxes: list[list[float]]) -> None:
        self.boxes = np.array(boxes, np.float32).reshape(-1, 4)

    def detect(self, image: np.ndarray) -> Detections:
        return Detections(
            self.boxes, np.linspace(0.9, 0.8, len(self.boxes), dtype=np.float32), None, "yunet"
        )


@pytest.fixture(scope="module")
def bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "toy"
    write_toy(path, heads=("expression", "mood"))
    return path


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    return draw_faces(np.arange(10) % len(FER2013), seed=3)


def test_a_face_crop_gives_the_networks_own_answer(bundle_path: Path, crops: np.ndarray) -> None:
    with load(bundle_path, detector="none") as recognizer:
        assert recognizer.labels == FER2013
        for crop in crops[:3]:
            [face] = recognizer.faces(crop)
            expected = softmax(answers("expression", crop[None]), 0.5)[0]
            np.testing.assert_allclose(np.asarray(face.probabilities), expected, atol=1e-6)
            assert face.label == FER2013[int(expected.argmax())]
            assert (
                face.box == (0, 0, FACE_SIDE, FACE_SIDE)
                and face.landmarks is None
                and face.quality.turn is None
            )
            assert face.entropy == pytest.approx(entropy(expected))
            mood = softmax(answers("mood", crop[None]), 0.5)[0]
            assert list(face.heads["mood"]) == ["low", "high"]
            np.testing.assert_allclose(list(face.heads["mood"].values()), mood, atol=1e-6)


def test_every_kind_of_source_gives_the_same_answer(
    bundle_path: Path, crops: np.ndarray, tmp_path: Path
) -> None:
    image = Image.fromarray(crops[0, ..., 0])
    held = io.BytesIO()
    image.save(held, "PNG")
    path = tmp_path / "face.png"
    path.write_bytes(held.getvalue())
    with load(bundle_path, detector="none") as recognizer:
        found = [
            recognizer.faces(one)
            for one in (path, str(path), held.getvalue(), io.BytesIO(held.getvalue()), image)
        ]
    assert len(found) == 5 and all(one == found[0] for one in found)


def test_frames_come_in_order_and_a_bad_one_has_its_error(
    bundle_path: Path, crops: np.ndarray, tmp_path: Path
) -> None:
    sources: list[object] = list(crops)
    sources[4] = tmp_path / "nowhere.png"
    sources[7] = b"no picture"
    with load(bundle_path, detector="none") as recognizer:
        frames = list(recognizer.frames(sources, names=[f"f{n}" for n in range(10)]))
        alone = [recognizer.faces(crop) for crop in crops]
    assert [frame.source for frame in frames] == [f"f{n}" for n in range(10)]
    assert [n for n, frame in enumerate(frames) if frame.error] == [4, 7]
    assert "no such file" in str(frames[4].error) and not frames[4].faces
    for n, frame in enumerate(frames):
        if not frame.error:
            assert (frame.width, frame.height, frame.detector) == (FACE_SIDE, FACE_SIDE, "none")
            np.testing.assert_allclose(
                np.asarray(frame.faces[0].probabilities),
                np.asarray(alone[n][0].probabilities),
                atol=1e-6,
            )


def test_pictures_with_several_faces_and_none(bundle_path: Path) -> None:
    image = np.full((200, 300, 3), 90, np.uint8)
    two = Recognizer(open_bundle(bundle_path), Fixed([[10, 10, 60, 60], [150, 40, 160, 52]]))
    faces = two.faces(image)
    assert [face.quality.size_px for face in faces] == [50, 10]
    assert "smaller than" in faces[1].reason and faces[1].uncertain
    assert two.faces_in(image) == faces
    nobody = Recognizer(open_bundle(bundle_path), Fixed([]))
    assert nobody.faces(image) == []
    assert list(nobody.frames([image], names=["a"])) == [
        Frame("a", 0, None, 300, 200, "fixed", prior=nobody.prior)
    ]


def test_eight_threads_give_equal_answers(bundle_path: Path, crops: np.ndarray) -> None:
    with load(bundle_path, detector="none") as recognizer, ThreadPoolExecutor(8) as pool:
        alone = [recognizer.faces(crop) for crop in crops]
        together = list(pool.map(recognizer.faces, [crop for crop in crops for _ in range(8)]))
    assert len(together) == 80
    assert together == [one for one in alone for _ in range(8)]


def test_an_explanation_has_the_crop_and_a_map(bundle_path: Path, crops: np.ndarray) -> None:
    with load(bundle_path, detector="none") as recognizer:
        [face] = recognizer.faces(crops[0])
        seen, heat = recognizer.explain(crops[0], face)
    np.testing.assert_array_equal(seen, crops[0])
    assert heat.shape == (FACE_SIDE, FACE_SIDE) and np.abs(heat).max() > 0


def test_called_it_answers_with_a_frame_or_with_frames(
    bundle_path: Path, crops: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "face.png"
    Image.fromarray(crops[0, ..., 0]).save(path)
    with load(bundle_path, detector="none") as recognizer:
        one = recognizer(path)
        [same] = recognizer.frames([path])
        several = recognizer([path, tmp_path / "nowhere.png", crops[1]])
        from_batch = recognizer(crops[:2])
        from_generator = recognizer(crop for crop in crops[:2])
        faces = recognizer.faces(path)
        with pytest.raises(DataError, match="no such file"):
            recognizer(tmp_path / "nowhere.png")
    assert isinstance(one, Frame) and one == same and list(one.faces) == faces
    assert isinstance(several, Frames) and len(several) == 3
    assert several[0] == one and "no such file" in str(several[1].error)
    assert from_batch == from_generator and len(from_batch) == 2
    assert isinstance(faces, Faces) and faces == list(faces) and len(faces.to_frame()) == 1
    assert one.labels == FER2013.names and one.heads["mood"] == ("low", "high")
    table = several.to_frame()
    assert table["source"].tolist() == [str(path), str(tmp_path / "nowhere.png"), one_name(crops)]
    assert table["p_mood_low"].notna().tolist() == [True, False, True]


def one_name(crops: np.ndarray) -> str:
    return f"ndarray {crops[1].shape}"


def test_a_picture_without_a_face_makes_a_table_with_every_column(bundle_path: Path) -> None:
    image = np.full((60, 60, 3), 90, np.uint8)
    one = Recognizer(open_bundle(bundle_path), Fixed([[10, 10, 50, 50]]))
    nobody = Recognizer(open_bundle(bundle_path), Fixed([]))
    columns = list(one(image).to_frame())
    assert "p_happy" in columns and "p_mood_low" in columns
    assert list(nobody(image).to_frame()) == columns
    assert list(nobody([image]).to_frame()) == columns
    assert list(nobody.faces(image).to_frame()) == list(one.faces(image).to_frame())
    assert len(nobody.faces(image).to_frame()) == 0


def test_a_frame_draws_on_what_was_given(
    bundle_path: Path, crops: np.ndarray, tmp_path: Path
) -> None:
    held = io.BytesIO()
    Image.fromarray(crops[0, ..., 0]).save(held, "PNG")
    path = tmp_path / "face.png"
    path.write_bytes(held.getvalue())
    with load(bundle_path, detector="none") as recognizer:
        frames = [recognizer(one) for one in (path, str(path), held.getvalue(), crops[0])]
        with path.open("rb") as file:
            frames.append(recognizer(file))
        frames += recognizer([Image.open(path), io.BytesIO(held.getvalue())])
        frames += recognizer.frames([path])
        [streamed] = recognizer.frames([crops[0]])
    assert len(frames) == 8
    assert len({frame.draw().tobytes() for frame in frames}) == 1
    assert frames[3].picture is crops[0].base or np.shares_memory(frames[3].picture, crops)
    assert streamed.picture is None  # one by one, nothing is held
    with pytest.raises(UsageError, match="does not know its picture"):
        streamed.draw()


def test_faces_of_several_pictures_name_what_takes_them(
    bundle_path: Path, crops: np.ndarray
) -> None:
    with load(bundle_path, detector="none") as recognizer:
        for several in (["a.png", "b.png"], ("a.png",), crops, iter(crops)):
            with pytest.raises(UsageError, match=r"expected one\. Fix: call recognizer\(.*frames"):
                recognizer.faces(several)  # type: ignore[arg-type]


def test_a_face_keeps_what_the_network_saw(bundle_path: Path, crops: np.ndarray) -> None:
    with load(bundle_path, detector="none") as recognizer:
        [face] = recognizer.faces(crops[0])
    assert face.crop is not None
    np.testing.assert_array_equal(face.crop, crops[0])
    assert face.crop.base is None  # its own, or it would hold those of all faces


def test_closed_and_pickled(bundle_path: Path, crops: np.ndarray) -> None:
    recognizer = Recognizer(open_bundle(bundle_path), WholeImage())
    with pytest.raises(TypeError, match=r"mien\.load\(\) in each process"):
        pickle.dumps(recognizer)
    recognizer.close()
    recognizer.close()
    with pytest.raises(UsageError, match="after close"):
        recognizer.faces(crops[0])


def test_entropy_goes_from_sure_to_no_idea() -> None:
    assert entropy(np.array([1, 0, 0], np.float32)) == 0
    assert entropy(np.full(7, 1 / 7, np.float32)) == pytest.approx(1)
    assert entropy(np.array([0.5, 0.5, 0, 0])) == pytest.approx(0.5)


def test_another_prior_shares_the_network() -> None:
    recognizer = mien.load(detector="none")
    other = recognizer.with_settings(prior="balanced")
    face = np.full((48, 48, 3), 128, np.uint8)
    face[20:30, 10:38] = 30
    assert (recognizer.prior, other.prior) == ("everyday", "balanced")
    assert other._classifier is recognizer._classifier
    before, after = recognizer.faces(face)[0], other.faces(face)[0]
    assert before.heads == after.heads and before.probabilities != after.probabilities
    with pytest.raises(UsageError, match="prior: got 'posed'"):
        recognizer.with_settings(prior="posed")


def test_the_repr_names_network_detector_mode_and_prior() -> None:
    text = repr(mien.load(detector="none"))
    assert text.startswith("Recognizer('mien ") and "detector='none'" in text
    assert "mode='fast', prior='everyday')" in text
