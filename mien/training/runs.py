"""A run folder: what it holds, who may write it, and the network in it.

run.json        recipe, data fingerprint, versions; once trained also history, cost, and why
                training stopped
history.jsonl   a line for each epoch
checkpoints/    the newest two (`mien.training.checkpoint`)
best-0007/      the averaged weights of the best epoch, verified by hash when they are read
model.keras     the same weights as Keras saves them, for use elsewhere; mien does not read it
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import keras
import numpy as np
import tensorflow as tf

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
    """A run folder that holds a network.

    Attributes:
        folder: Where it lies.
        recipe: What it was trained by.
        label_set: What its outputs mean.
        facts: What `run.json` holds: data, versions, history, parameters, multiply_adds,
            seconds_per_epoch, peak_memory_mb, best_epoch, stopped.
    """

    folder: Path
    recipe: Recipe
    label_set: LabelSet
    facts: dict[str, Any]


def load_run(folder: str | os.PathLike[str]) -> Run:
    """The run in a folder that `fit` wrote.

    Raises:
        RunError: if there is none, or it has no network yet.
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
        got, fix = (
            ("a file", "name data with --data")
            if folder.is_file()
            else (f"no {RUN_FILE}", "check the path")
        )
        raise RunError(
            f"{folder}: got {got}; expected a folder that `mien train` wrote. Fix: {fix}"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{folder / RUN_FILE}: got a file that cannot be read ({error}); expected that of a "
            "run. Fix: train again with --fresh"
        ) from error


def load_network(run: Run) -> keras.Model:
    """The network of a run, with the weights of its best epoch, verified by their hashes.

    Raises:
        RunError: if they are missing or damaged, or belong to another network than this version
            builds.
    """
    try:
        arrays, _ = checkpoint.read_verified(best_folder(run.folder, run.facts["best_epoch"]))
    except RunError as error:
        raise RunError(str(error)) from error
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
    """float32 (N, K) probabilities of the main head for uint8 (N, S, S, 1) faces."""
    return next(iter(predict_heads(model, images).values()))


def predict_heads(
    model: keras.Model, images: np.ndarray, *, side: int | None = None
) -> dict[str, np.ndarray]:
    """Head name -> float32 (N, K) probabilities for uint8 (N, S, S, 1) faces, the main head
    first.

    Args:
        model: What `mien.training.models.build` made.
        images: The faces.
        side: Resample the faces to this side in pixels first; None: to the one it takes.
    """
    if side is None:
        side = model.input_shape[1] or images.shape[1]
        images = all_resized(images, side)
    parts = []
    for start in range(0, max(len(images), 1), PREDICT_BATCH):
        answer = model(
            resize(tf.cast(images[start : start + PREDICT_BATCH], tf.float32), side), training=False
        )
        parts.append(answer if isinstance(answer, dict) else {models.MAIN: answer})
    return {name: np.concatenate([np.asarray(part[name]) for part in parts]) for name in parts[0]}


def evaluated(network: keras.Model, part: Dataset, *, side: int | None = None) -> dict[str, float]:
    """What a network scores on labelled faces: `val_loss`, that loss with the temperature that
    suits these faces best, `val_calibrated_loss`, `val_accuracy` and, of a head for the votes,
    where the faces have some, `val_votes_accuracy` by FER+'s majority protocol."""
    answers = predict_heads(network, part.images, side=side)
    probabilities = next(iter(answers.values()))
    logits = np.log(np.maximum(probabilities, 1e-7))
    scores = {
        "val_loss": nll(part.labels, logits, 1.0),
        "val_calibrated_loss": nll(part.labels, logits, fit_temperature(part.labels, logits)),
        "val_accuracy": float(np.mean(probabilities.argmax(axis=1) == part.labels)),
    }
    if VOTES_HEAD in answers and part.votes is not None:
        winner = majority(part.votes)
        right = answers[VOTES_HEAD].argmax(axis=1) == winner
        if np.any(winner >= 0):
            scores["val_votes_accuracy"] = float(np.mean(right[winner >= 0]))
    return scores


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder for this process alone.

    Raises:
        RunError: if another process holds it, or it cannot be written.
    """
    lock = filelock.FileLock(folder / ".lock", timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # The operating system frees the lock when its process dies, however it dies.
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
    """Delete the run in the folder, and nothing else that may lie there."""
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
    """What the folder knows of its run; None if it is empty.

    Raises:
        RunError: if it holds a run with another recipe or other data.
    """
    try:
        known = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
        pairs = [("data", known["data"]["fingerprint"], facts["data"]["fingerprint"])]
        pairs += [
            ("labels", known["labels"], facts["labels"]),
            ("deterministic", known["deterministic"], facts["deterministic"]),
            ("teachers", known.get("teachers", []), facts["teachers"]),
        ]
        pairs += [
            ("votes", known["data"].get("votes", facts["data"]["votes"]), facts["data"]["votes"])
        ]
        begun, begins = ((one.get("begun_from") or {}).get("digest") for one in (known, facts))
        pairs += [("digest of what it began with", begun, begins)]
        # Through Recipe, so that a run of before a field was added has that field's default.
        new, old = (
            json.loads(json.dumps(Recipe.from_dict(one["recipe"]).to_dict()))
            for one in (facts, known)
        )
        # What `init` names may have another path now: its digest says whether it is the same.
        pairs += [(name, old[name], new[name]) for name in new if name != "init" or not begins]
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


def known_of(name: str, digest: str, training: Mapping[str, Any]) -> dict[str, Any]:
    """What a run or bundle remembers of another one that it learned from: `name`, `digest`, `data`,
    `photographs`, `keep_leaks`.

    Args:
        name: Of the other.
        digest: Of its weights or bundle.
        training: Its facts of training, of a run or a bundle.
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
    """Where the weights of a best epoch lie."""
    return folder / f"best-{epoch:04d}"


def best_folders(folder: Path) -> dict[int, Path]:
    """Epoch -> where its weights lie, of all that are there."""
    named = {path: re.fullmatch(r"best-(\d{4,})", path.name) for path in folder.glob("best-*")}
    return {int(name[1]): path for path, name in named.items() if name}


def best_epoch(history: Sequence[Mapping[str, float]], by: str = "accuracy") -> int:
    """The epoch (from 1) of the best validation score that `by` names; 0 for no epochs.

    `accuracy`: the highest, of equals the one of lower loss; `loss`: the lowest, calibrated;
    `last`: the last epoch, whatever its scores (`Recipe.choose_by`). Epochs at other sides of the
    faces than the last one's take no part.
    """
    if not history or by == "last":
        return len(history)
    side = history[-1].get("side")
    lines = {n: line for n, line in enumerate(history, 1) if line.get("side") == side}
    if by == "accuracy":
        return max(lines, key=lambda n: (lines[n]["val_accuracy"], -lines[n]["val_loss"], -n))
    # A run that an older version began has epochs without it: like is compared with like.
    known = all("val_calibrated_loss" in line for line in lines.values())
    return min(lines, key=lambda n: (lines[n]["val_calibrated_loss" if known else "val_loss"], n))
