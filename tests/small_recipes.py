"""Recipes of the smallest networks that have all parts: one with a dense layer, one with two heads
and stages.
"""

from __future__ import annotations

from mien.training.recipe import Recipe

TINY = Recipe(
    "tiny",
    ((4,), (8,)),
    dense=16,
    block_dropout=0.2,
    dense_dropout=0.2,
    max_epochs=4,
    batch_size=32,
)

DOUBLE = Recipe(
    "double",
    ((4,), (8, 8)),
    dense=0,
    block_dropout=0.0,
    dense_dropout=0.2,
    max_epochs=4,
    batch_size=32,
    learning_rate=0.1,
    optimizer="sgd",
    weight_decay=5e-4,
    stages=((0.5, 32), (1.0, 48)),
    light=1.0,
    erase=0.5,
    corruption=0.2,
    mixup=0.2,
    cutmix=0.2,
    mix_from=0.5,
    votes_weight=1.0,
    soft_label_weight=0.5,
)
