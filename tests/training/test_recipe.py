from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from small_recipes import DOUBLE, TINY

from mien.errors import UsageError
from mien.training import recipes
from mien.training.recipe import Recipe


@pytest.mark.parametrize(
    "change",
    [
        {"class_weights": "inverse"},
        {"blocks": ()},
        {"blocks": ((8,),) * 5},
        {"max_epochs": 0},
        {"learning_rate": 0.0},
        {"dense_dropout": 1.0},
        {"seed": -1},
        {"optimizer": "lion"},
        {"sam_radius": -0.1},
        {"average_over": 0.0},
        {"average_over": 1.5},
        {"teacher_weight": 1.5},
        {"precision": "float8"},
        {"zoom": (1.1, 1.2)},
        {"shift": -0.1},
        {"erase": 2},
        {"mixup": 0.6, "cutmix": 0.6},
        {"blocks": ((8,), ())},
        {"blocks": ((0,),)},
        {"blocks": ((8,), (10**9,))},
        {"seed": 2**32},
        {"name": ""},
        {"name": "../elsewhere"},
        {"zoom": (1.0, float("inf"))},
        {"stages": ((float("nan"), 32), (1.0, 48)), "dense": 0},
        {"stages": ((-1.0, 32), (1.0, 48)), "dense": 0},
        {"stages": ((0.5, 100_000), (1.0, 48)), "dense": 0},
        {"restore_batch_norm": True},  # without init
        {"fall_epochs": 2},  # without last_rate
        {"last_rate": 1.0},
        {
            "stages": ((0.5, 32), (1.0, 48)),
            "dense": 0,
            "init": "mien",
        },  # without restore_batch_norm
        {"stages": ((1.0, 32),)},
        {"stages": ((0.5, 48), (0.2, 48))},
        {"stages": ((0.5, 32), (1.0, 48))},  # with a dense layer
    ],
)
def test_recipes_refuse_what_cannot_be_meant(change: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="got .*expected"):
        dataclasses.replace(TINY, **change)


def test_recipe_by_name() -> None:
    assert recipes.recipe("small", seed=3, max_epochs=None).seed == 3
    assert recipes.recipe("small", max_epochs=None).max_epochs == recipes.small().max_epochs
    with pytest.raises(UsageError, match="expected one of small, medium, large"):
        recipes.recipe("huge")
    for one in (TINY, DOUBLE, *(make() for make in recipes.RECIPES.values())):
        assert Recipe.from_dict(json.loads(json.dumps(one.to_dict()))) == one
    assert recipes.recipe("small", blocks=[[8], [16]]).blocks == ((8,), (16,))
    with pytest.raises(UsageError, match="got size; expected some of name, blocks"):
        recipes.recipe("small", size=3)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("erase", "much", "got 'much'; expected a number"),
        ("learning_rate", True, "got True; expected a number"),
        ("seed", 1.5, "got 1.5; expected a whole number"),
        ("augment", 1, "got 1; expected true or false"),
        ("optimizer", 3, "got 3; expected a text"),
        ("zoom", (1.0,), "expected two numbers"),
        ("zoom", "wide", "expected two numbers"),
        ("blocks", (8, 16), "expected a list of filters for each block"),
        ("stages", ((1.0, "large"),), "expected pairs of share and side"),
    ],
)
def test_recipes_name_the_field_whose_value_is_of_another_type(
    field: str, value: Any, expected: str
) -> None:
    with pytest.raises(UsageError, match=f"^{field}: .*{expected}"):
        recipes.recipe("small", **{field: value})


def test_fields_from_texts() -> None:
    given = ["erase=0.25", "blocks=[[8],[16, 16]]", "optimizer=sgd", "residual=true"]
    expected = {"erase": 0.25, "blocks": ((8,), (16, 16)), "optimizer": "sgd", "residual": True}
    assert recipes.settings(given) == expected
    for wrong in ("erase", "size=3"):
        with pytest.raises(UsageError, match="expected FIELD=VALUE, with one of name, blocks"):
            recipes.settings([wrong])


def test_faces_are_mixed_late() -> None:
    late = dataclasses.replace(DOUBLE, max_epochs=8, mixup=0.5, mix_from=0.75)
    assert [late.mixes(epoch) for epoch in range(1, 9)] == [False] * 6 + [True] * 2
    assert not dataclasses.replace(late, augment=False).mixes(8) and not TINY.mixes(1)


def test_stages_are_shares_of_the_schedule() -> None:
    staged = dataclasses.replace(DOUBLE, max_epochs=8, stages=((0.5, 32), (0.75, 40), (1.0, 48)))
    assert [staged.side(epoch) for epoch in range(1, 9)] == [32] * 4 + [40] * 2 + [48] * 2
    assert TINY.side(1) == TINY.side(4) == 48
    # However few epochs there are, the last sees faces as large as they come.
    for num, sides in ((1, [48]), (2, [32, 48]), (3, [32, 32, 48])):
        few = dataclasses.replace(staged, max_epochs=num)
        assert [few.side(epoch) for epoch in range(1, num + 1)] == sides and few.last_stage == num
    assert staged.last_stage == 7 and TINY.last_stage == 1 and TINY.one_side and not staged.one_side


def test_whole_numbers_do_for_numbers() -> None:
    whole = recipes.recipe("small", average_decay=0, erase=1)
    assert (whole.average_decay, whole.erase) == (0.0, 1.0)
    assert isinstance(whole.average_decay, float) and isinstance(whole.erase, float)


def test_a_backbone_of_keras_applications_needs_weights() -> None:
    with pytest.raises(
        UsageError,
        match=(
            "backbone: got MobileNetV2 without init; expected .*Fix: give init=imagenet:MobileNetV2"
        ),
    ):
        recipes.recipe("small", backbone="MobileNetV2")
