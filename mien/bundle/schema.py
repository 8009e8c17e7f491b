"""The format of a bundle, a folder or zip of three files; docs/bundle.md describes it.

model.onnx    the network: gray faces in, logits out
bundle.json   input, heads, answer rules, training, scores, and the SHA-256 of the other two
golden.npz    a few drawn faces, and the network's logits and predictions for them

`check` validates all of it before any runtime starts. It proves that the files are undamaged and
cannot run code, not who made them.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mien.bundle.answer import TEMPERATURE, TRAINING, AnswerRule, plain_rule
from mien.bundle.facts import Facts, parse_json
from mien.bundle.files import FACTS, GOLDEN, MODEL, read_npz
from mien.bundle.onnx_file import OnnxFile, read_onnx
from mien.bundle.types import Bundle, Head
from mien.errors import BundleError
from mien.labels import LabelSet

FORMAT = "mien bundle"
FORMAT_VERSION = 1
MAX_GOLDENS = 256
MAX_LABELS = 100
MAX_LETTERS = 64  # in a label
MAX_HEADS = 8
PRECISIONS = ("float32", "float16", "int8")  # of the stored weights
MAX_PRIORS = 16
_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_OBJECT, _LIST = (dict, "an object"), (list, "a list")
_TEXT, _INTEGER, _NUMBER = (str, "a text"), (int, "an integer"), ((int, float), "a number")
# The fields about training that mien reads, with their types; other fields may hold anything.
_TRAINING_FACTS: Mapping[str, Mapping[str, tuple[type | tuple[type, ...], str]]] = {
    "training.": {
        "data": _OBJECT,
        "recipe": _OBJECT,
        "begun_from": _OBJECT,
        "taught_by": _LIST,
        "averaged": _LIST,
        "parameters": _INTEGER,
        "multiply_adds": _INTEGER,
        "epochs": _INTEGER,
        "best_epoch": _INTEGER,
        "seconds_per_epoch": _NUMBER,
        "peak_memory_mb": _NUMBER,
        "stopped": _TEXT,
    },
    "training.data.": {
        "source": _TEXT,
        "fingerprint": _TEXT,
        "fingerprints": _OBJECT,
        "num_training": _INTEGER,
        "num_left_out_as_leaks": _INTEGER,
    },
}
SIDES = (16, 512)  # smallest and largest side of a network's input in pixels


def input_contract(side: int) -> dict[str, Any]:
    """The input of a network, as in bundle.json."""
    return {
        "shape": [None, side, side, 1],
        "dtype": "float32",
        "range": [0, 255],
        "colour": "gray",
    }


def check(where: Path, contents: Mapping[str, bytes]) -> Bundle:
    """The bundle made from the contents of its files (name -> bytes).

    Raises:
        BundleError: naming the first field that is wrong.
    """
    facts = Facts(where, parse_json(where, contents[FACTS]))
    if facts.get("format", str, repr(FORMAT)) != FORMAT:
        facts.refuse("format", facts.fields["format"], repr(FORMAT))
    version = facts.get("format_version", int, f"{FORMAT_VERSION}")
    if version > FORMAT_VERSION:
        raise BundleError(
            where,
            f"{FACTS}: format_version",
            got=str(version),
            expected=f"at most {FORMAT_VERSION}: a newer mien wrote it",
            fix="pip install --upgrade mien",
        )
    if version < 1:
        facts.refuse("format_version", version, f"1 to {FORMAT_VERSION}")
    digest = facts.text("sha256")
    if digest != hash_of(facts.fields):
        facts.refuse(
            "sha256",
            digest,
            "the SHA-256 of the other fields; the file was changed after it was written",
        )
    _check_files(facts, contents)
    heads = heads_of(facts)
    rules = rules_of(facts, heads)
    input_name, side = _input(facts)
    graph = read_onnx(contents[MODEL], where)
    _check_graph(where, graph, (input_name, side), heads)
    priors = list(rules) if "answer" in facts.fields else []
    faces, logits, answers = _goldens(where, contents[GOLDEN], side, heads, priors)
    precision = facts.text("precision")
    if precision not in PRECISIONS:
        facts.refuse("precision", precision, f"one of {', '.join(PRECISIONS)}")
    versions = facts.get("versions", dict, "package names with versions")
    for name in versions:
        facts.text(name, versions, "versions.")
    return Bundle(
        name=facts.text("name"),
        digest=digest,
        heads=heads,
        rules=rules,
        input_name=input_name,
        side=side,
        precision=precision,
        licence=facts.text("licence"),
        training=_training(facts),
        metrics=facts.get("metrics", dict, "an object"),
        parity=facts.get("parity", dict, "an object"),
        versions=versions,
        model=contents[MODEL],
        golden_faces=faces,
        golden_logits=logits,
        golden_answers=answers,
        golden_tolerance=facts.number("golden_tolerance", 0, 1),
        operators=graph.operators,
        facts=facts.fields,
    )


def hash_of(facts: Mapping[str, Any]) -> str:
    """SHA-256 of all fields but `sha256`, as JSON without spaces and with sorted names."""
    fields = {name: value for name, value in facts.items() if name != "sha256"}
    return sha256_of(
        json.dumps(fields, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    )


def _check_files(facts: Facts, contents: Mapping[str, bytes]) -> None:
    files = facts.get("files", dict, f"an object with {MODEL} and {GOLDEN}")
    if sorted(files) != sorted((MODEL, GOLDEN)):
        facts.refuse("files", sorted(files), f"{GOLDEN} and {MODEL}")
    for name in files:
        entry = facts.get(name, dict, "bytes and sha256", files, "files.")
        size = facts.get("bytes", int, "the file's size", entry, f"files.{name}.")
        if len(contents[name]) != size:
            raise BundleError(
                facts.where,
                name,
                got=f"{len(contents[name])} bytes",
                expected=f"{size}, as {FACTS} says",
            )
        if facts.text("sha256", entry, f"files.{name}.") != sha256_of(contents[name]):
            raise BundleError(
                facts.where,
                name,
                got="a file with another SHA-256",
                expected=f"the one that {FACTS} records",
            )


def heads_of(facts: Facts) -> tuple[Head, ...]:
    """The heads, the main one first."""
    entries = facts.get("heads", list, "a list of heads")
    if not 1 <= len(entries) <= MAX_HEADS:
        facts.refuse("heads", f"{len(entries)} heads", f"1 to {MAX_HEADS}")
    heads = list[Head]()
    for i, entry in enumerate(entries):
        path = f"heads[{i}]."
        name = facts.text("name", entry, path)
        if not _NAME.fullmatch(name) or name in [head.name for head in heads]:
            facts.refuse(f"{path}name", name, "a unique name of a-z, 0-9 and _")
        labels = facts.get("labels", list, f"2 to {MAX_LABELS} distinct names", entry, path)
        is_valid = all(
            isinstance(label, str) and 1 <= len(label) <= MAX_LETTERS and label.isprintable()
            for label in labels
        )
        if not is_valid or not 2 <= len(labels) <= MAX_LABELS or len(set(labels)) != len(labels):
            facts.refuse(f"{path}labels", labels, f"2 to {MAX_LABELS} distinct names")
        temperature, temperature_best = _temperatures(facts, entry, path)
        heads.append(
            Head(
                name,
                LabelSet(tuple(labels)),
                temperature,
                facts.text("output", entry, path),
                temperature_best,
            )
        )
    return tuple(heads)


def rules_of(facts: Facts, heads: tuple[Head, ...]) -> dict[str, AnswerRule]:
    """Name of a prior -> its rule, the default first."""
    main = heads[0]
    if "answer" not in facts.fields:
        return {TRAINING: plain_rule(main.name, len(main.labels))}
    answer = facts.get("answer", dict, "an object")
    priors = facts.get("priors", dict, "1 to 16 priors by name", answer, "answer.")
    if not 1 <= len(priors) <= MAX_PRIORS or not all(_NAME.fullmatch(name) for name in priors):
        facts.refuse("answer.priors", list(priors), "1 to 16 names of a-z, 0-9 and _")
    default = facts.text("default", answer, "answer.")
    if default not in priors:
        facts.refuse("answer.default", default, f"one of {', '.join(priors)}")
    return {
        name: _rule(facts, name, priors[name], heads)
        for name in sorted(priors, key=lambda name: name != default)
    }


def _rule(facts: Facts, prior: str, entry: Any, heads: tuple[Head, ...]) -> AnswerRule:
    path, labels = f"answer.priors.{prior}.", heads[0].labels
    weights = facts.get("weights", dict, "an object of numbers", entry, path)
    weights = {name: facts.number(name, 0, 1, weights, path + "weights.") for name in weights}
    names = {head.name for head in heads}
    if not set(weights) <= names or not math.isclose(sum(weights.values()), 1, abs_tol=1e-6):
        facts.refuse(path + "weights", weights, "weights of heads that sum to 1")
    for head in heads[1:]:
        if weights.get(head.name) and not set(labels) <= set(head.labels):
            expected = "0, because the head lacks labels of the first head"
            facts.refuse(f"{path}weights.{head.name}", weights[head.name], expected)
    shares = None
    if entry.get("class_shares") is not None:
        shares = _by_label(facts, "class_shares", entry, path, labels, (0, 1))
        if not math.isclose(sum(shares), 1, abs_tol=1e-6):
            facts.refuse(path + "class_shares", list(shares), "shares that sum to 1")
    return AnswerRule(
        prior,
        shares,
        weights,
        _by_label(facts, "log_factors", entry, path, labels, (-20, 20)),
        *_temperatures(facts, entry, path),
        facts.number("certain_from", 0, 1, entry, path),
    )


def _by_label(
    facts: Facts,
    name: str,
    entry: Any,
    path: str,
    labels: LabelSet,
    limits: tuple[float, float],
) -> tuple[float, ...]:
    """The numbers of an object with one per label, in the order of the labels."""
    values = facts.get(name, dict, "a number for each label", entry, path)
    if set(values) != set(labels):
        facts.refuse(path + name, sorted(values), f"the labels {', '.join(labels)}")
    return tuple(facts.number(label, *limits, values, f"{path}{name}.") for label in labels)


def _training(facts: Facts) -> dict[str, Any]:
    """The facts about training. All are optional; those that mien reads must have its types."""
    training: dict[str, Any] = facts.get("training", dict, "an object")
    for path, fields in (("training.", training), ("training.data.", training.get("data") or {})):
        for name, (kind, expected) in _TRAINING_FACTS[path].items():
            if fields.get(name) is not None:
                facts.get(name, kind, f"{expected}, or null", fields, path)
    return training


def _temperatures(facts: Facts, entry: Any, path: str) -> tuple[float, float]:
    fast, best = TEMPERATURE.values()
    value = facts.number(fast, 0.01, 100, entry, path)
    return value, facts.number(best, 0.01, 100, entry, path) if best in entry else value


def _input(facts: Facts) -> tuple[str, int]:
    """The name of the input, and its side in pixels."""
    contract = facts.get("input", dict, "an object")
    shape = facts.get("shape", list, "[null, S, S, 1]", contract, "input.")
    side = shape[1] if len(shape) == 4 else None
    low, high = SIDES
    if not isinstance(side, int) or isinstance(side, bool) or not low <= side <= high:
        facts.refuse("input.shape", shape, f"[null, S, S, 1] with S from {low} to {high}")
    for name, value in input_contract(side).items():
        if contract.get(name) != value:
            facts.refuse(f"input.{name}", contract.get(name), str(value))
    return facts.text("name", contract, "input."), side


def _check_graph(
    where: Path, graph: OnnxFile, contract: tuple[str, int], heads: tuple[Head, ...]
) -> None:
    input_name, side = contract
    expected_input = (input_name, "float32", (None, side, side, 1))
    inputs = [(value.name, value.dtype, value.shape) for value in graph.inputs]
    if inputs != [expected_input]:
        raise BundleError(
            where, f"{MODEL}: graph.input", got=str(inputs)[:200], expected=str([expected_input])
        )
    outputs = {value.name: (value.dtype, value.shape) for value in graph.outputs}
    if len(graph.outputs) != len(heads) or set(outputs) != {head.output for head in heads}:
        expected = ", ".join(head.output for head in heads)
        raise BundleError(
            where, f"{MODEL}: graph.output", got=", ".join(outputs)[:200], expected=expected
        )
    for head in heads:
        if outputs[head.output] != ("float32", (None, len(head.labels))):
            raise BundleError(
                where,
                f"{MODEL}: graph.output {head.output}",
                got=str(outputs[head.output]),
                expected=f"float32 (N, {len(head.labels)}), a column for each of the head's labels",
            )


def _goldens(
    where: Path, data: bytes, side: int, heads: tuple[Head, ...], priors: Collection[str]
) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The golden faces, the logits of each head, and the predictions under each prior."""
    arrays = read_npz(where, data)
    expected = {"faces", *(f"logits_{head.name}" for head in heads)}
    expected |= {f"answer_{prior}" for prior in priors}
    if set(arrays) != expected:
        raise BundleError(
            where, GOLDEN, got=f"the arrays {sorted(arrays)}", expected=str(sorted(expected))
        )
    faces = arrays["faces"]
    num = len(faces) if faces.ndim else 0
    forms: dict[str, tuple[str, tuple[int, ...]]] = {"faces": ("uint8", (num, side, side, 1))}
    forms |= {f"logits_{head.name}": ("float32", (num, len(head.labels))) for head in heads}
    forms |= {f"answer_{prior}": ("float32", (num, len(heads[0].labels))) for prior in priors}
    for name, (dtype, shape) in forms.items():
        array = arrays[name]
        if not 1 <= num <= MAX_GOLDENS or str(array.dtype) != dtype or array.shape != shape:
            raise BundleError(
                where,
                f"{GOLDEN}: {name}",
                got=f"{array.dtype} {array.shape}",
                expected=f"{dtype} {('G', *shape[1:])}, G from 1 to {MAX_GOLDENS}",
            )
        if not np.isfinite(array).all():
            raise BundleError(
                where,
                f"{GOLDEN}: {name}",
                got="values that are not finite",
                expected="finite ones",
            )
    logits = {head.name: arrays[f"logits_{head.name}"] for head in heads}
    return faces, logits, {prior: arrays[f"answer_{prior}"] for prior in priors}


def sha256_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
