"""A folder of answers: no row twice, none lost, nobody else's files touched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mien.errors import DataError, UsageError
from mien.ray.manifest import MANIFEST, ResultFolder

pyarrow = pytest.importorskip("pyarrow")
from pyarrow import parquet  # noqa: E402

SCHEMA = pyarrow.schema([("source", pyarrow.string()), ("value", pyarrow.int64())])
SETTINGS = {"bundle": "toy", "mode": "fast"}


def rows(*sources: str) -> Any:
    return pyarrow.table([list(sources), list(range(len(sources)))], schema=SCHEMA)


def opened(folder: Path, said: list[str] | None = None, **changes: Any) -> ResultFolder:
    given: dict[str, Any] = {"settings": SETTINGS, "schema": SCHEMA} | changes
    return ResultFolder(
        str(folder),
        given["settings"],
        given["schema"],
        overwrite=given.get("overwrite", False),
        say=[].append if said is None else said.append,
    )


def held(folder: Path) -> list[str]:
    return sorted(parquet.read_table(folder)["source"].to_pylist())


def test_a_second_command_knows_what_is_there(tmp_path: Path) -> None:
    answers = opened(tmp_path / "out")
    assert answers.held == set()
    answers.add(rows("a", "a", "b"))
    answers.add(rows("c"))
    answers.close()
    again = opened(tmp_path / "out")
    assert again.held == {"a", "b", "c"}
    again.add(rows("d"))
    again.finish()
    again.close()
    assert held(tmp_path / "out") == ["a", "a", "b", "c", "d"]
    known = json.loads((tmp_path / "out" / MANIFEST).read_text())
    assert known["finished"] is True
    assert known["num_rows"] == 5
    assert known["parts"]["part-000000.parquet"] == {"num_sources": 2, "num_rows": 3}


def test_a_part_that_the_manifest_does_not_name_goes(tmp_path: Path) -> None:
    """The command was killed between writing a part and saying so."""
    answers = opened(tmp_path)
    answers.add(rows("a"))
    answers.close()
    parquet.write_table(rows("b"), tmp_path / "part-000001.parquet")
    (tmp_path / "part-000002.parquet.unfinished").write_bytes(b"PAR1")
    again = opened(tmp_path)
    assert again.held == {"a"}
    again.add(rows("b"))
    again.close()
    assert held(tmp_path) == ["a", "b"]
    assert sorted(one.name for one in tmp_path.iterdir()) == [
        "_lock",
        "_manifest.json",
        "part-000000.parquet",
        "part-000001.parquet",
    ]


@pytest.mark.parametrize("damage", ["gone", "cut off", "fewer rows"])
def test_a_damaged_part_is_answered_again(tmp_path: Path, damage: str) -> None:
    answers = opened(tmp_path)
    answers.add(rows("a", "b"))
    answers.add(rows("c"))
    answers.close()
    part = tmp_path / "part-000000.parquet"
    if damage == "gone":
        part.unlink()
    elif damage == "cut off":
        part.write_bytes(part.read_bytes()[:-9])
    else:
        parquet.write_table(rows("a"), part)
    said: list[str] = []
    again = opened(tmp_path, said)
    assert again.held == {"c"}
    assert len(said) == 1
    assert "part-000000.parquet" in said[0]
    again.add(rows("a", "b"))
    again.close()
    assert held(tmp_path) == ["a", "b", "c"]


def test_a_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match=r"thesis\.tex"):
        opened(tmp_path)
    assert [one.name for one in tmp_path.iterdir() if one.name != "_lock"] == ["thesis.tex"]


def test_other_settings_or_columns_are_refused(tmp_path: Path) -> None:
    answers = opened(tmp_path)
    answers.add(rows("a"))
    answers.close()
    with pytest.raises(UsageError, match=r"got mode best; expected mode fast"):
        opened(tmp_path, settings=SETTINGS | {"mode": "best"})
    wider = SCHEMA.append(pyarrow.field("raw_happy", pyarrow.float32()))
    with pytest.raises(UsageError, match="raw_happy"):
        opened(tmp_path, schema=wider)
    assert held(tmp_path) == ["a"]


def test_overwrite_begins_anew(tmp_path: Path) -> None:
    answers = opened(tmp_path)
    answers.add(rows("a"))
    answers.add(rows("b"))
    answers.close()
    again = opened(tmp_path, settings={"bundle": "other", "mode": "best"}, overwrite=True)
    assert again.held == set()
    again.add(rows("c"))
    again.close()
    assert held(tmp_path) == ["c"]


def test_two_commands_at_once_are_refused(tmp_path: Path) -> None:
    answers = opened(tmp_path)
    with pytest.raises(UsageError, match="another command"):
        opened(tmp_path)
    answers.close()
    opened(tmp_path).close()


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": "mien.parts/1", "parts": {"../x": 1}}']
)
def test_a_manifest_of_something_else_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(DataError, match=r"_manifest\.json"):
        opened(tmp_path)


def test_a_folder_by_its_address(tmp_path: Path) -> None:
    by_address = ResultFolder((tmp_path / "out").as_uri(), SETTINGS, SCHEMA, say=[].append)
    by_address.add(rows("a"))
    by_address.close()
    assert held(tmp_path / "out") == ["a"]
