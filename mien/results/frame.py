"""The result for one picture, or one frame of a video: the faces in it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mien.errors import without_password
from mien.results.types import Face, finite_number, invalid_value

if TYPE_CHECKING:
    import pandas
    from PIL.Image import Image

FORMAT = "mien.frames/1"  # of frames as JSON; changes when readers have to change
_OPTIONAL_FIELDS: dict[str, Any] = {
    "note": "",
    "drawn": None,
    "prior": "",
}  # older files lack these


@dataclass(frozen=True, repr=False)
class Frame:
    """A picture or a frame of a video with its faces; `recognizer(picture)` returns one.

    A notebook shows the picture with the predictions drawn in.

    Attributes:
        source: The file, as the user named it; passwords in addresses are starred out.
        index: Number of the frame in its video, from 0; 0 for a picture.
        time_s: Seconds from the start of the video; None for a picture.
        width, height: Size of the upright picture in pixels; 0 if it could not be read.
        detector: The name of the face detector.
        faces: The detected faces.
        error: What went wrong, or None. With an error there are no faces.
        prior: The class prior of the probabilities (`mien.load`).
        note: What a user should know about the picture, such as `first of 4 frames`.
        drawn: Path of the copy with the predictions drawn in, or None.
        labels: The labels of the network, even if there is no face; () if unknown.
        heads: The labels of its other heads, by name.
        picture: The path, array or image that `draw` draws on; None for `source`. `labels`, `heads`
            and `picture` are neither part of `to_dict` nor compared.

    Raises:
        DataError: for impossible values.

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
        set_field = object.__setattr__
        set_field(self, "source", without_password(os.fspath(self.source)))
        set_field(self, "faces", tuple(self.faces))
        for name in ("index", "width", "height"):
            set_field(self, name, int(getattr(self, name)))
            if getattr(self, name) < 0:
                raise invalid_value(f"{name} {getattr(self, name)}", "0 or more")
        if self.time_s is not None:
            set_field(self, "time_s", finite_number(self.time_s, "time_s"))
        if self.faces and not self.labels:
            set_field(self, "labels", self.faces[0].labels)
        if self.error is not None:
            set_field(self, "error", without_password(self.error))
        if self.error is not None and self.faces:
            raise invalid_value(f"{len(self.faces)} faces and an error", "faces or an error")

    def __repr__(self) -> str:
        time = "" if self.time_s is None else f" at {self.time_s:.3f} s"
        content = self.error or list(self.faces)
        return f"Frame({self.source!r}{time}, {self.width}x{self.height}, {content!r})"

    def _repr_html_(self) -> str:
        from mien.results.html import frame_html

        return frame_html(self)

    def draw(self, picture: Any = None) -> Image:
        """A copy of the picture with boxes, labels and bars, as a PIL.Image.Image.

        Args:
            picture: The picture that was classified, if the frame does not know it: a frame of a
                video, or one read from JSON whose `source` is not a file here.

        Raises:
            DataError: if the picture cannot be read, or has another size.
            UsageError: if the frame does not know its picture and none is passed.
        """
        from mien.results.drawing import draw_frame

        return draw_frame(self, picture)

    def show(self, picture: Any = None) -> None:
        """Show what `draw` returns, below the cell of a notebook or else in the system's viewer.

        Raises:
            DataError, UsageError: as for `draw`; UsageError also if there is no viewer.
        """
        from mien.results.drawing import show

        show(self.draw(picture))

    def to_frame(self, columns: str = "mien") -> pandas.DataFrame:
        """A table with a row for each face, or a single row if there is none.

        Args:
            columns: The preset `mien`, `openface` or `pyfeat`, as in `mien predict --columns`
                (docs/results-format.md).

        Raises:
            UsageError: for another preset of columns.
            MissingExtraError: if pandas is not installed.
        """
        from mien.results.tables import table

        return table([self], columns)

    def to_dict(self) -> dict[str, Any]:
        """The frame as plain values for JSON."""
        head_names = ("source", "index", "time_s", "width", "height", "detector", "prior")
        body = {"faces": [face.to_dict() for face in self.faces], "error": self.error}
        tail = {"note": self.note, "drawn": self.drawn}
        return {name: getattr(self, name) for name in head_names} | body | tail

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Frame:
        """The inverse of `to_dict`.

        Raises:
            DataError: if a value is missing or impossible.
        """
        try:
            complete = {**_OPTIONAL_FIELDS, **values}
            names = (
                "source",
                "index",
                "time_s",
                "width",
                "height",
                "detector",
                "error",
                *_OPTIONAL_FIELDS,
            )
            fields = {name: complete[name] for name in names}
            return cls(**fields, faces=tuple(Face.from_dict(face) for face in values["faces"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise invalid_value(
                f"values that are not a frame ({type(error).__name__}: {error})",
                "those of Frame.to_dict",
            ) from error
