"""One data set in memory: faces, labels, splits, and where each row came from."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from mien.errors import UsageError, check_word
from mien.labels import FERPLUS_VOTES, LabelSet

SPLITS = ("training", "validation", "test")
# FER2013's names for them: `Usage` column -> split.
USAGE = {"Training": "training", "PublicTest": "validation", "PrivateTest": "test"}
UNLABELLED = -1

# How to continue without a bad row or picture; the end of many error messages.
LEAVE_OUT = "leave it out with --on-error skip (in Python on_error='skip')"


@dataclass(frozen=True)
class LeftOut:
    """A row or picture that was not read under `on_error="skip"`, and why."""

    where: str
    row: int | None
    reason: str


@dataclass(frozen=True, eq=False)
class Cropped:
    """How faces were cut out of photographs (`mien.data.crop`).

    Attributes:
        detector: Name and version of the detector.
        num_pictures: Number of photographs searched.
        num_none: Those without a face; they are left out.
        num_several: Those with several faces, of which the largest was taken.
        faces_px: int32 (N,), side of the square cut out for each face, in pixels of the photograph.
        examples: Some photographs to look at: (file, what is unusual, uint8 (T, T, 1)).
    """

    detector: str
    num_pictures: int
    num_none: int
    num_several: int
    faces_px: np.ndarray
    examples: tuple[tuple[str, str, np.ndarray], ...] = ()


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled gray faces.

    Attributes:
        images: uint8 (N, S, S, 1), 0 black to 255 white, S being 48 or the requested side; may be a
            read-only memory map.
        labels: int64 (N,), positions in `label_set`; `UNLABELLED` (-1) where the source has none.
        splits: uint8 (N,), positions in `SPLITS`.
        rows: int64 (N,), line in the source file (the header is line 1), or the picture's position
            in the sorted listing.
        label_set: The ordered label names.
        source: The file or folder read, or `drawn faces, seed 0, ...`.
        votes: uint8 (N, 10), FER+ votes in the order of `labels.FERPLUS_VOTES`, or None.
        notes: What the user should know about the reading, in sentences.
        left_out: Rows and pictures that could not be read and were skipped, and photographs without
            a face.
        files: object (N,), the path of each picture below the source; None for csv.
        groups: object (N,), the person or group of each picture, empty where unknown; a random
            split never separates rows of one group. None if no groups are known.
        cropped: How the faces were cut out of photographs; None if whole pictures were read.
        numeric_labels: Whether the source gives its labels as numbers, which were read as
            FER2013's.
    """

    images: np.ndarray
    labels: np.ndarray
    splits: np.ndarray
    rows: np.ndarray
    label_set: LabelSet
    source: str
    votes: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = field(default=())
    files: np.ndarray | None = None
    groups: np.ndarray | None = None
    cropped: Cropped | None = None
    numeric_labels: bool = False

    def __post_init__(self) -> None:
        n, shape = len(self.images), self.images.shape
        square = len(shape) == 4 and shape[1] == shape[2] > 0 and shape[3] == 1
        if self.images.dtype != np.uint8 or not square:
            raise UsageError(
                f"Dataset.images: got {self.images.dtype} {shape}; expected uint8 (N, S, S, 1). "
                "Fix: convert and reshape them"
            )
        for name in ("labels", "splits", "rows", "files", "groups"):
            array = getattr(self, name)
            shape = (n,) if array is None else array.shape
            if shape != (n,):
                raise UsageError(
                    f"Dataset.{name}: got shape {shape}; expected ({n},). Fix: give one value for "
                    "each image"
                )
        if n and not UNLABELLED <= int(self.labels.min()) <= int(self.labels.max()) < len(
            self.label_set
        ):
            raise UsageError(
                f"Dataset.labels: got values from {self.labels.min()} to {self.labels.max()}; "
                f"expected -1 to {len(self.label_set) - 1}. Fix: give positions in label_set, or "
                "-1 for no label"
            )
        if self.votes is not None and self.votes.shape != (n, len(FERPLUS_VOTES)):
            raise UsageError(
                f"Dataset.votes: got shape {self.votes.shape}; expected ({n}, "
                f"{len(FERPLUS_VOTES)}). Fix: give ten votes for each image, in the order of "
                "labels.FERPLUS_VOTES"
            )

    def __len__(self) -> int:
        return len(self.images)

    @property
    def side(self) -> int:
        """Width and height of each face in pixels."""
        return int(self.images.shape[1])

    def mask(self, split: str) -> np.ndarray:
        """bool (N,): which rows belong to a split of `SPLITS`."""
        check_word("split", split, SPLITS)
        return np.asarray(self.splits == SPLITS.index(split))

    def part(self, split: str) -> Dataset:
        """The labelled rows of one split."""
        return self.take(self.mask(split) & (self.labels != UNLABELLED))

    def take(self, index: np.ndarray) -> Dataset:
        """The rows named by a bool mask (N,) or an integer index."""
        return dataclasses.replace(
            self,
            images=self.images[index],
            labels=self.labels[index],
            splits=self.splits[index],
            rows=self.rows[index],
            votes=None if self.votes is None else self.votes[index],
            files=None if self.files is None else self.files[index],
            groups=None if self.groups is None else self.groups[index],
            cropped=None
            if self.cropped is None
            else dataclasses.replace(self.cropped, faces_px=self.cropped.faces_px[index]),
        )

    def resized(self, side: int) -> Dataset:
        """The faces at another side in pixels: shrunk by area averaging, enlarged linearly."""
        if side == self.side:
            return self
        from mien.vision.preprocess import all_resized

        return dataclasses.replace(self, images=all_resized(self.images, side))

    def with_validation(self, share: float = 0.1) -> Dataset:
        """The data with a validation split: a share of the training rows of each class where there
        is none, always the same ones, equal pictures and groups together; else as it is
        (`mien.data.split`). `mien.fit` needs one.

        Raises:
            DataError: if a class has too few training rows to share.

        >>> mien.load_dataset("faces").with_validation().counts().sum(axis=1).tolist()
        [14, 7, 0]
        """
        from mien.data.split import with_validation

        return with_validation(self, share)

    def with_notes(self, *notes: str) -> Dataset:
        return dataclasses.replace(self, notes=(*self.notes, *notes))

    def with_labels(self, label_set: LabelSet) -> Dataset:
        """The rows with their labels numbered as in another set; unchanged if that set lacks a
        label that occurs.
        """
        here = np.unique(self.labels[self.labels != UNLABELLED])
        if label_set == self.label_set or any(
            self.label_set[k] not in label_set.names for k in here
        ):
            return self
        to = np.full(len(self.label_set) + 1, UNLABELLED, self.labels.dtype)
        to[here + 1] = [label_set.index(self.label_set[k]) for k in here]
        return dataclasses.replace(self, labels=to[self.labels + 1], label_set=label_set)

    def must_be_labelled_as(self, label_set: LabelSet, whose: str) -> None:
        """Refuse rows whose labels are not numbered as a network numbers them; `with_labels`
        renumbers them.

        Raises:
            UsageError: naming the network as `whose`.
        """
        if self.label_set != label_set:
            raise UsageError(
                f"{whose}: got data {self.source} with the labels {', '.join(self.label_set)}; "
                f"expected the network's labels, {', '.join(label_set)}. Fix: "
                "mien.evaluate(dataset, network), or dataset.with_labels(mien.LabelSet((...)))"
            )

    def with_labels_that_occur(self) -> Dataset:
        """The rows with only the label names that occur; unchanged if fewer than two occur."""
        occur = self.counts().sum(axis=0) > 0
        names = tuple(name for name, occurs in zip(self.label_set, occur, strict=True) if occurs)
        return self.with_labels(LabelSet(names)) if len(names) > 1 else self

    def counts(self) -> np.ndarray:
        """int64 (3, K): labelled rows by split (order of `SPLITS`) and class."""
        table = np.zeros((len(SPLITS), len(self.label_set)), np.int64)
        labelled = self.labels != UNLABELLED
        np.add.at(table, (self.splits[labelled], self.labels[labelled]), 1)
        return table

    @cached_property
    def digests(self) -> np.ndarray:
        """uint64 (N,): equal for equal pixels (a false match among 36,000 pictures has a
        probability of 4e-11).
        """
        flat = np.ascontiguousarray(self.images).reshape(len(self), -1)
        joined = b"".join(hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in flat)
        return np.frombuffer(joined, dtype="<u8")

    @cached_property
    def fingerprint(self) -> str:
        """Hex digest of pixels, labels, splits and label names: equal for equal training data."""
        digest = hashlib.sha256(repr((self.images.shape, self.label_set.names)).encode())
        digest.update(np.ascontiguousarray(self.images).tobytes())
        digest.update(np.ascontiguousarray(self.labels, dtype="<i8").tobytes())
        digest.update(np.ascontiguousarray(self.splits, dtype=np.uint8).tobytes())
        return digest.hexdigest()[:16]

    @cached_property
    def fingerprints(self) -> dict[str, str]:
        """Split -> hex digest of its labelled pictures in any order, to compare two data sets."""
        fingerprints = {}
        names = repr(self.label_set.names).encode()
        for split in SPLITS:
            chosen = self.mask(split) & (self.labels != UNLABELLED)
            rows = np.column_stack([self.digests[chosen], self.labels[chosen].astype(np.uint64)])
            rows = rows[np.lexsort(rows.T)]
            fingerprints[split] = hashlib.sha256(names + rows.astype("<u8").tobytes()).hexdigest()[
                :16
            ]
        return fingerprints


def leaked(dataset: Dataset) -> np.ndarray:
    """bool (N,): training rows whose exact pixels also occur in validation or test."""
    training = dataset.mask("training")
    return training & np.isin(dataset.digests, dataset.digests[~training])


def twins(dataset: Dataset) -> np.ndarray:
    """bool (N,): validation and test rows whose exact pixels also occur in training."""
    training = dataset.mask("training")
    return ~training & np.isin(dataset.digests, dataset.digests[training])
