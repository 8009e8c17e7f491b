"""What the heads are trained towards: labels and votes, smoothed, and teachers' predictions."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from mien.bundle import Bundle
from mien.constants import FACE_SIDE
from mien.data.dataset import UNLABELLED, Dataset
from mien.data.votes import vote_shares
from mien.errors import UsageError
from mien.labels import FERPLUS, FERPLUS_VOTES, VOTES_HEAD
from mien.training import face_api, models, transfer
from mien.training.recipe import Recipe


@dataclass(frozen=True, eq=False)
class Targets:
    """Targets of n training faces.

    Attributes:
        labels: float32 (n, K), rows sum to 1.
        weights: float32 (n,), of each row's loss: its class weight.
        shares: float32 (n, 8) for the vote head, rows sum to 1 or are zeros; None without that
            head.
        share_weights: float32 (n,), of each row's loss in the vote head; 0 where nobody voted.
    """

    labels: np.ndarray
    weights: np.ndarray
    shares: np.ndarray | None
    share_weights: np.ndarray


def make_targets(training: Dataset, recipe: Recipe) -> Targets:
    """Labels with `Recipe.label_smoothing`, `Recipe.soft_label_weight` and
    `Recipe.face_api_weight`, and votes.

    Raises:
        UsageError: if votes are wanted and there are none, or face-api does not know the labels.
        DataError, DownloadError: if face-api's weights are wanted and cannot be had.
    """
    num = len(training.label_set)
    known = training.labels != UNLABELLED  # photographs teach the head of the votes alone
    truth = np.eye(num, dtype=np.float32)[np.where(known, training.labels, 0)]
    labels = truth * (1 - recipe.label_smoothing) + recipe.label_smoothing / num
    if recipe.soft_label_weight:
        told_by_votes, voted = labels_by_votes(training)
        labels[voted] += recipe.soft_label_weight * (told_by_votes[voted] - labels[voted])
    weights = class_weights(training.counts()[0], recipe.class_weights)[training.labels].astype(
        np.float32
    )
    weights[~known] = 0
    if share := recipe.face_api_weight:
        told = face_api.answers(training.images[known], training.label_set)
        labels[known] += share * (told - labels[known])
    shares, share_weights = None, np.zeros(len(training), np.float32)
    if recipe.votes_weight and training.votes is not None:
        shares = vote_shares(training.votes)
        share_weights = (shares.sum(axis=1) > 0).astype(np.float32)
    return Targets(labels, weights, shares, share_weights)


def joined(training: Dataset, photographs: Dataset) -> Dataset:
    """Training rows and, after them, photographs: without labels, ten votes for what they show."""
    votes = np.zeros((len(photographs), len(FERPLUS_VOTES)), np.uint8)
    columns = [
        FERPLUS_VOTES.index(name) if name in FERPLUS_VOTES else -1 for name in photographs.label_set
    ]
    votes[np.arange(len(photographs)), np.array(columns)[photographs.labels]] = 10
    before = training.votes
    if before is None:
        before = np.zeros((len(training), len(FERPLUS_VOTES)), np.uint8)
    unlabelled = np.full(len(photographs), UNLABELLED, training.labels.dtype)
    return dataclasses.replace(
        training,
        images=np.concatenate([training.images, photographs.resized(training.side).images]),
        labels=np.concatenate([training.labels, unlabelled]),
        splits=np.concatenate([training.splits, np.zeros_like(photographs.splits)]),
        rows=np.concatenate([training.rows, photographs.rows]),
        votes=np.concatenate([before, votes]),
    )


def mixed(shares: tf.Tensor, weights: tf.Tensor, own: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Targets (N, K) and their weights (N,) of faces that `augment.mix` made."""
    mine, theirs = own * weights, (1 - own) * tf.reverse(weights, [0])
    both = mine + theirs
    shares = mine[:, None] * shares + theirs[:, None] * tf.reverse(shares, [0])
    return tf.math.divide_no_nan(shares, both[:, None]), both


def taught(
    shares: tf.Tensor, weights: tf.Tensor, answers: tf.Tensor, share: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Targets (N, K) and their weights (N,), a share of them as teachers told; all of a target that
    weighs nothing.
    """
    known = weights > 0
    shares = tf.where(known[:, None], (1 - share) * shares + share * answers, answers)
    return shares, tf.where(known, weights, share)


def labels_by_votes(training: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """How likely each label is, given how the annotators voted on the face: what the labels' noise
    is to be smoothed with.

    The linear map from vote shares and their square roots to labels with the least squared error on
    these faces: of less noise than the label by itself, as soft as people's votes are.

    Returns:
        float32 (n, K), rows sum to 1, and bool (n,): whether anybody voted; rows of others mean
        nothing.

    Raises:
        UsageError: if the data has no votes.
    """
    if training.votes is None:
        raise UsageError(
            "soft_label_weight: got data without FER+ votes; expected votes. Fix: give them, or "
            "soft_label_weight=0"
        )
    votes = training.votes.astype(np.float64)
    voted = votes.sum(axis=1) > 0
    shares = votes / np.maximum(votes.sum(axis=1, keepdims=True), 1)
    truth = np.eye(len(training.label_set))[training.labels]
    features = np.concatenate([shares, np.sqrt(shares)], axis=1)
    weights, *_ = np.linalg.lstsq(features[voted], truth[voted], rcond=None)
    likely = np.maximum(features @ weights, 1e-3)
    return np.asarray(likely / likely.sum(axis=1, keepdims=True), np.float32), voted


def class_weights(counts: np.ndarray, kind: str) -> np.ndarray:
    """float64 (K,): the weight of each class in the loss, so that the mean over the rows is 1.

    `balanced` is n / (K n_c); `sqrt` goes half of that way (its square root, rescaled); `none` is
    1.
    """
    if kind == "none":
        return np.ones(len(counts))
    weights = counts.sum() / (len(counts) * counts)
    if kind == "sqrt":
        weights = np.sqrt(weights)
    return np.asarray(weights * counts.sum() / (weights * counts).sum())


def teacher_network(teacher: Bundle, training: Dataset, recipe: Recipe, policy: str) -> keras.Model:
    """The network of a bundle in the student's graph: faces (N, side, side, 1) -> logits by the
    student's heads' names.

    (Hinton et al. 2015, https://arxiv.org/abs/1503.02531; a student that is no smaller than its
    teacher gains too: Furlanello et al. 2018, https://arxiv.org/abs/1805.04770.)

    Raises:
        UsageError: if it cannot teach these faces, or not at the sides of the recipe's stages.
        BundleError: if it is int8, or its network cannot be built again with equal answers.
    """
    wanted = models.heads(recipe, training.label_set)
    _check(teacher, training, wants_votes=VOTES_HEAD in wanted)
    theirs, folded = transfer.rebuilt(teacher, teacher.name, "or teach with another bundle")
    if theirs.input_side > recipe.input_side:
        raise UsageError(
            f"teacher {teacher.name}: got a network for faces of {theirs.input_side} px and a "
            f"recipe for {recipe.input_side} px; expected none larger than the student's. Fix: "
            f"give input_side={theirs.input_side}"
        )
    if theirs.dense and any(side != FACE_SIDE for _, side in recipe.stages):
        raise UsageError(
            f"teacher {teacher.name}: got a network with a dense layer, which takes only "
            f"{FACE_SIDE} px, and the stages {recipe.stages}; expected that side only. Fix: give "
            f"stages=[[1,{FACE_SIDE}]]"
        )
    known = {head.name: head for head in teacher.heads}
    fast = models.build_folded(
        theirs,
        {name: head.labels for name, head in known.items()},
        policy=policy,
        any_side=not theirs.dense,
    )
    fast.set_weights(folded.get_weights())
    heads = [
        teacher.heads[0],
        *(known[name] for name in list(wanted)[1:]),
    ]  # the main one, whatever it is called
    outputs = {
        ours: fast.output[head.name] / head.temperature
        for ours, head in zip(wanted, heads, strict=True)
    }
    answers = keras.Model(fast.input, outputs)
    factor = recipe.input_side // theirs.input_side
    if factor <= 1:
        return answers
    faces = keras.Input((None, None, 1))  # at twice the side that the teacher takes
    return keras.Model(faces, answers(keras.layers.AveragePooling2D(factor)(faces)))


def _check(teacher: Bundle, training: Dataset, *, wants_votes: bool) -> None:
    """Refuse a teacher that cannot teach these faces.

    Raises:
        UsageError: if it has other labels, or lacks a head that is trained.
    """
    heads = {head.name: head for head in teacher.heads}
    main = teacher.heads[0]
    if main.labels != training.label_set or (wants_votes and heads.get(VOTES_HEAD) is None):
        raise UsageError(
            f"teacher {teacher.name}: got heads {', '.join(heads)} with the labels "
            f"{', '.join(main.labels)}; expected {', '.join(training.label_set)}"
            + (f" and a head {VOTES_HEAD}" if wants_votes else "")
            + ". Fix: choose another teacher"
        )
    if wants_votes and heads[VOTES_HEAD].labels != FERPLUS:
        raise UsageError(
            f"teacher {teacher.name}: got a vote head of other labels; expected "
            f"{', '.join(FERPLUS)}. Fix: choose another teacher"
        )
