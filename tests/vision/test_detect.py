"""Which detector finds faces, and what each kind refuses."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from mien.errors import MissingExtraError, UsageError
from mien.vision.detect import WholeImage, _NoCandidateError, _unless_empty, find_detector


def test_mtcnn_not_installed_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mtcnn", None)  # what Python itself does for a missing module
    with pytest.raises(MissingExtraError, match=r"mtcnn.*extra \[mtcnn\]"):
        find_detector("mtcnn")


def test_a_stage_of_mtcnn_is_not_run_without_candidates() -> None:
    """TensorFlow would print a warning for each such picture."""
    stage = _unless_empty(lambda bboxes_batch, **others: others)
    assert stage(bboxes_batch=None, threshold=1) == {"threshold": 1}
    assert stage(bboxes_batch=np.zeros((2, 16))) == {}
    with pytest.raises(_NoCandidateError):
        stage(bboxes_batch=np.zeros((0, 16)))


@pytest.mark.parametrize(("kind", "side"), [("haar", None), ("yunet", 8), ("none", 640)])
def test_unknown_kinds_and_sizes_are_refused(kind: str, side: int | None) -> None:
    with pytest.raises(UsageError, match="got"):
        find_detector(kind, max_side=side)


@pytest.mark.parametrize("kind", ["mtcnn", "none"])
def test_weights_of_yunet_are_refused_by_others(kind: str) -> None:
    with pytest.raises(UsageError, match="for auto, yunet, yunet-close only"):
        find_detector(kind, model=Path("yunet.onnx"))


def test_none_takes_the_whole_picture() -> None:
    found = find_detector("none").detect(np.zeros((20, 30, 3), np.uint8))
    assert found.boxes.tolist() == [[0, 0, 30, 20]]
    assert found.scores.tolist() == [1.0] and found.landmarks is None
    assert (WholeImage.name, found.geometry) == ("none", "none")
    with pytest.raises(UsageError, match=r"got uint8 \(20, 30\)"):
        find_detector("none").detect(np.zeros((20, 30), np.uint8))
