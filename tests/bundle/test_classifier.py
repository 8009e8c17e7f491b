from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import onnx
import pytest
from toy_bundle import FACES, answers, rewrite, toy_model, write_toy

from mien.bundle import Bundle, open_bundle
from mien.bundle.answer import softmax
from mien.bundle.classifier import MAX_BATCH, Classifier
from mien.errors import BundleError, UsageError
from mien.vision.preprocess import all_resized


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_toy(tmp_path / "toy", ("expression", "mood"))


def random_faces(num: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (num, 48, 48, 1), np.uint8)


@pytest.mark.parametrize("num", [0, 1, 7, MAX_BATCH, MAX_BATCH + 1, 200])
def test_answers_are_numpys_whatever_the_batch(bundle: Bundle, num: int) -> None:
    faces = random_faces(num)
    with Classifier(bundle) as classify:
        found = classify(faces)
        raw = classify.logits(faces)
    assert list(found) == ["expression", "mood"]
    for name, num_labels in (("expression", 7), ("mood", 2)):
        expected = np.exp(answers(name, faces) / 0.5)
        expected /= expected.sum(1, keepdims=True)
        assert found[name].shape == (num, num_labels) and found[name].dtype == np.float32
        np.testing.assert_allclose(found[name], expected, atol=1e-5)
        np.testing.assert_allclose(found[name].sum(1), 1, atol=1e-6)
        np.testing.assert_allclose(raw[name], answers(name, faces), atol=1e-4)


def test_softmax_of_large_logits_is_finite() -> None:
    found = softmax(np.array([[1e4, -1e4, 0]], np.float32), 0.1)
    np.testing.assert_array_equal(found, [[1, 0, 0]])
    assert found.dtype == np.float32


def test_a_higher_temperature_is_less_sure_of_the_same_answer() -> None:
    logits = np.array([[2.0, 1.0, 0.0]], np.float32)
    cold, warm = softmax(logits, 0.5), softmax(logits, 2.0)
    assert cold.argmax() == warm.argmax() == 0 and cold[0, 0] > softmax(logits)[0, 0] > warm[0, 0]


def test_goldens(bundle: Bundle, tmp_path: Path) -> None:
    assert Classifier(bundle).replay_goldens() <= bundle.golden_tolerance
    wrong = {
        "faces": FACES,
        "logits_expression": answers("expression", FACES),
        "logits_mood": 1 - answers("mood", FACES),
    }
    rewrite(tmp_path / "toy", golden=wrong)
    changed = open_bundle(tmp_path / "toy")
    assert Classifier(changed).replay_goldens() > changed.golden_tolerance


@pytest.mark.parametrize(
    "faces",
    [
        np.zeros((1, 48, 48, 1), np.float32),
        np.zeros((48, 48, 1), np.uint8),
        np.zeros((1, 48, 48), np.uint8),
        np.zeros((1, 48, 48, 3), np.uint8),
        np.zeros((1, 48, 64, 1), np.uint8),
    ],
)
def test_other_arrays_are_refused(bundle: Bundle, faces: np.ndarray) -> None:
    with pytest.raises(UsageError, match=r"faces: got .*expected uint8 \(N, 48, 48, 1\)"):
        Classifier(bundle)(faces)


def test_faces_of_another_side_are_resized(bundle: Bundle) -> None:
    large = np.random.default_rng(3).integers(0, 256, (70, 96, 96, 1), np.uint8)
    classify = Classifier(bundle)
    for mode in ("fast", "best"):
        found = classify(large, mode=mode)["mood"]
        np.testing.assert_array_equal(found, classify(all_resized(large, 48), mode=mode)["mood"])


def test_views_are_taken_as_they_are(bundle: Bundle) -> None:
    faces = random_faces(9)
    classify = Classifier(bundle)
    np.testing.assert_array_equal(classify(faces[::-2])["mood"], classify(faces)["mood"][::-2])
    frozen = faces.copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(classify(frozen)["mood"], classify(faces)["mood"])


def test_eight_threads_get_the_answers_of_one(bundle: Bundle) -> None:
    classify = Classifier(bundle, num_threads=1)
    faces = [random_faces(1 + i % 5, seed=i) for i in range(40)]
    alone = [classify(one)["expression"] for one in faces]
    together: dict[tuple[int, int], np.ndarray] = {}

    def work(thread: int) -> None:
        for i, one in enumerate(faces):
            together[thread, i] = classify(one)["expression"]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(together) == 320
    assert all(np.array_equal(found, alone[i]) for (_, i), found in together.items())


def test_closed_is_closed(bundle: Bundle) -> None:
    classify = Classifier(bundle)
    classify.close()
    classify.close()
    with pytest.raises(UsageError, match="got a call after close"):
        classify(FACES)


def test_a_copy_answers_alike(bundle: Bundle) -> None:
    """What pickling does, by hand: this project imports no pickle."""
    classify = Classifier(bundle, num_threads=1)
    make, arguments = classify.__reduce__()
    again = make(*arguments)
    assert again.num_threads == 1
    np.testing.assert_array_equal(again(FACES)["mood"], classify(FACES)["mood"])


def test_num_threads_below_one_is_refused(bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="num_threads: got 0"):
        Classifier(bundle, num_threads=0)


def test_what_onnx_runtime_refuses_is_a_bundle_error(tmp_path: Path) -> None:
    """A graph that reads well and cannot be built: a weight that is not there."""
    write_toy(tmp_path / "toy")
    model = toy_model()
    model.graph.node[1].input[1] = "nowhere"
    rewrite(tmp_path / "toy", model=model.SerializeToString())
    with pytest.raises(
        BundleError, match=r"toy: model.onnx: got a network that ONNX Runtime .* refuses"
    ):
        Classifier(open_bundle(tmp_path / "toy"))


def test_what_fails_only_when_it_runs_is_a_bundle_error_too(tmp_path: Path) -> None:
    """Rows of 2,304 pixels cannot be read as rows of 1,152; and a network may answer with other
    shapes than it says.
    """
    write_toy(tmp_path / "toy")
    for shape, message in (
        ([-1, 1152], "ONNX Runtime .* refuses"),
        ([1, -1], "ONNX Runtime .* refuses"),
    ):
        model = toy_model()
        model.graph.initializer[0].CopyFrom(
            onnx.numpy_helper.from_array(np.array(shape, np.int64), "flat")
        )
        rewrite(tmp_path / "toy", model=model.SerializeToString())
        with pytest.raises(BundleError, match=message):
            Classifier(open_bundle(tmp_path / "toy"))(FACES)
    model = toy_model()
    model.graph.node[1].output[0] = "all"
    model.graph.node.append(onnx.helper.make_node("Concat", ["all", "all"], ["expression"], axis=0))
    rewrite(tmp_path / "toy", model=model.SerializeToString())
    with pytest.raises(BundleError, match=r"output of the head expression: got an array \(10, 7\)"):
        Classifier(open_bundle(tmp_path / "toy"))(FACES)


def test_answers_that_are_no_numbers_are_not_passed_on(tmp_path: Path) -> None:
    write_toy(tmp_path / "toy")
    model = toy_model()
    weights = np.full((2304, 7), np.inf, np.float32)
    model.graph.initializer[1].CopyFrom(onnx.numpy_helper.from_array(weights, "w_expression"))
    rewrite(tmp_path / "toy", model=model.SerializeToString())
    with pytest.raises(BundleError, match="output of the head expression"):
        Classifier(open_bundle(tmp_path / "toy"))(FACES)


def test_importing_it_starts_no_runtime() -> None:
    code = """
import sys
import mien.bundle.classifier, mien.bundle
heavy = {"onnxruntime", "onnx", "keras", "tensorflow", "cv2", "PIL", "scipy", "pandas"}
heavy |= {"matplotlib"}
print(sorted(heavy & set(sys.modules)))
"""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_the_lines_of_the_docs_do_without_mien(tmp_path: Path) -> None:
    bundle = write_toy(tmp_path / "small", ("expression", "mood"))
    page = (Path(__file__).parents[2] / "docs" / "bundle.md").read_text(encoding="utf-8")
    block = page.split("## Without mien")[1].split("## ")[0]
    lines = [line for line in block.split("```")[1].splitlines()[1:] if line]
    assert len(lines) == 11 and "mien" not in "".join(lines)
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], cwd=tmp_path, capture_output=True, text=True
    )
    found = Classifier(bundle)(FACES)
    expected = [[head.labels[k] for k in found[head.name].argmax(1)] for head in bundle.heads]
    assert done.stdout.splitlines() == [str(one) for one in expected]
