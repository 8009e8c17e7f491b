"""The examples in docstrings and in the README are true. They find `mien` imported, and beside them
a photograph (scikit-image's astronaut), one without a face, a face cut out of the first, and drawn
faces.
"""

from __future__ import annotations

import doctest
import importlib
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mien
from mien.data.synthetic import draw_faces
from mien.labels import FER2013
from mien.vision.yunet_weights import YUNET_FILE, local_weights

MODULES = (
    *("mien.data.dataset", "mien.evaluation.evaluate", "mien.evaluation.predictions"),
    *("mien.labels", "mien.recognizer", "mien.results.frame", "mien.results.lists"),
    *("mien.results.mappings", "mien.results.types", "mien.video.recognize", "mien.vision.image"),
)
FIND_FACES = ("mien.recognizer",)  # these need YuNet's weights


@pytest.fixture
def beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The files that examples name, in the working directory."""
    data = pytest.importorskip("skimage.data")
    portrait = Image.fromarray(data.astronaut())
    portrait.save("photo.jpg", quality=95)
    portrait.crop((163, 50, 283, 170)).save("face.png")
    Image.fromarray(data.coffee()).save("coffee.jpg")
    labels = np.arange(21) % len(FER2013)
    for number, (label, face) in enumerate(zip(labels, draw_faces(labels, seed=5), strict=True)):
        path = Path("faces") / FER2013[int(label)] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(face[..., 0]).save(path)


@pytest.fixture
def weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """YuNet's, without fetching them."""
    if local_weights() is None:
        shared = Path(__file__).parents[2] / "shared" / "models" / YUNET_FILE
        if not shared.exists():
            pytest.skip("YuNet's weights are not here (make vendor), and no test fetches them")
        monkeypatch.setenv("MIEN_YUNET", os.fspath(shared))


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str, beside: None, request: pytest.FixtureRequest) -> None:
    if name in FIND_FACES:
        request.getfixturevalue("weights")
    module = importlib.import_module(name)
    result = doctest.testmod(module, extraglobs={"mien": mien})
    assert result.failed == 0
    assert result.attempted > 0


def test_the_readme_prints_what_it_says(
    beside: None, weights: None, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    found = re.search(r"```python\n(.*?)```\n\n```text\n(.*?)```", text, re.S)
    assert found is not None
    code, printed = found.groups()
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out == printed
