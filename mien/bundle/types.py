"""A checked model in memory: `Bundle` and its `Head`s."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mien.bundle.answer import AnswerRule
from mien.labels import LabelSet


@dataclass(frozen=True)
class Head:
    """A head of a network.

    Attributes:
        name: Its name, such as `expression`.
        labels: The labels of its K outputs.
        temperature: Divides the logits before the softmax, which calibrates the probabilities (Guo
            et al. 2017, https://arxiv.org/abs/1706.04599).
        output: Name of the graph's output, float32 (N, K).
        temperature_best: The temperature for the mean logits of several views (`mien.bundle.tta`).
    """

    name: str
    labels: LabelSet
    temperature: float
    output: str
    temperature_best: float


@dataclass(frozen=True, eq=False)
class Bundle:
    """A checked model.

    Attributes:
        name: The name of the network.
        digest: SHA-256 of bundle.json, which covers all three files, as 64 hex digits.
        heads: One or more; the first is the main one.
        rules: Name of a class prior -> the rule that turns the heads' probabilities into the
            prediction under it; the default first.
        input_name: Name of the graph's input: float32 (N, S, S, 1), gray, 0 black to 255 white.
        side: S, width and height of its input in pixels.
        precision: How weights are stored: `float32`, `float16` (computed in float32) or `int8`.
        licence: SPDX identifier.
        training: Recipe, data fingerprint and other facts about its training.
        metrics: Split -> n and scores, each with its interval.
        parity: Largest difference between the logits of this file and of the trained network.
        versions: Package -> the version that made it.
        model: The bytes of model.onnx.
        golden_faces: uint8 (G, S, S, 1).
        golden_logits: Head name -> expected logits, float32 (G, K).
        golden_answers: Name of a prior in bundle.json -> expected probabilities in the mode `fast`,
            float32 (G, K).
        golden_tolerance: Largest difference of probabilities to expect between machines.
        operators: ONNX operator -> number of nodes.
        facts: All of bundle.json.
    """

    name: str
    digest: str
    heads: tuple[Head, ...]
    rules: Mapping[str, AnswerRule]
    input_name: str
    side: int
    precision: str
    licence: str
    training: Mapping[str, Any]
    metrics: Mapping[str, Any]
    parity: Mapping[str, Any]
    versions: Mapping[str, str]
    model: bytes = field(repr=False)
    golden_faces: np.ndarray = field(repr=False)
    golden_logits: Mapping[str, np.ndarray] = field(repr=False)
    golden_answers: Mapping[str, np.ndarray] = field(repr=False)
    golden_tolerance: float
    operators: Mapping[str, int] = field(repr=False)
    facts: Mapping[str, Any] = field(repr=False)
