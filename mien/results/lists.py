"""Lists of results that become one table: the faces of a picture, the frames of many pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self, SupportsIndex, TypeVar, overload

from mien.results.frame import FORMAT, Frame
from mien.results.types import Face

if TYPE_CHECKING:
    import pandas

_MAX_LINES = 10  # of a repr

Item = TypeVar("Item")


class _ResultList(list[Item]):
    """A list whose slices keep its type, and whose repr is short."""

    @overload
    def __getitem__(self, place: SupportsIndex) -> Item: ...
    @overload
    def __getitem__(self, place: slice) -> Self: ...
    def __getitem__(self, place: SupportsIndex | slice) -> Item | Self:
        if isinstance(place, slice):
            return self._like(super().__getitem__(place))
        return super().__getitem__(place)

    def _like(self, items: Iterable[Item]) -> Self:
        return type(self)(items)

    def __repr__(self) -> str:
        if len(self) < 2:
            return f"{type(self).__name__}({super().__repr__()})"
        lines = [f"  {item!r}," for item in self[:_MAX_LINES]]
        if len(self) > _MAX_LINES:
            lines.append(f"  ... {len(self) - _MAX_LINES:,} more")
        return "\n".join([f"{type(self).__name__}([", *lines, "])"])


class Faces(_ResultList[Face]):
    """The faces of one picture from left to right: a list that becomes a table.

    Args:
        faces: The detected faces.
        labels: The labels of the network, which are columns even of a table without rows.
        heads: The labels of its other heads, by name.
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

    def _like(self, items: Iterable[Face]) -> Self:
        return type(self)(items, labels=self.labels, heads=self.heads)

    def to_frame(self) -> pandas.DataFrame:
        """A table with a row for each face, and the columns of `Frame.to_frame` about a face.

        Raises:
            MissingExtraError: if pandas is not installed.
        """
        from mien.results.tables import table_of_faces

        return table_of_faces(self, self.labels, self.heads)

    def _repr_html_(self) -> str:
        from mien.results.html import faces_html

        return faces_html(self)


class Frames(_ResultList[Frame]):
    """A list of frames that becomes one table; `recognizer([...])` returns one.

    It takes any frames, such as those of a video: `mien.Frames(mien.watch(...)).to_frame()`.

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
        labelled = next((frame for frame in self if frame.labels), None)
        return Faces(
            (face for frame in self for face in frame.faces),
            labels=labelled.labels if labelled else (),
            heads=labelled.heads if labelled else None,
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
        """The document that `mien predict --json` writes, as plain values."""
        return {"format": FORMAT, "frames": [frame.to_dict() for frame in self]}

    def _repr_html_(self) -> str:
        from mien.results.html import frames_html

        return frames_html(self)
