"""Open a model from disk, and write one: a folder or a zip of three files."""

from __future__ import annotations

import importlib.resources
import json
import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mien.bundle.answer import softmax
from mien.bundle.facts import Facts
from mien.bundle.files import (
    FACTS,
    GOLDEN,
    MAX_BYTES,
    MODEL,
    move_into_place,
    npz_bytes,
    read_folder,
    read_zip,
    refuse_foreign,
    zip_bytes,
)
from mien.bundle.schema import (
    FORMAT,
    FORMAT_VERSION,
    check,
    hash_of,
    heads_of,
    input_contract,
    rules_of,
    sha256_of,
)
from mien.bundle.types import Bundle
from mien.errors import BundleError

SHIPPED = "shipped"


def open_bundle(source: str | os.PathLike[str] = SHIPPED) -> Bundle:
    """Read and check a model.

    Args:
        source: A folder, a zip, or `shipped` for the model inside this package.

    Raises:
        BundleError: naming the field, if the model is missing, damaged, unsafe, written by a newer
            mien, or not a bundle.
    """
    if source == SHIPPED:
        where = Path(str(importlib.resources.files("mien") / "models" / SHIPPED))
        if not where.is_dir():
            raise BundleError(
                SHIPPED,
                "models/shipped",
                got="no such folder in this installation",
                expected="the model that comes with mien",
                fix="reinstall mien from its wheel, or name a model of your own (mien export RUN)",
            )
        # Some installers link every file to a store of their own, so links are allowed here.
        return check(where, read_folder(where, links=True))
    where = Path(source)
    if where.is_dir():
        return check(where, read_folder(where))
    if not where.exists():
        raise BundleError(
            where,
            "path",
            got="nothing: no such file or folder",
            expected="a folder or zip written by mien export",
            fix="check the spelling, or use the model that comes with mien: shipped",
        )
    return check(where, read_zip(where))


def write_bundle(
    target: Path,
    *,
    model: bytes,
    golden_faces: np.ndarray,
    golden_logits: Mapping[str, np.ndarray],
    facts: Mapping[str, Any],
) -> Bundle:
    """Write a model, completely or not at all, and open it again.

    Args:
        target: A folder, or a zip if the name ends in `.zip`. An existing model is replaced.
        model: The bytes of an ONNX file.
        golden_faces: uint8 (G, S, S, 1), where S is the side of the network's input, 1 <= G <= 256.
        golden_logits: Head name -> float32 (G, K).
        facts: The content of bundle.json besides format, hashes and input: name, heads, input_name,
            precision, licence, training, metrics, parity, versions, golden_tolerance.

    Raises:
        BundleError: if the result is not a valid model, or the target cannot be written.
    """
    golden = npz_bytes(
        {
            "faces": golden_faces,
            **{f"logits_{name}": logits for name, logits in golden_logits.items()},
            **_golden_answers(target, facts, golden_logits),
        }
    )
    contract = {"name": facts["input_name"], **input_contract(int(golden_faces.shape[1]))}
    contents = _contents(target, model, golden, {**facts, "input": contract})
    bundle = check(target, contents)  # never write what could not be opened
    refuse_foreign(target)
    # A fresh name, even if a killed process left its own behind.
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix == ".zip":
            temporary.write_bytes(zip_bytes(contents))
        else:
            temporary.mkdir()
            for name, data in contents.items():
                (temporary / name).write_bytes(data)
        move_into_place(temporary, target)
    except OSError as error:
        raise BundleError(
            target,
            "path",
            got=f"an error while writing ({error.strerror})",
            expected="a place that can be written",
            fix="free some space, or choose another place",
        ) from error
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        elif temporary.exists():
            temporary.unlink()
    return bundle


def _contents(
    target: Path, model: bytes, golden: bytes, facts: Mapping[str, Any]
) -> dict[str, bytes]:
    """The three files; bundle.json holds the hashes of the others."""
    contents = {MODEL: model, GOLDEN: golden}
    fields = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        **facts,
        "files": {
            name: {"bytes": len(data), "sha256": sha256_of(data)} for name, data in contents.items()
        },
    }
    del fields["input_name"]
    try:
        fields["sha256"] = hash_of(fields)
        contents[FACTS] = json.dumps(fields, indent=1, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise BundleError(
            target,
            f"{FACTS}: facts",
            got=f"a value that JSON cannot hold ({error})",
            expected="texts, finite numbers, lists and objects",
            fix="turn arrays into lists, and NaN into None",
        ) from error
    if len(model) > MAX_BYTES[MODEL]:
        raise BundleError(
            target,
            MODEL,
            got=f"{len(model) / 1e6:.0f} MB",
            expected=f"at most {MAX_BYTES[MODEL] / 1e6:.0f} MB",
            fix="train a smaller network",
        )
    return contents


def _golden_answers(
    target: Path, facts: Mapping[str, Any], logits: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Array name -> probabilities of the golden faces, for each prior in `facts`."""
    if "answer" not in facts:
        return {}
    checked_facts = Facts(target, facts)
    heads = heads_of(checked_facts)
    if set(logits) != {head.name for head in heads}:
        return {}  # `check` will refuse the bundle
    outputs = {head.name: softmax(logits[head.name], head.temperature) for head in heads}
    labels = {head.name: head.labels for head in heads}
    rules = rules_of(checked_facts, heads)
    return {f"answer_{prior}": rule.answer(outputs, labels) for prior, rule in rules.items()}
