"""Progress on stderr: a line an epoch, and nothing else where that is no terminal."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from small_recipes import TINY

from mien.cli.progress import counting_bar, training_bar
from mien.training.callbacks import Moment


def finished(number: int) -> dict[str, float]:
    scores = dict.fromkeys(("loss", "accuracy", "val_loss", "val_accuracy"), 0.5)
    return {"epoch": number, "seconds": 3.0, **scores}


def test_each_finished_epoch_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with training_bar() as watch:
        for name, before in (("fresh[1]", 0), ("resumed", 2)):
            recipe = replace(TINY, name="x", max_epochs=4)
            object.__setattr__(recipe, "name", name)  # brackets are no markup
            history = [finished(n) for n in range(1, before + 1)]
            for number in range(before + 1, 5):
                for step in (1, 2):
                    history = history + [finished(number)] * (step == 2)
                    watch(Moment(number, step, 2, 0.5, 0.5, recipe, history))
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == "" and len(lines) == 4 + 1 + 2
    assert re.match(r"  fresh\[1\] epoch 1/4: loss 0\.500, accuracy 50\.0%; .*; 3 s$", lines[0])
    assert lines[4] == "  continues after epoch 2"
    assert [line.split(":")[0] for line in lines[5:]] == [
        f"  resumed epoch {number}/4" for number in (3, 4)
    ]


def test_counting_is_shown_on_a_terminal_only(capsys: pytest.CaptureFixture[str]) -> None:
    with counting_bar(2) as move:
        move(1, "a[b].jpg")
    assert capsys.readouterr() == ("", "")
