"""Store corrected labels as pictures in DIR/label/, ready for training."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from mien.errors import RunError
from mien.serving.problems import Problem
from mien.vision.image import load_image
from mien.vision.reading import Limits

SIDE_PX = 1024  # longest side of a crop
CROP_LIMITS = Limits(max_bytes=4 << 20, max_pixels=SIDE_PX * SIDE_PX, longest_side=SIDE_PX)
_ID = 32  # hex digits of the hash that names a file


class Collection:
    """A folder of labelled crops. A crop has only one label, the one given last.

    Args:
        folder: The folder; created if it does not exist.
        labels: The accepted labels.
        most: Largest number of crops.

    Raises:
        RunError: if the folder cannot be written.
    """

    def __init__(self, folder: Path, labels: Sequence[str], most: int) -> None:
        self.folder, self.labels, self._most = folder, tuple(labels), most
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise RunError(
                f"{folder}: got a folder that cannot be written ({error.strerror or error}); "
                "expected one for corrections. Fix: name another with --collect"
            ) from error

    def add(self, picture: bytes, label: str) -> str:
        """Store a crop under a label, as a PNG without metadata.

        Returns:
            Its id, for `remove`.

        Raises:
            DataError: if it is not a picture, or too large for a crop.
            Problem: if the label is unknown or the folder is full.
        """
        if label not in self.labels:
            raise Problem(
                "invalid-parameter",
                f"got an unknown label; expected one of {', '.join(self.labels)}",
                "use one of these; GET /v1/model lists them",
            )
        data = _png(picture)
        name = hashlib.sha256(data).hexdigest()[:_ID]
        if not self._places(name) and sum(self.counts().values()) >= self._most:
            raise _full(f"more than {self._most:,} corrections")
        target = self.folder / label / f"{name}.png"
        try:
            target.parent.mkdir(exist_ok=True)
            part = target.with_suffix(".part")
            part.write_bytes(data)
            os.replace(part, target)
            for other in self._places(name):
                if other != target:
                    other.unlink(missing_ok=True)
        except OSError as error:
            raise _full(f"an error while writing ({error.strerror or 'no room'})") from error
        return name

    def remove(self, name: str) -> bool:
        """Remove a crop; returns whether it existed."""
        if len(name) != _ID or set(name) - set("0123456789abcdef"):
            return False
        places = self._places(name)
        for path in places:
            path.unlink(missing_ok=True)
        return bool(places)

    def counts(self) -> dict[str, int]:
        """The number of crops of each label that has any."""
        counts = {label: len(list((self.folder / label).glob("*.png"))) for label in self.labels}
        return {label: number for label, number in counts.items() if number}

    def _places(self, name: str) -> list[Path]:
        paths = [self.folder / label / f"{name}.png" for label in self.labels]
        return [path for path in paths if path.exists()]


def _png(picture: bytes) -> bytes:
    from PIL import Image

    png = io.BytesIO()
    Image.fromarray(load_image(picture, limits=CROP_LIMITS)).save(png, "PNG")
    return png.getvalue()


def _full(got: str) -> Problem:
    return Problem(
        "collection-full",
        f"got {got}; expected room for this one, which was not kept",
        "ask the operator of the server to make room",
    )
