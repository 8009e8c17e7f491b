"""A model on disk: a folder, or one zip, of three files. docs/bundle.md has the format.

model.onnx    the network: gray faces in, logits out
bundle.json   what it takes and answers, how it was made, what it scored, sha256 of the other two
golden.npz    a few drawn faces and what the network answers to them

`open_bundle` checks all of it before any runtime is started. That proves the files to be whole and
of a kind that cannot run code; it does not prove who made them.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import json
import math
import os
import re
import shutil
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from mien.bundle.answer import TEMPERATURE, TRAINING, AnswerRule, plain_rule, softmax
from mien.bundle.files import (
    FACTS,
    GOLDEN,
    MAX_BYTES,
    MODEL,
    npz_bytes,
    put,
    read_folder,
    read_npz,
    read_zip,
    refuse_foreign,
    zip_bytes,
)
from mien.bundle.onnx_file import OnnxFile, read_onnx
from mien.constants import FACE_SIDE
from mien.errors import BundleError
from mien.labels import LabelSet

FORMAT = "mien bundle"
FORMAT_VERSION = 1
SHIPPED = "shipped"
MAX_GOLDENS = 256
MAX_LABELS = 100
MAX_LETTERS = 64  # of a label
MAX_HEADS = 8
PRECISIONS = ("float32", "float16", "int8")  # of the stored weights
MAX_PRIORS = 16
_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_OBJECT, _LIST, _TEXT, _INTEGER = (
    (dict, "an object"),
    (list, "a list"),
    (str, "a text"),
    (int, "an integer"),
)
# What mien reads of a network's making, each with its type where it is given; the rest may be
# anything.
_MAKING: Mapping[str, Mapping[str, tuple[type | tuple[type, ...], str]]] = {
    "training.": {
        "data": _OBJECT, "recipe": _OBJECT, "begun_from": _OBJECT, "taught_by": _LIST, "averaged": _LIST,
        "parameters": _INTEGER, "multiply_adds": _INTEGER, "epochs": _INTEGER, "best_epoch": _INTEGER,
        "seconds_per_epoch": ((int, float), "a number"), "peak_memory_mb": ((int, float), "a number"),
        "stopped": _TEXT,
    },
    "training.data.": {
        "source": _TEXT, "fingerprint": _TEXT, "fingerprints": _OBJECT, "num_training": _INTEGER,
        "num_left_out_as_leaks": _INTEGER,
    },
}  # fmt: skip
_INPUT = {
    "shape": [None, FACE_SIDE, FACE_SIDE, 1],
    "dtype": "float32",
    "range": [0, 255],
    "colour": "gray",
}


@dataclass(frozen=True)
class Head:
    """One named answer of a network.

    Attributes:
        name: Such as `expression`.
        labels: What its K outputs mean.
        temperature: Divide logits by it before the softmax, so that probabilities are calibrated
            (Guo et al. 2017, https://arxiv.org/abs/1706.04599).
        output: Name of the graph's output (N, K).
        temperature_best: The same for the mean logits of several views (`mien.bundle.tta`).
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
        name: What it is called.
        digest: sha256 of what bundle.json says, and thereby of all three files, as 64 hex digits.
        heads: One or more; the first is the main one.
        rules: Name of a class prior -> how the heads make the answer that is shown under it; the
            default first.
        input_name: Name of the graph's input: float32 (N, 48, 48, 1), gray, 0 black to 255 white.
        precision: How weights are stored: `float32`, `float16` (computed in float32) or `int8`.
        licence: SPDX name.
        training: Recipe, data fingerprint and what else is known of its making.
        metrics: Split -> n and scores, each with its interval.
        parity: How far the file's answers are from those of the network that was trained.
        versions: Package -> version it was made with.
        model: The bytes of model.onnx.
        golden_faces: uint8 (G, 48, 48, 1).
        golden_logits: Head name -> float32 (G, K), the answers to expect.
        golden_answers: Name of a prior of bundle.json -> float32 (G, K), the probabilities to
            expect under it, looked at once.
        golden_tolerance: Largest difference of probabilities to expect between machines.
        operators: ONNX operator -> number of nodes.
        facts: All of bundle.json.
    """

    name: str
    digest: str
    heads: tuple[Head, ...]
    rules: Mapping[str, AnswerRule]
    input_name: str
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


def open_bundle(source: str | os.PathLike[str] = SHIPPED) -> Bundle:
    """Read and check a model.

    Args:
        source: A folder, a zip, or `shipped`: the model inside this package.

    Raises:
        BundleError: naming the field, if it is absent, damaged, foreign, unsafe or of a newer mien.
    """
    if source == SHIPPED:
        where = Path(str(importlib.resources.files("mien") / "models" / SHIPPED))
        if not where.is_dir():
            raise BundleError(
                SHIPPED,
                "models/shipped",
                came="no such folder in this installation",
                expected="the model that comes with mien",
                mend="install mien from its wheel again, or name a model of your own (mien export RUN)",
            )
        # Some installers make every file a link into their store: links are refused elsewhere only.
        return _check(where, read_folder(where, links=True))
    where = Path(source)
    if where.is_dir():
        return _check(where, read_folder(where))
    if not where.exists():
        raise BundleError(
            where,
            "path",
            came="nothing",
            expected="a folder or zip written by mien export",
            mend="check the spelling, or use the model that comes with mien: shipped",
        )
    return _check(where, read_zip(where))


def write_bundle(
    target: Path,
    *,
    model: bytes,
    golden_faces: np.ndarray,
    golden_logits: Mapping[str, np.ndarray],
    facts: Mapping[str, Any],
) -> Bundle:
    """Write a model, whole or not at all, and open it again.

    Args:
        target: A folder, or a zip where the name ends in `.zip`. A model that lies there is
            replaced.
        model: An ONNX file.
        golden_faces: uint8 (G, 48, 48, 1), 1 <= G <= 256.
        golden_logits: Head name -> float32 (G, K).
        facts: What bundle.json holds besides format, hashes and input contract: name, heads,
            input_name, precision, licence, training, metrics, parity, versions, golden_tolerance.

    Raises:
        BundleError: if what was given does not make a valid model, or the target cannot be written.
    """
    golden = npz_bytes(
        {
            "faces": golden_faces,
            **{f"logits_{name}": logits for name, logits in golden_logits.items()},
            **_golden_answers(target, facts, golden_logits),
        }
    )
    contents = {MODEL: model, GOLDEN: golden}
    whole = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        **facts,
        "input": {"name": facts["input_name"], **_INPUT},
        "files": {
            name: {"bytes": len(data), "sha256": _sha256(data)} for name, data in contents.items()
        },
    }
    del whole["input_name"]
    try:
        whole["sha256"] = _own_hash(whole)
        contents[FACTS] = json.dumps(whole, indent=1, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise BundleError(
            target,
            f"{FACTS}: facts",
            came=f"a value that JSON cannot hold ({error})",
            expected="texts, finite numbers, lists and objects",
            mend="turn arrays into lists, and NaN into None",
        ) from error
    if len(model) > MAX_BYTES[MODEL]:
        raise BundleError(
            target,
            MODEL,
            came=f"{len(model) / 1e6:.0f} MB",
            expected=f"at most {MAX_BYTES[MODEL] / 1e6:.0f}",
            mend="train a smaller network",
        )
    bundle = _check(target, contents)  # nothing that could not be opened is written
    refuse_foreign(target)
    temporary = target.with_name(
        f".{target.name}.{uuid.uuid4().hex[:8]}.tmp"
    )  # new, also after a kill
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix == ".zip":
            temporary.write_bytes(zip_bytes(contents))
        else:
            temporary.mkdir()
            for name, data in contents.items():
                (temporary / name).write_bytes(data)
        put(temporary, target)
    except OSError as error:
        raise BundleError(
            target,
            "path",
            came=f"an error while writing ({error.strerror})",
            expected="a place to write",
            mend="free space, or choose another place",
        ) from error
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        elif temporary.exists():
            temporary.unlink()
    return bundle


def _golden_answers(
    target: Path, facts: Mapping[str, Any], logits: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Array name -> what is shown for the golden faces under each prior that `facts` name."""
    if "answer" not in facts:
        return {}
    known = _Facts(target, facts)
    heads = _heads(known)
    if set(logits) != {head.name for head in heads}:
        return {}  # refused when all of it is checked
    told = {head.name: softmax(logits[head.name], head.temperature) for head in heads}
    labels = {head.name: head.labels for head in heads}
    rules = _rules(known, heads)
    return {f"answer_{prior}": rule.answer(told, labels) for prior, rule in rules.items()}


# Checking


class _Facts:
    """bundle.json, asked for one field at a time; each refusal names the field."""

    def __init__(self, where: Path, found: Mapping[str, Any]) -> None:
        self.where = where
        self.found = found

    def refuse(self, name: str, came: object, expected: str) -> NoReturn:
        text = repr(came)
        raise BundleError(
            self.where,
            f"{FACTS}: {name}",
            came=text if len(text) < 100 else text[:97] + "...",
            expected=expected,
        )

    def get(
        self,
        name: str,
        kind: type | tuple[type, ...],
        expected: str,
        inside: Any = None,
        path: str = "",
    ) -> Any:
        values = self.found if inside is None else inside
        if not isinstance(values, dict) or name not in values:
            self.refuse(path + name, None, expected)
        value = values[name]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            self.refuse(path + name, value, expected)
        return value

    def text(self, name: str, inside: Any = None, path: str = "") -> str:
        value: str = self.get(name, str, "a text of 1 to 200 characters", inside, path)
        if not 1 <= len(value) <= 200 or not value.isprintable():
            self.refuse(path + name, value, "a text of 1 to 200 characters")
        return value

    def number(
        self, name: str, low: float, high: float, inside: Any = None, path: str = ""
    ) -> float:
        expected = f"a number from {low:g} to {high:g}"
        value = self.get(name, (int, float), expected, inside, path)
        if not low <= value <= high:
            self.refuse(path + name, value, expected)
        return float(value)


def _check(where: Path, contents: Mapping[str, bytes]) -> Bundle:
    facts = _Facts(where, _parse(where, contents[FACTS]))
    if facts.get("format", str, repr(FORMAT)) != FORMAT:
        facts.refuse("format", facts.found["format"], repr(FORMAT))
    version = facts.get("format_version", int, f"{FORMAT_VERSION}")
    if version > FORMAT_VERSION:
        raise BundleError(
            where,
            f"{FACTS}: format_version",
            came=str(version),
            expected=f"at most {FORMAT_VERSION}: a newer mien wrote it",
            mend="pip install --upgrade mien",
        )
    if version < 1:
        facts.refuse("format_version", version, f"1 to {FORMAT_VERSION}")
    digest = facts.text("sha256")
    if digest != _own_hash(facts.found):
        facts.refuse(
            "sha256",
            digest,
            "the sha256 of the other fields: the file was changed after it was written",
        )
    _check_files(facts, contents)
    heads = _heads(facts)
    rules = _rules(facts, heads)
    input_name = _input(facts)
    graph = read_onnx(contents[MODEL], where)
    _check_graph(where, graph, input_name, heads)
    priors = list(rules) if "answer" in facts.found else []
    faces, logits, answers = _goldens(where, contents[GOLDEN], heads, priors)
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
        facts=facts.found,
    )


def _parse(where: Path, data: bytes) -> dict[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) != len(pairs):
            raise ValueError("a name occurs twice in one object")
        return dict(pairs)

    def finite(text: str) -> float:
        value = float(text)
        if not math.isfinite(value):
            raise ValueError(f"the number {text[:20]}")
        return value

    try:
        found = json.loads(
            data.decode("utf-8"), object_pairs_hook=once, parse_float=finite, parse_constant=finite
        )
    except (ValueError, RecursionError) as error:
        raise BundleError(
            where, FACTS, came=f"no JSON ({str(error)[:200]})", expected="a JSON object"
        ) from error
    if not isinstance(found, dict):
        raise BundleError(where, FACTS, came=type(found).__name__, expected="a JSON object")
    return found


def _own_hash(facts: Mapping[str, Any]) -> str:
    """sha256 of all fields but `sha256`, written without blanks, names sorted."""
    rest = {name: value for name, value in facts.items() if name != "sha256"}
    return _sha256(
        json.dumps(rest, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    )


def _check_files(facts: _Facts, contents: Mapping[str, bytes]) -> None:
    files = facts.get("files", dict, f"an object with {MODEL} and {GOLDEN}")
    if sorted(files) != sorted((MODEL, GOLDEN)):
        facts.refuse("files", sorted(files), f"{GOLDEN} and {MODEL}")
    for name in files:
        known = facts.get(name, dict, "bytes and sha256", files, "files.")
        size = facts.get("bytes", int, "the file's size", known, f"files.{name}.")
        if len(contents[name]) != size:
            raise BundleError(
                facts.where,
                name,
                came=f"{len(contents[name])} bytes",
                expected=f"{size}, as {FACTS} says",
            )
        if facts.text("sha256", known, f"files.{name}.") != _sha256(contents[name]):
            raise BundleError(
                facts.where,
                name,
                came="bytes with another sha256",
                expected=f"those that {FACTS} was written for",
            )


def _heads(facts: _Facts) -> tuple[Head, ...]:
    found = facts.get("heads", list, "a list of heads")
    if not 1 <= len(found) <= MAX_HEADS:
        facts.refuse("heads", f"{len(found)} heads", f"1 to {MAX_HEADS}")
    heads = list[Head]()
    for i, one in enumerate(found):
        path = f"heads[{i}]."
        name = facts.text("name", one, path)
        if not _NAME.fullmatch(name) or name in [head.name for head in heads]:
            facts.refuse(f"{path}name", name, "a name of its own, of a-z, 0-9 and _")
        labels = facts.get("labels", list, f"2 to {MAX_LABELS} distinct names", one, path)
        sound = all(
            isinstance(x, str) and 1 <= len(x) <= MAX_LETTERS and x.isprintable() for x in labels
        )
        if not sound or not 2 <= len(labels) <= MAX_LABELS or len(set(labels)) != len(labels):
            facts.refuse(f"{path}labels", labels, f"2 to {MAX_LABELS} distinct names")
        temperature, best = _temperatures(facts, one, path)
        heads.append(
            Head(name, LabelSet(tuple(labels)), temperature, facts.text("output", one, path), best)
        )
    return tuple(heads)


def _rules(facts: _Facts, heads: tuple[Head, ...]) -> dict[str, AnswerRule]:
    """Name of a prior -> its rule, the default first."""
    main = heads[0]
    if "answer" not in facts.found:
        return {TRAINING: plain_rule(main.name, len(main.labels))}
    found = facts.get("answer", dict, "an object")
    priors = facts.get("priors", dict, "1 to 16 priors by name", found, "answer.")
    if not 1 <= len(priors) <= MAX_PRIORS or not all(_NAME.fullmatch(name) for name in priors):
        facts.refuse("answer.priors", list(priors), "1 to 16 names of a-z, 0-9 and _")
    default = facts.text("default", found, "answer.")
    if default not in priors:
        facts.refuse("answer.default", default, f"one of {', '.join(priors)}")
    return {
        name: _rule(facts, name, priors[name], heads)
        for name in sorted(priors, key=lambda name: name != default)
    }


def _rule(facts: _Facts, prior: str, found: Any, heads: tuple[Head, ...]) -> AnswerRule:
    path, labels = f"answer.priors.{prior}.", heads[0].labels
    weights = facts.get("weights", dict, "an object of numbers", found, path)
    weights = {name: facts.number(name, 0, 1, weights, path + "weights.") for name in weights}
    known = {head.name for head in heads}
    if not set(weights) <= known or not math.isclose(sum(weights.values()), 1, abs_tol=1e-6):
        facts.refuse(path + "weights", weights, "shares of heads that sum to 1")
    for head in heads[1:]:
        if weights.get(head.name) and not set(labels) <= set(head.labels):
            expected = "0: the head lacks labels of the first"
            facts.refuse(f"{path}weights.{head.name}", weights[head.name], expected)
    shares = None
    if found.get("class_shares") is not None:
        shares = _by_label(facts, "class_shares", found, path, labels, (0, 1))
        if not math.isclose(sum(shares), 1, abs_tol=1e-6):
            facts.refuse(path + "class_shares", list(shares), "shares that sum to 1")
    return AnswerRule(
        prior,
        shares,
        weights,
        _by_label(facts, "log_factors", found, path, labels, (-20, 20)),
        *_temperatures(facts, found, path),
        facts.number("certain_from", 0, 1, found, path),
    )


def _by_label(
    facts: _Facts,
    name: str,
    found: Any,
    path: str,
    labels: LabelSet,
    limits: tuple[float, float],
) -> tuple[float, ...]:
    """An object of numbers by label, in the order of the labels."""
    values = facts.get(name, dict, "a number for each label", found, path)
    if set(values) != set(labels):
        facts.refuse(path + name, sorted(values), f"the labels {', '.join(labels)}")
    return tuple(facts.number(label, *limits, values, f"{path}{name}.") for label in labels)


def _training(facts: _Facts) -> dict[str, Any]:
    """What is known of the network's making: all of it optional, but what mien reads has the type
    it expects.
    """
    training: dict[str, Any] = facts.get("training", dict, "an object")
    for path, known in (("training.", training), ("training.data.", training.get("data") or {})):
        for name, (kind, expected) in _MAKING[path].items():
            if known.get(name) is not None:
                facts.get(name, kind, f"{expected}, or null", known, path)
    return training


def _temperatures(facts: _Facts, inside: Any, path: str) -> tuple[float, float]:
    fast, best = TEMPERATURE.values()
    value = facts.number(fast, 0.01, 100, inside, path)
    return value, facts.number(best, 0.01, 100, inside, path) if best in inside else value


def _input(facts: _Facts) -> str:
    contract = facts.get("input", dict, "an object")
    for name, value in _INPUT.items():
        if contract.get(name) != value:
            facts.refuse(f"input.{name}", contract.get(name), str(value))
    return facts.text("name", contract, "input.")


def _check_graph(where: Path, graph: OnnxFile, input_name: str, heads: tuple[Head, ...]) -> None:
    wanted = (input_name, "float32", (None, FACE_SIDE, FACE_SIDE, 1))
    inputs = [(one.name, one.dtype, one.shape) for one in graph.inputs]
    if inputs != [wanted]:
        raise BundleError(
            where, f"{MODEL}: graph.input", came=str(inputs)[:200], expected=str([wanted])
        )
    outputs = {one.name: (one.dtype, one.shape) for one in graph.outputs}
    if len(graph.outputs) != len(heads) or set(outputs) != {head.output for head in heads}:
        expected = ", ".join(head.output for head in heads)
        raise BundleError(
            where, f"{MODEL}: graph.output", came=", ".join(outputs)[:200], expected=expected
        )
    for head in heads:
        if outputs[head.output] != ("float32", (None, len(head.labels))):
            raise BundleError(
                where,
                f"{MODEL}: graph.output {head.output}",
                came=str(outputs[head.output]),
                expected=f"float32 (N, {len(head.labels)}): a column for each of the head's labels",
            )


def _goldens(
    where: Path, data: bytes, heads: tuple[Head, ...], priors: Collection[str]
) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The faces, what each head answers to them, and what is shown under each prior."""
    arrays = read_npz(where, data)
    expected = {"faces", *(f"logits_{head.name}" for head in heads)}
    expected |= {f"answer_{prior}" for prior in priors}
    if set(arrays) != expected:
        raise BundleError(
            where, GOLDEN, came=f"the arrays {sorted(arrays)}", expected=str(sorted(expected))
        )
    faces = arrays["faces"]
    num = len(faces) if faces.ndim else 0
    wanted: dict[str, tuple[str, tuple[int, ...]]] = {
        "faces": ("uint8", (num, FACE_SIDE, FACE_SIDE, 1))
    }
    wanted |= {f"logits_{head.name}": ("float32", (num, len(head.labels))) for head in heads}
    wanted |= {f"answer_{prior}": ("float32", (num, len(heads[0].labels))) for prior in priors}
    for name, (dtype, shape) in wanted.items():
        array = arrays[name]
        if not 1 <= num <= MAX_GOLDENS or str(array.dtype) != dtype or array.shape != shape:
            raise BundleError(
                where,
                f"{GOLDEN}: {name}",
                came=f"{array.dtype} {array.shape}",
                expected=f"{dtype} {('G', *shape[1:])}, G from 1 to {MAX_GOLDENS}",
            )
        if not np.isfinite(array).all():
            raise BundleError(
                where,
                f"{GOLDEN}: {name}",
                came="values that are not finite",
                expected="finite ones",
            )
    logits = {head.name: arrays[f"logits_{head.name}"] for head in heads}
    return faces, logits, {prior: arrays[f"answer_{prior}"] for prior in priors}


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
