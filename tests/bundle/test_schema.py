from __future__ import annotations

import copy
import io
import json
import os
import re
import stat
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_bundle import (
    FACES,
    answers,
    rewrite,
    toy_answer,
    toy_facts,
    toy_model,
    write_toy,
    zipped,
)

from mien.bundle import Bundle, files, open_bundle, schema, write_bundle
from mien.bundle.answer import softmax
from mien.bundle.classifier import Classifier
from mien.bundle.files import FACTS, GOLDEN, MODEL, read_npz
from mien.errors import BundleError
from mien.labels import FER2013

NAMES = (FACTS, MODEL, GOLDEN)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_toy(tmp_path / "toy")
    return tmp_path / "toy"


def refused(source: Path | str, field: str) -> BundleError:
    with pytest.raises(BundleError) as caught:
        open_bundle(source)
    assert caught.value.field == field, str(caught.value)
    assert "expected" in str(caught.value) and "Fix" in str(caught.value)
    return caught.value


# Round trips


@pytest.mark.parametrize("name", ["toy", "toy.zip"])
def test_what_was_written_is_read(tmp_path: Path, name: str) -> None:
    written = write_toy(tmp_path / name, ("expression", "mood"))
    read = open_bundle(tmp_path / name)
    assert [head.name for head in read.heads] == ["expression", "mood"]
    assert read.heads[1].labels.names == ("low", "high") and read.heads[0].temperature == 0.5
    assert (read.name, read.licence, read.precision, read.input_name) == (
        "toy",
        "MIT",
        "float32",
        "faces",
    )
    assert read.metrics["validation"]["n"] == 5 and read.operators == {"Reshape": 1, "MatMul": 2}
    assert read.digest == written.digest and re.fullmatch("[0-9a-f]{64}", read.digest)
    assert read.model == written.model
    np.testing.assert_array_equal(read.golden_faces, FACES)
    np.testing.assert_array_equal(read.golden_logits["mood"], answers("mood", FACES))


def test_folder_and_zip_are_the_same_bundle(folder: Path, tmp_path: Path) -> None:
    assert open_bundle(zipped(folder, tmp_path / "b.zip")).digest == open_bundle(folder).digest


def test_golden_npz_is_numpys_own_format(folder: Path) -> None:
    with np.load(folder / GOLDEN, allow_pickle=False) as stored:
        assert sorted(stored.files) == ["faces", "logits_expression"]
        np.testing.assert_array_equal(stored["faces"], FACES)


def test_writing_again_replaces_a_bundle_and_nothing_else(folder: Path) -> None:
    assert write_toy(folder, name="second").name == open_bundle(folder).name == "second"
    (folder / "thesis.txt").write_text("years of work")
    with pytest.raises(
        BundleError, match=r"got a folder with 'thesis.txt' in it; expected a new name"
    ):
        write_toy(folder)
    assert (folder / "thesis.txt").read_text() == "years of work"
    assert sorted(os.listdir(folder.parent)) == ["toy"]
    photos = folder.parent / "photos.zip"
    with zipfile.ZipFile(photos, "w") as archive:
        archive.writestr("holiday.txt", "sun")
    (folder.parent / "notes.zip").write_text("years of work")
    (folder.parent / "hidden" / ".git").mkdir(parents=True)
    for target in (photos, photos.with_name("notes.zip"), photos.with_name("hidden"), Path(".")):
        with pytest.raises(
            BundleError, match="path: got .*; expected a new name, or a bundle to replace"
        ):
            write_toy(target)
    assert (
        zipfile.ZipFile(photos).namelist() == ["holiday.txt"]
        and (folder.parent / "hidden" / ".git").is_dir()
    )
    write_toy(photos.with_name("toy.zip"))
    assert write_toy(photos.with_name("toy.zip"), name="second").name == "second"


@pytest.mark.parametrize("stopped", [OSError("no"), KeyboardInterrupt()])
def test_the_old_bundle_stays_until_the_new_one_is_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch, stopped: BaseException
) -> None:
    def refuse(call: Callable[..., None]) -> Callable[..., None]:
        def rename(old: Path, new: Path) -> None:
            if new == folder and str(old).endswith(".tmp"):
                raise stopped
            call(old, new)

        return rename

    with monkeypatch.context() as patch:
        for name in ("rename", "replace"):
            patch.setattr(os, name, refuse(getattr(os, name)))
        with pytest.raises(BundleError if isinstance(stopped, OSError) else KeyboardInterrupt):
            write_toy(folder, name="second")
    assert open_bundle(folder).name == "toy"
    assert os.listdir(folder.parent) == ["toy"]


def test_a_link_to_a_bundle_is_replaced_and_not_what_it_names(folder: Path) -> None:
    link = folder.with_name("link")
    link.symlink_to(folder)
    write_toy(link, name="second")
    assert open_bundle(link).name == "second" and not link.is_symlink()
    assert open_bundle(folder).name == "toy"
    assert sorted(os.listdir(folder.parent)) == ["link", "toy"]


def test_folders_that_are_no_bundle_say_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "faces").mkdir()
    with pytest.raises(
        BundleError, match="got a folder with none of a bundle's files; expected bundle.json"
    ):
        open_bundle(tmp_path / "faces")
    (tmp_path / "faces" / "run.json").touch()
    with pytest.raises(
        BundleError,
        match="got a run folder; .* Fix: export it first: mien export .*faces NAME.zip",
    ):
        open_bundle(tmp_path / "faces")


def test_what_could_not_be_opened_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"heads\[0\].temperature: got 0.0"):
        write_bundle(
            tmp_path / "toy",
            model=toy_model().SerializeToString(),
            golden_faces=FACES,
            golden_logits={"expression": answers("expression", FACES)},
            facts=toy_facts(temperature=0.0),
        )
    assert os.listdir(tmp_path) == []


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BundleError, match="an error while writing"):
        write_toy(tmp_path / "file" / "toy")


def test_numbers_that_json_cannot_hold_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="bundle.json: facts"):
        write_toy(tmp_path / "toy", metrics={"accuracy": float("nan")})


def test_shipped_that_is_absent_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.resources.files", lambda package: tmp_path)
    error = refused("shipped", "models/shipped")
    assert "install mien" in error.fix
    write_toy(tmp_path / "models" / "shipped")
    assert open_bundle().name == open_bundle("shipped").name == "toy"


def test_nothing_there(tmp_path: Path) -> None:
    assert "mien export" in str(refused(tmp_path / "none", "path"))


# Damage


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "delete", "append"])
def test_any_damage_to_any_file_is_seen(folder: Path, name: str, damage: str) -> None:
    path = folder / name
    content = path.read_bytes()
    if damage == "delete":
        path.unlink()
    else:
        flipped = (
            content[: len(content) // 2]
            + bytes([content[len(content) // 2] ^ 1])
            + content[len(content) // 2 + 1 :]
        )
        changed = {
            "flip": flipped,
            "truncate": content[: len(content) // 2],
            "empty": b"",
            "append": content + b"x",
        }
        path.write_bytes(changed[damage])
    with pytest.raises(BundleError) as caught:
        open_bundle(folder)
    assert name in caught.value.field


def test_every_flipped_bit_of_every_file_is_seen(folder: Path) -> None:
    for name in NAMES:
        path = folder / name
        content = path.read_bytes()
        for at in np.linspace(0, len(content) - 1, 40).astype(int):
            path.write_bytes(content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :])
            with pytest.raises(BundleError):
                open_bundle(folder)
        path.write_bytes(content)
    open_bundle(folder)


def test_every_truncation_and_flip_of_a_zip_is_seen_or_harmless(
    folder: Path, tmp_path: Path
) -> None:
    path = zipped(folder, tmp_path / "b.zip")
    content, digest = path.read_bytes(), open_bundle(path).digest
    for cut in np.linspace(0, len(content) - 1, 60).astype(int):
        path.write_bytes(content[:cut])
        refused(path, "zip")
    harmless = 0
    for at in [
        *range(len(content) - 250, len(content)),
        *np.linspace(0, len(content) - 1, 150).astype(int),
    ]:
        path.write_bytes(content[:at] + bytes([content[at] ^ 8]) + content[at + 1 :])
        try:
            assert open_bundle(path).digest == digest  # a date in the directory, say
            harmless += 1
        except BundleError:
            pass
    assert harmless < 200


# bundle.json


def remove(*path: Any) -> Callable[[Any], object]:
    return lambda facts: walk(facts, path[:-1]).pop(path[-1])


def put(value: Any, *path: Any) -> Callable[[Any], object]:
    return lambda facts: walk(facts, path[:-1]).__setitem__(path[-1], value)


def walk(facts: Any, path: tuple[Any, ...]) -> Any:
    for part in path:
        facts = facts[part]
    return facts


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (put("other", "format"), "format"),
        (remove("format"), "format"),
        (put(2, "format_version"), "format_version"),
        (put(0, "format_version"), "format_version"),
        (put(True, "format_version"), "format_version"),
        (remove("heads"), "heads"),
        (put([], "heads"), "heads"),
        (put([{}] * 9, "heads"), "heads"),
        (put(7, "heads", 0), "heads[0].name"),
        (put("../x", "heads", 0, "name"), "heads[0].name"),
        (put(["a"], "heads", 0, "labels"), "heads[0].labels"),
        (put(["a", "a", "b"], "heads", 0, "labels"), "heads[0].labels"),
        (put(["a", 3], "heads", 0, "labels"), "heads[0].labels"),
        (put("abc", "heads", 0, "labels"), "heads[0].labels"),
        (put(0, "heads", 0, "temperature"), "heads[0].temperature"),
        (put("1", "heads", 0, "temperature"), "heads[0].temperature"),
        (put(-1.0, "heads", 0, "temperature"), "heads[0].temperature"),
        (remove("heads", 0, "temperature"), "heads[0].temperature"),
        (put(10**400, "heads", 0, "temperature"), "heads[0].temperature"),
        (put("warm", "heads", 0, "temperature_best"), "heads[0].temperature_best"),
        (put(3, "answer"), "answer"),
        (put({"default": "plain"}, "answer"), "answer.priors"),
        (put({"default": "plain", "priors": {}}, "answer"), "answer.priors"),
        (put({"default": "a", "priors": {"A b": {}}}, "answer"), "answer.priors"),
        (put({**toy_answer(), "default": "other"}, "answer"), "answer.default"),
        (put(toy_answer(weights={"expression": 0.5}), "answer"), "answer.priors.plain.weights"),
        (put(toy_answer(weights={"mood": 1}), "answer"), "answer.priors.plain.weights"),
        (put(toy_answer(weights={"expression": 2}), "answer"),
         "answer.priors.plain.weights.expression"),
        (put(toy_answer(temperature=0), "answer"), "answer.priors.plain.temperature"),
        (put(toy_answer(certain_from=2), "answer"), "answer.priors.plain.certain_from"),
        (put(toy_answer(log_factors={"happy": 1}), "answer"), "answer.priors.plain.log_factors"),
        (put(toy_answer(log_factors=dict.fromkeys(FER2013, 99)), "answer"),
         "answer.priors.plain.log_factors.angry"),
        (put(toy_answer(class_shares=dict.fromkeys(FER2013, 0.5)), "answer"),
         "answer.priors.plain.class_shares"),
        (put("model.keras", "files", "x"), "files"),
        (put("../../etc/passwd", "files", "model.onnx"), "files.model.onnx"),
        (put([None, 64, 48, 1], "input", "shape"), "input.shape"),
        (put([None, 8, 8, 1], "input", "shape"), "input.shape"),
        (put([None, 96, 96, 1], "input", "shape"), "graph.input"),
        (put([0, 1], "input", "range"), "input.range"),
        (remove("input"), "input"),
        (put("int4", "precision"), "precision"),
        (remove("licence"), "licence"),
        (put("", "name"), "name"),
        (put("a\x1b[2J", "name"), "name"),
        (put("resnet", "training", "recipe"), "training.recipe"),
        (put("many", "training", "parameters"), "training.parameters"),
        (put(["FER2013"], "training", "data", "source"), "training.data.source"),
        (put([], "metrics"), "metrics"),
        (put(2, "golden_tolerance"), "golden_tolerance"),
        (put(3, "versions", "mien"), "versions.mien"),
    ],
)  # fmt: skip
def test_wrong_facts_are_named(folder: Path, change: Callable[[Any], object], field: str) -> None:
    rewrite(folder, change)
    file = "model.onnx" if field == "graph.input" else "bundle.json"
    refused(folder, f"{file}: {field}")


def test_little_need_be_known_of_the_making(folder: Path) -> None:
    rewrite(folder, put({"data": None, "recipe": None, "method": "by hand"}, "training"))
    assert open_bundle(folder).training["method"] == "by hand"


def test_heads_that_lack_labels_have_no_share_in_the_answer(tmp_path: Path) -> None:
    """Without `answer` the first head is shown; a head of other labels cannot be mixed in."""
    [rule] = write_toy(tmp_path / "a", ("expression", "mood")).rules.values()
    assert (rule.prior, rule.weights) == ("training", {"expression": 1.0})
    with pytest.raises(
        BundleError, match="plain.weights.mood: got 0.5; expected 0, because the head lacks labels"
    ):
        shared = toy_answer(weights={"expression": 0.5, "mood": 0.5})
        write_toy(tmp_path / "b", ("expression", "mood"), answer=shared)


def test_the_answers_of_a_bundle_have_goldens_of_their_own(tmp_path: Path) -> None:
    answer = toy_answer(log_factors=dict.fromkeys(FER2013, 0.0) | {"fear": 3.0}, temperature=2)
    written = write_toy(tmp_path / "a", answer=answer)
    p = softmax(answers("expression", FACES), 0.5)
    expected = softmax(np.log(p + 1e-9) + np.array([0, 0, 3, 0, 0, 0, 0]), 2.0)
    np.testing.assert_allclose(written.golden_answers["plain"], expected, atol=1e-6)
    with Classifier(written) as classify:
        assert classify.replay_goldens() < 1e-5
    arrays = read_npz(tmp_path, (tmp_path / "a" / "golden.npz").read_bytes())
    rewrite(tmp_path / "a", golden={**arrays, "answer_plain": arrays["answer_plain"][:, ::-1]})
    with Classifier(open_bundle(tmp_path / "a")) as classify:
        assert classify.replay_goldens() > 0.01
    del arrays["answer_plain"]
    rewrite(tmp_path / "a", golden=arrays)
    refused(tmp_path / "a", "golden.npz")


def test_a_newer_format_asks_for_a_newer_mien(folder: Path) -> None:
    rewrite(folder, put(2, "format_version"))
    assert refused(folder, "bundle.json: format_version").fix == "pip install --upgrade mien"


def test_a_label_too_few_is_seen(folder: Path) -> None:
    rewrite(folder, lambda facts: facts["heads"][0]["labels"].pop())
    assert "float32 (N, 6)" in refused(folder, "model.onnx: graph.output expression").expected


def test_an_edited_number_is_seen(folder: Path) -> None:
    path = folder / FACTS
    path.write_text(path.read_text().replace('"temperature": 0.5', '"temperature": 0.6'))
    refused(folder, "bundle.json: sha256")


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", "nul", '{"a": 1, "a": 2}', '{"a": NaN}', '{"a": 1e999}',
     "[" * 100_000, '{"a":' * 5000,
     '{"a": ' + "9" * 5000 + "}", "\ufeff{}", '"' + "\\ud800" * 9 + '"'],
)  # fmt: skip
def test_what_is_no_json_object(folder: Path, text: str) -> None:
    (folder / FACTS).write_text(text, encoding="utf-8")
    refused(folder, "bundle.json")


def test_bytes_that_are_no_utf8(folder: Path) -> None:
    (folder / FACTS).write_bytes(b"\xff\xfe{}")
    refused(folder, "bundle.json")


def test_two_thousand_mutations_of_bundle_json(folder: Path) -> None:
    """Whatever the facts say, with hashes that fit: a bundle or a BundleError."""
    generator = np.random.default_rng(0)
    contents = {name: (folder / name).read_bytes() for name in NAMES}
    honest = json.loads(contents[FACTS])
    odd = [
        None,
        True,
        -1,
        0,
        2**70,
        1.5,
        -0.0,
        "",
        "x",
        "\x00",
        "../a",
        [],
        {},
        [[]],
        {"a": {}},
        "e" * 300,
        "nan",
    ]
    num_refused = 0
    for _ in range(2000):
        facts = copy.deepcopy(honest)
        for _ in range(generator.integers(1, 3)):
            parent: Any = facts
            while True:
                keys = list(parent) if isinstance(parent, dict) else list(range(len(parent)))
                if not keys:
                    break
                key = keys[generator.integers(len(keys))]
                if isinstance(parent[key], dict | list) and generator.random() < 0.7:
                    parent = parent[key]
                    continue
                if generator.random() < 0.2:
                    del parent[key]
                else:
                    parent[key] = copy.deepcopy(odd[generator.integers(len(odd))])
                break
        try:
            facts["sha256"] = schema.hash_of(facts)
            schema.check(folder, {**contents, FACTS: json.dumps(facts).encode()})
        except BundleError:
            num_refused += 1
    assert 1000 < num_refused < 2000  # training, metrics and parity may hold anything


# Goldens


@pytest.mark.parametrize(
    ("golden", "field"),
    [
        ({"faces": FACES}, "golden.npz"),
        ({"faces": FACES, "logits_other": answers("expression", FACES)}, "golden.npz"),
        ({"faces": FACES[:0], "logits_expression": answers("expression", FACES[:0])},
         "golden.npz: faces"),
        ({"faces": FACES[..., 0], "logits_expression": answers("expression", FACES)},
         "golden.npz: faces"),
        ({"faces": FACES, "logits_expression": answers("expression", FACES[:3])},
         "golden.npz: logits_expression"),
        ({"faces": FACES, "logits_expression": answers("mood", FACES)},
         "golden.npz: logits_expression"),
        ({"faces": FACES, "logits_expression": np.full((5, 7), np.nan, np.float32)},
         "golden.npz: logits_expression"),
        ({"faces": FACES, "logits_expression": np.zeros((5, 7), np.float64)}, "golden.npz"),
    ],
)  # fmt: skip
def test_wrong_goldens_are_named(folder: Path, golden: dict[str, np.ndarray], field: str) -> None:
    rewrite(folder, golden=golden)
    refused(folder, field)


def test_a_pickle_in_the_goldens_is_never_run(folder: Path, tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "harm"),)

    buffer = io.BytesIO()
    np.savez(
        buffer, faces=np.array([Harm()], object), logits_expression=answers("expression", FACES)
    )
    rewrite(folder, golden=buffer.getvalue())
    refused(folder, "golden.npz")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    "shape", ["(4611686018427387904,)", "(99999999999, 48, 48, 1)", "()", "(-1,)", "(5, 48, 48, 2)"]
)
def test_a_header_that_lies_about_its_shape_makes_no_room(folder: Path, shape: str) -> None:
    header = ("{'descr': '|u1', 'fortran_order': False, 'shape': " + shape + ", }").ljust(
        117
    ) + "\n"
    data = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + FACES.tobytes()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("faces.npy", data)
    rewrite(folder, golden=buffer.getvalue())
    refused(folder, "golden.npz")


# Paths, links, bombs


def test_extra_files_are_refused_and_those_of_desktops_not_read(folder: Path) -> None:
    (folder / ".DS_Store").write_bytes(b"x")
    open_bundle(folder)
    (folder / "model.pkl").write_bytes(b"x")
    assert "model.pkl" in refused(folder, "files").got


def test_links_are_refused(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.onnx"
    (folder / MODEL).rename(outside)
    (folder / MODEL).symlink_to(outside)
    assert refused(folder, "model.onnx").got == "a link"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_does_not_hang(folder: Path) -> None:
    (folder / MODEL).unlink()
    os.mkfifo(folder / MODEL)
    refused(folder, "model.onnx")


def test_a_model_too_large_is_refused_before_it_is_read(folder: Path) -> None:
    with (folder / MODEL).open("r+b") as file:
        file.truncate(200 << 20)  # sparse
    tracemalloc.start()
    refused(folder, "model.onnx")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 140 << 20


def archive(
    path: Path,
    entries: list[tuple[str | zipfile.ZipInfo, bytes]],
    method: int = zipfile.ZIP_DEFLATED,
) -> Path:
    with zipfile.ZipFile(path, "w", method) as made:
        for name, data in entries:
            made.writestr(name, data)
    return path


def honest(folder: Path) -> list[tuple[str | zipfile.ZipInfo, bytes]]:
    return [(name, (folder / name).read_bytes()) for name in NAMES]


@pytest.mark.parametrize(
    "name", ["../model.onnx", "/etc/passwd", "C:\\x", "a/model.onnx", "model.onnx/", "x" * 500]
)
def test_names_in_a_zip_cannot_leave_it(folder: Path, tmp_path: Path, name: str) -> None:
    for entries in ([*honest(folder)[:2], (name, b"x")], [*honest(folder), (name, b"x")]):
        refused(archive(tmp_path / "b.zip", entries), "zip")


def test_a_link_in_a_zip_is_refused(folder: Path, tmp_path: Path) -> None:
    link = zipfile.ZipInfo(MODEL)
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    path = archive(tmp_path / "b.zip", [(FACTS, b"{}"), (link, b"/etc/passwd"), (GOLDEN, b"")])
    assert "link" in refused(path, "zip").got


def test_an_entry_twice_is_refused(folder: Path, tmp_path: Path) -> None:
    entries = honest(folder)
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = archive(tmp_path / "b.zip", [entries[0], entries[1], entries[1]])
    refused(path, "zip")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_only_deflate(folder: Path, tmp_path: Path, method: int) -> None:
    refused(archive(tmp_path / "b.zip", honest(folder), method), "zip")


def test_a_stored_zip_of_another_tool_is_read(folder: Path, tmp_path: Path) -> None:
    assert (
        open_bundle(archive(tmp_path / "b.zip", honest(folder), zipfile.ZIP_STORED)).name == "toy"
    )


@pytest.mark.parametrize("honest_size", [True, False])
def test_bombs_are_refused_in_little_memory(
    folder: Path, tmp_path: Path, honest_size: bool
) -> None:
    """100 MB of zeros in 0.1 MB, with their true size in the directory, and with the size of a
    small file.
    """
    path = archive(
        tmp_path / "b.zip",
        [(FACTS, (folder / FACTS).read_bytes()), (MODEL, bytes(100 << 20)), (GOLDEN, b"")],
    )
    data = bytearray(path.read_bytes())
    assert len(data) < 1 << 20
    if not honest_size:
        size = struct.pack("<I", 100 << 20)
        at = data.rindex(size)
        data[at : at + 4] = struct.pack("<I", 1000)
        path.write_bytes(data)
    tracemalloc.start()
    refused(path, "zip")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20


def test_a_bomb_of_arrays_is_refused(folder: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("faces.npy", bytes(64 << 20))
    rewrite(folder, golden=buffer.getvalue())
    refused(folder, "golden.npz")


def test_a_directory_of_many_entries_is_not_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = archive(tmp_path / "b.zip", [(f"{i}", b"") for i in range(20_000)])
    monkeypatch.setattr(files.zipfile, "ZipFile", None)
    assert "20000 entries" in refused(path, "zip").got


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04", bytes(1000), b"\x89HDF\r\n\x1a\n" + bytes(100)]
)
def test_what_is_no_zip(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.h5").write_bytes(content)
    refused(tmp_path / "model.h5", "zip")


def test_a_bundle_is_small_and_quick_to_open(folder: Path) -> None:
    found = open_bundle(folder)
    assert (
        isinstance(found, Bundle) and len(repr(found)) < 2000
    )  # no megabyte of weights in a message


def test_write_bundle_takes_bytes_of_onnx_only(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="model.onnx"):
        write_bundle(
            tmp_path / "toy",
            model=b"no onnx",
            golden_faces=FACES,
            golden_logits={"expression": answers("expression", FACES)},
            facts=toy_facts(),
        )
    assert toy_model().ir_version == 8
