"""Lists of results with a table of all: the faces of a picture, the frames of many pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self, SupportsIndex, TypeVar, overload

from mien.results.frame import FORMAT, Frame
from mien.results.types import Face

if TYPE_CHECKING:
    import pandas

_MOST_LINES = 10  # of a repr

One = TypeVar("One")


class _Answers(list[One]):
    """A list whose parts are of its kind, and whose repr is short."""

    @overload
    def __getitem__(self, place: SupportsIndex) -> One: ...
    @overload
    def __getitem__(self, place: slice) -> Self: ...
    def __getitem__(self, place: SupportsIndex | slice) -> One | Self:
        if isinstance(place, slice):
            return self._like(super().__getitem__(place))
        return super().__getitem__(place)

    def _like(self, some: Iterable[One]) -> Self:
        return type(self)(some)

    def __repr__(self) -> str:
        if len(self) < 2:
            return f"{type(self).__name__}({super().__repr__()})"
        lines = [f"  {one!r}," for one in self[:_MOST_LINES]]
        if len(self) > _MOST_LINES:
            lines.append(f"  ... {len(self) - _MOST_LINES:,} more")
        return "\n".join([f"{type(self).__name__}([", *lines, "])"])


class Faces(_Answers[Face]):
    """The faces of one picture, from left to right: a list, and a table.

    Args:
        faces: What was found.
        labels: Those of the network, for the columns of a table without rows.
        heads: Those of its further outputs, by name.
    """

    def __init__(
        self,
        faces: Iterable[Face] = (),
        *,
        labels: tuple[str, ...] = (),
        heads: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        super().__init__(faces)
        self.labels, self.heads = labels, heads or {}

    def _like(self, some: Iterable[Face]) -> Self:
        return type(self)(some, labels=self.labels, heads=self.heads)

    def to_frame(self) -> pandas.DataFrame:
        """A table with a row for each face: the columns of `Frame.to_frame` that are about a face.

        Raises:
            MissingExtraError: if pandas is not installed.
        """
        from mien.results.tables import table_of_faces

        return table_of_faces(self, self.labels, self.heads)

    def _repr_html_(self) -> str:
        from mien.results.html import faces_html

        return faces_html(self)


class Frames(_Answers[Frame]):
    """A list of frames with one table of all of them; `recognizer([...])` returns one.

    Any frames will do, such as those of a video: `mien.Frames(mien.watch(...)).to_frame()`.

    >>> frames = mien.load(detector="none")(["face.png", "nowhere.png"])
    >>> [frame.source for frame in frames if frame.error]
    ['nowhere.png']
    >>> frames.to_frame()[["source", "faces", "label"]]
            source  faces  label
    0     face.png      1  happy
    1  nowhere.png   <NA>   <NA>
    """

    @property
    def faces(self) -> Faces:
        """The faces of all frames in one list."""
        known = next((frame for frame in self if frame.labels), None)
        return Faces(
            (face for frame in self for face in frame.faces),
            labels=known.labels if known else (),
            heads=known.heads if known else None,
        )

    def to_frame(self, columns: str = "mien") -> pandas.DataFrame:
        """One table: a row for each face, and one for each frame without a face or with an error.

        Args:
            columns: As for `Frame.to_frame`.

        Raises:
            DataError: for frames of networks with different labels.
            UsageError: for another preset of columns.
            MissingExtraError: if pandas is not installed.
        """
        from mien.results.tables import table

        return table(self, columns)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: the document that `mien predict --json` writes."""
        return {"format": FORMAT, "frames": [frame.to_dict() for frame in self]}

    def _repr_html_(self) -> str:
        from mien.results.html import frames_html

        return frames_html(self)
