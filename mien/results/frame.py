"""An answer about what was looked at: a picture, or one picture of a video, and the faces in it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mien.results.types import Face, number_of, wrong

if TYPE_CHECKING:
    import pandas
    from PIL.Image import Image

FORMAT = "mien.frames/1"  # of frames as JSON; changes when a reader would have to
_LATER: dict[str, Any] = {"note": "", "drawn": None, "prior": ""}  # older files lack these


@dataclass(frozen=True, repr=False)
class Frame:
    """A picture or a frame of a video with its faces; `recognizer(picture)` returns one.

    A notebook shows the picture with the predictions drawn in.

    Attributes:
        source: The file, as the user named it.
        index: Number of the frame in its video, from 0; 0 for a picture.
        time_s: Seconds since the video's beginning; None for a picture.
        width, height: Of the picture, upright, in pixels; 0 if it could not be read.
        detector: Which detector looked for faces.
        faces: What it found.
        error: What went wrong; then there are no faces.
        prior: The class prior under which the probabilities were made (`mien.load`).
        note: What a person should know of the picture, such as `first of 4 frames`.
        drawn: Where the copy with the answers drawn in was written, or None.
        labels: Those of the network, also where no face was found; () where they are not known.
        heads: Those of its further outputs, by name.
        picture: What `draw` draws on: the path, array or image that was given; None: `source`.
            These three are not part of `to_dict` and take no part in comparing.

    Raises:
        DataError: for values that cannot be so.

    >>> frame = mien.load(detector="none")("face.png")
    >>> frame
    Frame('face.png', 120x120, [Face('happy' 1.00, box=(0, 0, 120, 120))])
    >>> frame.draw().size
    (120, 120)
    >>> frame.to_frame()[["source", "label", "uncertain"]]
         source  label  uncertain
    0  face.png  happy      False
    """

    source: str
    index: int
    time_s: float | None
    width: int
    height: int
    detector: str
    faces: tuple[Face, ...] = ()
    error: str | None = None
    prior: str = ""
    note: str = ""
    drawn: str | None = None
    labels: tuple[str, ...] = field(default=(), compare=False)
    heads: Mapping[str, tuple[str, ...]] = field(default_factory=dict, compare=False)
    picture: Any = field(default=None, compare=False)

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "source", os.fspath(self.source))
        put(self, "faces", tuple(self.faces))
        for name in ("index", "width", "height"):
            put(self, name, int(getattr(self, name)))
            if getattr(self, name) < 0:
                raise wrong(f"{name} {getattr(self, name)}", "0 or more")
        if self.time_s is not None:
            put(self, "time_s", number_of(self.time_s, "time_s"))
        if self.faces and not self.labels:
            put(self, "labels", self.faces[0].labels)
        if self.error is not None and self.faces:
            raise wrong(f"{len(self.faces)} faces and an error", "faces or an error")

    def __repr__(self) -> str:
        time = "" if self.time_s is None else f" at {self.time_s:.3f} s"
        what = self.error or list(self.faces)
        return f"Frame({self.source!r}{time}, {self.width}x{self.height}, {what!r})"

    def _repr_html_(self) -> str:
        from mien.results.html import frame_html

        return frame_html(self)

    def draw(self, picture: Any = None) -> Image:
        """A copy of the picture with boxes, labels and bars, as a PIL.Image.Image.

        Args:
            picture: The picture that was looked at, where the frame does not know it (one of a
                video, or read from JSON whose `source` is no file here).

        Raises:
            DataError: if the picture could not be read, or is another one.
            UsageError: if the frame does not know its picture, and none is given.
        """
        from mien.results.drawing import drawn

        return drawn(self, picture)

    def show(self, picture: Any = None) -> None:
        """Show what `draw` gives: in a notebook below the cell, else with the system's viewer.

        Raises:
            UsageError: where nothing here can show a picture.
        """
        from mien.results.drawing import show

        show(self.draw(picture))

    def to_frame(self, columns: str = "mien") -> pandas.DataFrame:
        """A table with a row for each face, or one row where there is none.

        Args:
            columns: `mien`, `openface` or `pyfeat`: those of `mien predict --out`
                (docs/results-format.md names them).

        Raises:
            UsageError: for another preset of columns.
            MissingExtraError: if pandas is not installed.
        """
        from mien.results.tables import table

        return table([self], columns)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        names = ("source", "index", "time_s", "width", "height", "detector", "prior")
        values = {"faces": [face.to_dict() for face in self.faces], "error": self.error}
        last = {"note": self.note, "drawn": self.drawn}
        return {name: getattr(self, name) for name in names} | values | last

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Frame:
        """The way back from `to_dict`.

        Raises:
            DataError: if something is missing or cannot be so.
        """
        try:
            known = {**_LATER, **values}
            names = ("source", "index", "time_s", "width", "height", "detector", "error", *_LATER)
            rest = {name: known[name] for name in names}
            return cls(**rest, faces=tuple(Face.from_dict(face) for face in values["faces"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise wrong(
                f"values that are no frame ({type(error).__name__}: {error})", "Frame.to_dict's"
            ) from error
