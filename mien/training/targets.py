"""Training targets of the heads, from labels, votes and the predictions of teachers."""

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
from mien.training import face_api, models
from mien.training.rebuild import rebuilt
from mien.training.recipe import Recipe


@dataclass(frozen=True, eq=False)
class Targets:
    """Targets of n training faces.

    Attributes:
        labels: Distribution over the labels, float32 (n, K), rows sum to 1.
        weights: Weight of each face in the loss of the main head, its class weight, float32 (n,).
        shares: Distribution of the votes, float32 (n, 8), rows sum to 1 or are zeros; None without
            a vote head.
        share_weights: Weight of each face in the loss of the vote head, float32 (n,); 0 for faces
            without votes.
    """

    labels: np.ndarray
    weights: np.ndarray
    shares: np.ndarray | None
    share_weights: np.ndarray


def make_targets(training: Dataset, recipe: Recipe) -> Targets:
    """Make the targets of the training faces as a recipe says.

    The labels are smoothed (`Recipe.label_smoothing`) and mixed with estimates from the votes
    (`Recipe.soft_label_weight`) and with face-api's predictions (`Recipe.face_api_weight`).

    Raises:
        UsageError: if the recipe needs votes and there are none, or face-api lacks the labels.
        DataError, DownloadError: if the recipe needs face-api's weights and they are not available.
    """
    num = len(training.label_set)
    labelled = training.labels != UNLABELLED  # photographs train only the vote head
    truth = np.eye(num, dtype=np.float32)[np.where(labelled, training.labels, 0)]
    labels = truth * (1 - recipe.label_smoothing) + recipe.label_smoothing / num
    if recipe.soft_label_weight:
        estimates, voted = labels_by_votes(training)
        labels[voted] += recipe.soft_label_weight * (estimates[voted] - labels[voted])
    by_class = class_weights(training.counts()[0], recipe.class_weights)
    weights = by_class[training.labels].astype(np.float32)
    weights[~labelled] = 0
    if share := recipe.face_api_weight:
        predictions = face_api.predictions(training.images[labelled], training.label_set)
        labels[labelled] += share * (predictions - labels[labelled])
    shares, share_weights = None, np.zeros(len(training), np.float32)
    if recipe.votes_weight and training.votes is not None:
        shares = vote_shares(training.votes)
        share_weights = (shares.sum(axis=1) > 0).astype(np.float32)
    return Targets(labels, weights, shares, share_weights)


def with_photographs(training: Dataset, photographs: Dataset) -> Dataset:
    """The training rows, followed by the photographs as unlabelled rows with ten votes for their
    label.
    """
    votes = np.zeros((len(photographs), len(FERPLUS_VOTES)), np.uint8)
    columns = [
        FERPLUS_VOTES.index(name) if name in FERPLUS_VOTES else -1 for name in photographs.label_set
    ]
    votes[np.arange(len(photographs)), np.array(columns)[photographs.labels]] = 10
    training_votes = training.votes
    if training_votes is None:
        training_votes = np.zeros((len(training), len(FERPLUS_VOTES)), np.uint8)
    unlabelled = np.full(len(photographs), UNLABELLED, training.labels.dtype)
    return dataclasses.replace(
        training,
        images=np.concatenate([training.images, photographs.resized(training.side).images]),
        labels=np.concatenate([training.labels, unlabelled]),
        splits=np.concatenate([training.splits, np.zeros_like(photographs.splits)]),
        rows=np.concatenate([training.rows, photographs.rows]),
        votes=np.concatenate([training_votes, votes]),
    )


def mixed(shares: tf.Tensor, weights: tf.Tensor, own: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Targets (N, K) and their weights (N,) of faces mixed by `augment.mix`.

    Args:
        shares: Targets of the faces before mixing, float32 (N, K).
        weights: Their weights, float32 (N,).
        own: The share of each face that is its own, float32 (N,), from `augment.mix`.
    """
    own_weights, partner_weights = own * weights, (1 - own) * tf.reverse(weights, [0])
    total = own_weights + partner_weights
    shares = own_weights[:, None] * shares + partner_weights[:, None] * tf.reverse(shares, [0])
    return tf.math.divide_no_nan(shares, total[:, None]), total


def distilled(
    shares: tf.Tensor, weights: tf.Tensor, predictions: tf.Tensor, share: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Targets (N, K) and their weights (N,), mixed with the predictions (N, K) of teachers.

    A `share` of each target comes from the teachers. Where the weight is 0 the whole target does,
    with the weight `share`.
    """
    weighted = weights > 0
    mixture = (1 - share) * shares + share * predictions
    shares = tf.where(weighted[:, None], mixture, predictions)
    return shares, tf.where(weighted, weights, share)


def labels_by_votes(training: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Estimate the probability of each label from the FER+ votes on a face.

    A least-squares fit on these faces predicts the labels from the vote shares and their square
    roots. The estimates are less noisy than the labels, and as soft as the votes.

    Returns:
        Estimates, float32 (n, K), rows sum to 1; and bool (n,), whether the face has votes. The
        estimates of faces without votes are meaningless.

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
    """The weight of each class in the loss, float64 (K,); their mean over the rows is 1.

    Args:
        counts: Faces of each class, n_c.
        kind: `balanced`: n / (K n_c), scikit-learn's formula; `sqrt`: its square root, rescaled to
            the mean 1; `none`: 1.
    """
    if kind == "none":
        return np.ones(len(counts))
    weights = counts.sum() / (len(counts) * counts)
    if kind == "sqrt":
        weights = np.sqrt(weights)
    return np.asarray(weights * counts.sum() / (weights * counts).sum())


def teacher_network(teacher: Bundle, training: Dataset, recipe: Recipe, policy: str) -> keras.Model:
    """The network of a bundle as a teacher for knowledge distillation (Hinton et al. 2015,
    https://arxiv.org/abs/1503.02531).

    A student that is no smaller than its teacher gains too (Furlanello et al. 2018,
    https://arxiv.org/abs/1805.04770).

    Args:
        teacher: The bundle.
        training: The faces that the student learns from.
        recipe: The student's recipe.
        policy: Keras' dtype policy of the teacher's layers.

    Returns:
        Faces (N, side, side, 1) as the student sees them -> calibrated logits (N, K), by the names
        of the student's heads.

    Raises:
        UsageError: if its labels or heads do not fit the student, or it does not take faces of the
            sides that the recipe trains at.
        BundleError: if it is int8, or the network rebuilt in Keras gives other predictions.
    """
    student_heads = models.heads(recipe, training.label_set)
    _check(teacher, training, wants_votes=VOTES_HEAD in student_heads)
    its_recipe, folded = rebuilt(teacher, teacher.name, "or teach with another bundle")
    if its_recipe.input_side > recipe.input_side:
        raise UsageError(
            f"teacher {teacher.name}: got a network for faces of {its_recipe.input_side} px and a "
            f"recipe for {recipe.input_side} px; expected none larger than the student's. Fix: "
            f"give input_side={its_recipe.input_side}"
        )
    if its_recipe.dense and any(side != FACE_SIDE for _, side in recipe.stages):
        raise UsageError(
            f"teacher {teacher.name}: got a network with a dense layer, which takes only "
            f"{FACE_SIDE} px, and the stages {recipe.stages}; expected that side only. Fix: give "
            f"stages=[[1,{FACE_SIDE}]]"
        )
    by_name = {head.name: head for head in teacher.heads}
    fast = models.build_folded(
        its_recipe,
        {name: head.labels for name, head in by_name.items()},
        policy=policy,
        any_side=not its_recipe.dense,
    )
    fast.set_weights(folded.get_weights())
    # The main head may have another name than the student's.
    heads = [teacher.heads[0], *(by_name[name] for name in list(student_heads)[1:])]
    outputs = {
        name: fast.output[head.name] / head.temperature
        for name, head in zip(student_heads, heads, strict=True)
    }
    network = keras.Model(fast.input, outputs)
    factor = recipe.input_side // its_recipe.input_side
    if factor <= 1:
        return network
    faces = keras.Input((None, None, 1))  # twice the side that the teacher takes
    return keras.Model(faces, network(keras.layers.AveragePooling2D(factor)(faces)))


def _check(teacher: Bundle, training: Dataset, *, wants_votes: bool) -> None:
    """Check the labels and heads of a teacher.

    Raises:
        UsageError: if it has other labels than the faces, or lacks a head that the student has.
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
