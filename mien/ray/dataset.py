"""mien as a step of a Ray Data pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mien.errors import MissingExtraError, UsageError
from mien.ray.setup import TIME_LIMIT_S, Item, Setup

if TYPE_CHECKING:
    import ray.data

FILES_A_BATCH = 64


def predict(
    dataset: ray.data.Dataset,
    *,
    load: Mapping[str, Any] | None = None,
    num_workers: int | None = None,
    num_threads: int = 1,
    time_limit_s: float = TIME_LIMIT_S,
    columns: str = "mien",
) -> ray.data.Dataset:
    """Recognise the faces in a dataset of pictures; the rows are those of `mien predict`.

    Each picture has a row for each face, or one row if it has no face or cannot be read. Other
    columns of the dataset are repeated in each row. For videos use `mien predict --engine ray`.

    Args:
        dataset: Pictures in a column `bytes`, as from `ray.data.read_binary_files`, or their paths
            in a column `path`. If there are both, the bytes are used and the path is their name.
        load: Arguments of `mien.load`, such as `{"detector": "none"}`.
        num_workers: Number of actors; None leaves it to Ray Data.
        num_threads: Cores of each actor.
        time_limit_s: Seconds after which a picture fails.
        columns: The preset of columns: `mien`, `openface` or `pyfeat`.

    Returns:
        A lazy dataset, as usual in Ray Data.

    Raises:
        UsageError: if the dataset has neither column, or an option cannot be used.
        MissingExtraError: if Ray is not installed.
    """
    try:
        from ray.data import ActorPoolStrategy
    except ImportError:
        raise MissingExtraError("ray", "ray") from None
    import dataclasses

    import mien
    from mien.ray.setup import setup_like

    names = dataset.columns() or []
    if "bytes" not in names and "path" not in names:
        raise UsageError(
            f"mien.ray.predict: got a dataset with the columns {', '.join(names) or 'none'}; "
            "expected bytes or path. Fix: ray.data.read_binary_files(..., include_paths=True)"
        )
    options = dict(load or {})
    with mien.load(**options) as recognizer:
        setup = dataclasses.replace(
            setup_like(recognizer, max_side=options.get("max_side"), prior=options.get("prior")),
            num_threads=num_threads,
            time_limit_s=time_limit_s,
            columns=columns,
        )
    setup.arrow_columns()  # raises now if the preset is unknown
    pool = (
        ActorPoolStrategy(min_size=1, max_size=None)
        if num_workers is None
        else ActorPoolStrategy(size=num_workers)
    )
    return dataset.map_batches(
        Step,
        fn_constructor_args=(setup,),
        batch_size=FILES_A_BATCH,
        batch_format="pyarrow",
        compute=pool,
        num_cpus=num_threads,
    )


class Step:
    """The class that an actor of Ray Data calls with each batch."""

    def __init__(self, setup: Setup) -> None:
        from mien.ray.watched import Watched

        self._watched = Watched(setup)
        self._columns = setup.arrow_columns()

    def __call__(self, batch: Any) -> Any:
        """A `pyarrow.Table` of pictures -> one of faces."""
        import numpy as np
        import pyarrow

        names = batch.column_names
        paths = batch["path"].to_pylist() if "path" in names else None
        contents = batch["bytes"].to_pylist() if "bytes" in names else [None] * batch.num_rows
        sources = paths or [f"picture of {len(data or b''):,} bytes" for data in contents]
        items = [
            Item(str(source), "", data=data) for source, data in zip(sources, contents, strict=True)
        ]
        tables, _ = self._watched.answer(items)
        rows = np.repeat(np.arange(len(tables)), [table.num_rows for table in tables])
        faces = pyarrow.concat_tables([self._columns.schema.empty_table(), *tables])
        for name in names:
            if name not in ("bytes", *faces.column_names):
                faces = faces.append_column(name, batch[name].take(pyarrow.array(rows)))
        return faces
