"""Draw the predictions of a frame onto its picture.

This is the only module of results that imports vision, and only when it draws.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

from mien.errors import DataError, UsageError
from mien.labels import LabelSet

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

    from mien.results.frame import Frame


def draw_frame(frame: Frame, picture: Any = None) -> Image:
    """A copy of the frame's picture with boxes, labels and bars.

    Raises:
        DataError: if the picture cannot be read, or has another size.
        UsageError: if the frame does not know its picture and none is passed.
    """
    from PIL import Image

    from mien.vision.annotate import annotate

    image = pixels(frame, picture)
    if frame.faces:
        image = annotate(image, frame.faces, LabelSet(frame.faces[0].labels))
    return Image.fromarray(image)


def pixels(frame: Frame, picture: Any = None) -> np.ndarray:
    """The frame's picture, RGB uint8 (H, W, 3), read again if it is a file.

    Raises:
        DataError: if the picture cannot be read, or has another size.
        UsageError: if the frame does not know its picture and none is passed.
    """
    from mien.vision.image import load_image

    if picture is None and frame.error is not None:
        raise UsageError(
            f"{frame.source}: got a frame without a picture ({frame.error}); expected one whose "
            "picture could be read. Fix: leave out frames whose error is not None"
        )
    if picture is None:
        picture = frame.picture
    if picture is None:
        # Only a file: an address in somebody's JSON must not be fetched.
        if frame.time_s is not None or not os.path.isfile(frame.source):
            raise UsageError(
                f"{frame.source}: got a frame that does not know its picture; expected the "
                "picture that was classified. Fix: pass it, frame.draw(picture)"
            )
        picture = frame.source
    image = load_image(picture)
    if image.shape[:2] != (frame.height, frame.width):
        raise DataError(
            frame.source,
            got=f"a picture of {image.shape[1]} x {image.shape[0]} pixels",
            expected=f"the one that was classified, {frame.width} x {frame.height}",
            fix="pass that picture, frame.draw(picture), or classify this one again",
        )
    return image


def show(image: Image) -> None:
    """Show a picture below the cell of a notebook, or else in the system's viewer.

    Raises:
        UsageError: if there is no viewer.
    """
    if "ipykernel" in sys.modules:
        importlib.import_module("IPython.display").display(image)
        return
    from PIL import ImageShow

    if not ImageShow.show(image):
        raise UsageError(
            "show: got no program that shows pictures; expected a notebook or a desktop. "
            'Fix: save the picture, frame.draw().save("drawn.png")'
        )
