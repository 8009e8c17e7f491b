"""Run folders: read the facts and the network of a run, lock the folder, delete a run.

run.json        recipe, data fingerprint, versions; after training also history, cost, and why
                training stopped
history.jsonl   a line for each epoch
checkpoints/    the newest two (`mien.training.checkpoint`)
best-0007/      the averaged weights of the best epoch, verified by hash when they are read
model.keras     the same weights in Keras' own format, for use elsewhere; mien does not read it
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import keras
import numpy as np
import tensorflow as tf

from mien.bundle import SHIPPED
from mien.bundle.files import FACTS
from mien.data.dataset import Dataset
from mien.data.votes import majority
from mien.errors import RunError
from mien.labels import VOTES_HEAD, LabelSet
from mien.training import checkpoint, models
from mien.training.augment import resize
from mien.training.calibration import fit_temperature, nll
from mien.training.recipe import Recipe
from mien.vision.preprocess import all_resized

RUN_FILE = "run.json"
PREDICT_BATCH = 256


@dataclass(frozen=True)
class Run:
    """A run folder with a trained network.

    Attributes:
        folder: Its path.
        recipe: The recipe that the network was trained with.
        label_set: The labels of the main head, in the order of its outputs.
        facts: The contents of `run.json`: data, versions, history, parameters, multiply_adds,
            seconds_per_epoch, peak_memory_mb, best_epoch, stopped.
    """

    folder: Path
    recipe: Recipe
    label_set: LabelSet
    facts: dict[str, Any]


def load_run(folder: str | os.PathLike[str]) -> Run:
    """Read a run folder that `fit` wrote.

    Raises:
        RunError: if the folder holds no run, or one without a finished network.
    """
    folder = Path(folder)
    try:
        facts = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
        if "best_epoch" not in facts:
            raise RunError(
                f"{folder}: got a run without a finished network; expected a finished run. Fix: "
                "run the same training command again"
            )
        return Run(
            folder, Recipe.from_dict(facts["recipe"]), LabelSet(tuple(facts["labels"])), facts
        )
    except (FileNotFoundError, NotADirectoryError) as error:
        if _is_bundle(folder):
            got, fix = "a bundle", f"name it with --bundle (mien evaluate --bundle {folder} DATA)"
        elif folder.is_file():
            got, fix = "a file", "name data with --data"
        else:
            got, fix = f"no {RUN_FILE}", "check the path"
        raise RunError(
            f"{folder}: got {got}; expected a folder that `mien train` wrote. Fix: {fix}"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{folder / RUN_FILE}: got a file that cannot be read ({error}); expected that of a "
            "run. Fix: train again with --fresh"
        ) from error


def _is_bundle(path: Path) -> bool:
    if path.is_dir():
        return (path / FACTS).is_file()
    if not path.is_file():
        return str(path) == SHIPPED
    with contextlib.suppress(OSError, zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
        return any(Path(name).name == FACTS for name in archive.namelist())
    return False


def load_network(run: Run) -> keras.Model:
    """Build the network of a run with the weights of its best epoch, verified by their hashes.

    Raises:
        RunError: if the weights are missing or damaged, or do not fit the network that this version
            builds.
    """
    arrays, _ = checkpoint.read_verified(best_folder(run.folder, run.facts["best_epoch"]))
    model = models.build(run.recipe, run.label_set)
    values = [arrays[name] for name in sorted(arrays)]
    if [value.shape for value in values] != [tuple(weight.shape) for weight in model.weights]:
        raise RunError(
            f"{run.folder}: got weights of another version of mien or Keras; expected those of "
            "this version's network. Fix: use that version, or train again with --fresh"
        )
    model.set_weights(values)
    return model


def predict(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Probabilities of the main head, float32 (N, K), for faces, uint8 (N, S, S, 1)."""
    return next(iter(predict_heads(model, images).values()))


def predict_heads(
    model: keras.Model, images: np.ndarray, *, side: int | None = None
) -> dict[str, np.ndarray]:
    """Probabilities of each head for a set of faces.

    Args:
        model: A network of `mien.training.models.build`.
        images: Faces, uint8 (N, S, S, 1).
        side: Side in pixels to which the faces are resampled; None: the side of the network.

    Returns:
        Head name -> float32 (N, K), the main head first.
    """
    if side is None:
        side = model.input_shape[1] or images.shape[1]
        images = all_resized(images, side)
    parts = []
    for start in range(0, max(len(images), 1), PREDICT_BATCH):
        batch = tf.cast(images[start : start + PREDICT_BATCH], tf.float32)
        outputs = model(resize(batch, side), training=False)
        parts.append(outputs if isinstance(outputs, dict) else {models.MAIN: outputs})
    return {name: np.concatenate([np.asarray(part[name]) for part in parts]) for name in parts[0]}


def evaluated(network: keras.Model, part: Dataset, *, side: int | None = None) -> dict[str, float]:
    """Scores of a network on labelled faces.

    Args:
        network: A network of `mien.training.models.build`.
        part: The faces, all labelled.
        side: As for `predict_heads`.

    Returns:
        `val_loss`, negative log-likelihood in nats; `val_calibrated_loss`, the same at the
        temperature that fits these faces best; `val_accuracy`; and `val_votes_accuracy`, that of
        the vote head by FER+'s majority protocol, if the faces have votes.
    """
    heads = predict_heads(network, part.images, side=side)
    probabilities = next(iter(heads.values()))
    logits = np.log(np.maximum(probabilities, 1e-7))
    scores = {
        "val_loss": nll(part.labels, logits, 1.0),
        "val_calibrated_loss": nll(part.labels, logits, fit_temperature(part.labels, logits)),
        "val_accuracy": float(np.mean(probabilities.argmax(axis=1) == part.labels)),
    }
    if VOTES_HEAD in heads and part.votes is not None:
        winner = majority(part.votes)
        right = heads[VOTES_HEAD].argmax(axis=1) == winner
        if np.any(winner >= 0):
            scores["val_votes_accuracy"] = float(np.mean(right[winner >= 0]))
    return scores


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock the folder for this process; the operating system frees the lock if the process dies.

    Raises:
        RunError: if another process holds the lock, or the folder cannot be written.
    """
    lock = filelock.FileLock(folder / ".lock", timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except filelock.Timeout as error:
        raise RunError(
            f"{folder}: got a folder in which another process trains; expected one that is not in "
            "use. Fix: wait for it, or choose another with --out"
        ) from error
    except OSError as error:
        raise checkpoint.cannot_write(folder, error, "nothing was changed") from error
    try:
        for place in (folder, folder / "checkpoints"):
            checkpoint.sweep(place)
        yield
    finally:
        lock.release()


def clear(folder: Path) -> None:
    """Delete the run in the folder, but no other files."""
    for path in [folder / "checkpoints", *best_folders(folder).values()]:
        if path.is_dir():
            shutil.rmtree(path)
    curves = folder / "tensorboard"
    for path in curves.glob("events.out.tfevents.*"):
        path.unlink()
    if curves.is_dir() and not curves.is_symlink() and not any(curves.iterdir()):
        curves.rmdir()
    for name in (RUN_FILE, "history.jsonl", "model.keras"):
        (folder / name).unlink(missing_ok=True)


def known_run(folder: Path, facts: dict[str, Any]) -> dict[str, Any] | None:
    """The facts of an unfinished or finished run in the folder, which `facts` would continue.

    Returns:
        The contents of `run.json`; None if the folder holds no run.

    Raises:
        RunError: if the run has another recipe, other data, photographs, teachers or starting
            weights.
    """
    try:
        known = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
        pairs = [("data", known["data"]["fingerprint"], facts["data"]["fingerprint"])]
        pairs += [
            ("labels", known["labels"], facts["labels"]),
            ("deterministic", known["deterministic"], facts["deterministic"]),
            ("teachers", known.get("teachers", []), facts["teachers"]),
        ]
        old_photographs, new_photographs = (
            (record.get("photographs") or {}).get("fingerprint") for record in (known, facts)
        )
        pairs += [("fingerprint of the photographs", old_photographs, new_photographs)]
        pairs += [
            ("votes", known["data"].get("votes", facts["data"]["votes"]), facts["data"]["votes"])
        ]
        old_start, new_start = (
            (record.get("begun_from") or {}).get("digest") for record in (known, facts)
        )
        pairs += [("digest of what it began with", old_start, new_start)]
        # Through Recipe: a run from before a field was added gets the default of that field.
        new, old = (
            json.loads(json.dumps(Recipe.from_dict(record["recipe"]).to_dict()))
            for record in (facts, known)
        )
        # The file that `init` names may have moved: the digest tells whether it is the same.
        pairs += [(name, old[name], new[name]) for name in new if name != "init" or not new_start]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(
            f"{folder / RUN_FILE}: got a file that cannot be read ({error}); expected that of a "
            "run. Fix: start again with --fresh"
        ) from error
    changed = [f"{name} was {old} and is {now}" for name, old, now in pairs if old != now]
    if changed:
        raise RunError(
            f"{folder}: got a folder with another run ({'; '.join(changed)}); expected the same "
            "settings or a new folder. Fix: choose another folder with --out, or delete that run "
            "with --fresh"
        )
    return known  # type: ignore[no-any-return]


def ancestor(name: str, digest: str, training: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a network that another one started from or was taught by.

    Args:
        name: Its name.
        digest: The digest of its weights or of its bundle.
        training: The facts of its run, or the `training` of its bundle.

    Returns:
        `name`, `digest`, `data`, `photographs` (sources and fingerprints) and `keep_leaks`.
    """
    data = training.get("data") or {}
    photographs = training.get("photographs") or {}
    return {
        "name": name,
        "digest": digest,
        "data": {
            "source": Path(data.get("source", "")).name,
            "fingerprint": data.get("fingerprint"),
            "fingerprints": data.get("fingerprints"),
        },
        "photographs": {
            "source": Path(photographs["source"]).name,
            "fingerprint": photographs.get("fingerprint"),
        }
        if photographs.get("source")
        else None,
        "keep_leaks": (training.get("recipe") or {}).get("keep_leaks"),
    }


def best_folder(folder: Path, epoch: int) -> Path:
    """The folder of the weights of a best epoch."""
    return folder / f"best-{epoch:04d}"


def best_folders(folder: Path) -> dict[int, Path]:
    """Epoch -> folder of its weights, for all `best-*` folders of a run."""
    named = {path: re.fullmatch(r"best-(\d{4,})", path.name) for path in folder.glob("best-*")}
    return {int(name[1]): path for path, name in named.items() if name}


def best_epoch(history: Sequence[Mapping[str, float]], by: str = "accuracy") -> int:
    """The best epoch, counted from 1, by a validation score; 0 for an empty history.

    Only epochs that were trained at the same face side as the last one are compared.

    Args:
        history: A line for each epoch, as in `history.jsonl`.
        by: `accuracy`: the highest, on ties the one of lower loss; `loss`: the lowest calibrated
            loss; `last`: the last epoch, whatever its scores (`Recipe.choose_by`).
    """
    if not history or by == "last":
        return len(history)
    side = history[-1].get("side")
    lines = {n: line for n, line in enumerate(history, 1) if line.get("side") == side}
    if by == "accuracy":
        return max(lines, key=lambda n: (lines[n]["val_accuracy"], -lines[n]["val_loss"], -n))
    # A run that an older version started has epochs without a calibrated loss.
    comparable = all("val_calibrated_loss" in line for line in lines.values())
    loss = "val_calibrated_loss" if comparable else "val_loss"
    return min(lines, key=lambda n: (lines[n][loss], n))
