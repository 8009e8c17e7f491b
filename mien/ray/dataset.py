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
    """The faces of a dataset of pictures: rows as in the table of `mien predict`.

    A picture gives a row for each face, or one that says that there is none or what went wrong.
    Other columns of the dataset are repeated in each row of their picture. Videos are for
    `mien predict --engine ray`.

    Args:
        dataset: With a column `bytes`, as `ray.data.read_binary_files` gives it, or `path`, or
            both: then the bytes are taken, and the path is their name.
        load: Arguments of `mien.load`, such as `{"detector": "none"}`.
        num_workers: Actors; None: as many as Ray Data finds right.
        num_threads: Cores of each.
        time_limit_s: What a picture may take before its row says that it took too long.
        columns: `mien`, `openface` or `pyfeat`.

    Returns:
        A dataset that is computed when it is used, as all of Ray Data's.

    Raises:
        UsageError: for a dataset with neither column, or options that cannot be meant.
        MissingExtraError: where Ray is not installed.
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
    asked = dict(load or {})
    with mien.load(**asked) as recognizer:
        setup = dataclasses.replace(
            setup_like(recognizer, max_side=asked.get("max_side"), prior=asked.get("prior")),
            num_threads=num_threads,
            time_limit_s=time_limit_s,
            columns=columns,
        )
    setup.arrow_columns()  # refuses another preset here and now
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
    """What an actor of Ray Data calls with each batch."""

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
        held = batch["bytes"].to_pylist() if "bytes" in names else [None] * batch.num_rows
        sources = paths or [f"picture of {len(data or b''):,} bytes" for data in held]
        items = [
            Item(str(source), "", data=data) for source, data in zip(sources, held, strict=True)
        ]
        tables, _ = self._watched.answer(items)
        rows = np.repeat(np.arange(len(tables)), [table.num_rows for table in tables])
        faces = pyarrow.concat_tables([self._columns.schema.empty_table(), *tables])
        for name in names:
            if name not in ("bytes", *faces.column_names):
                faces = faces.append_column(name, batch[name].take(pyarrow.array(rows)))
        return faces
