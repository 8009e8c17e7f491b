"""Every error says what it got, what it expected, and how to fix it, in this order.

The syntax trees of the package are read: whoever makes an error gives it such a text, or the parts
of one, which the class puts together.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mien.errors import BundleError, DataError, MissingExtraError

PACKAGE = Path(__file__).parents[1] / "mien"
TEXTS = {"MienError", "UsageError", "RunError", "DownloadError", "_DivergedError", "BadParameter"}
PARTS = {"DataError", "BundleError"}
WHOLE = re.compile(r"(.*: )?got .+; expected .+\. Fix: .+", re.DOTALL)
# The text of another of these errors, with at most a word before it.
PASSED_ON = {("training/runs.py", "load_network"), ("training/trainer.py", "_damage_of_best")}
# Nothing is wrong with these requests: the server has no room, or failed.
OUR_OWN = {"internal", "queue-full", "too-many-connections", "too-many-streams", "answer-too-slow"}


def texts(node: ast.expr) -> Iterator[str]:
    """What an expression can be as a text; `{}` for what is only known at run time."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=values):
            for parts in itertools.product(*(list(texts(value)) for value in values)):
                yield "".join(parts)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            for parts in itertools.product(list(texts(left)), list(texts(right))):
                yield "".join(parts)
        case ast.IfExp(body=body, orelse=orelse):
            yield from texts(body)
            yield from texts(orelse)
        case ast.FormattedValue(value=value):
            inner = list(texts(value)) if isinstance(value, ast.IfExp) else []
            yield from inner or ["{}"]
        case _:
            yield "{}"


def calls() -> Iterator[tuple[str, str, str, ast.Call]]:
    """File, function, name of what is called, and the call."""
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for function in ast.walk(tree):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for node in ast.walk(function):
                if isinstance(node, ast.Call):
                    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                    yield path.relative_to(PACKAGE).as_posix(), function.name, name, node


def test_every_text_has_the_three_parts_in_their_order() -> None:
    found, wrong = 0, []
    for file, function, name, call in calls():
        if name not in TEXTS or (file, function) in PASSED_ON:
            continue
        found += 1
        for text in texts(call.args[0]):
            if not WHOLE.fullmatch(text) or re.search(r"(?<!\.)\.$", text):
                wrong.append(f"{file}:{call.lineno}: {text}")
    assert found > 150
    assert wrong == []


def test_every_part_is_given_and_none_has_the_words_of_the_frame() -> None:
    found, wrong = 0, []
    for file, _, name, call in calls():
        if name not in PARTS:
            continue
        found += 1
        parts = {word.arg: word.value for word in call.keywords}
        if not {"got", "expected"} <= set(parts) or (name == "DataError" and "fix" not in parts):
            wrong.append(f"{file}:{call.lineno}: {sorted(map(str, parts))}")
        for part in ("got", "expected", "fix"):
            for text in texts(parts[part]) if part in parts else ():
                if re.match(r"(got|expected|Fix)\b", text) or re.search(r"(?<!\.)\.$", text):
                    wrong.append(f"{file}:{call.lineno}: {part}={text}")
    assert found > 100
    assert wrong == []


def test_every_problem_of_the_server_has_them_too() -> None:
    found, wrong = 0, []
    for file, _, name, call in calls():
        if name != "Problem" or not isinstance(call.args[0], ast.Constant):
            continue
        found += 1
        for text in texts(call.args[1]):
            told = re.fullmatch(r"(.*: )?(got .+; expected .+|\{\})", text)
            if call.args[0].value not in OUR_OWN and not told:
                wrong.append(f"{file}:{call.lineno}: {text}")
    assert found > 15
    assert wrong == []


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            DataError("a.csv", row=3, got="2 fields", expected="3", fix="add one"),
            "a.csv, row 3: got 2 fields; expected 3. Fix: add one",
        ),
        (
            BundleError("b", "files", got="a link", expected="a file", fix="copy it"),
            "b: files: got a link; expected a file. Fix: copy it",
        ),
        (
            MissingExtraError("av", "video"),
            "av: got no such package; expected it to be installed. Fix: install mien with the "
            "extra [video] (in a checkout: pip install '.[video]')",
        ),
    ],
)
def test_the_classes_put_the_parts_together(error: Exception, text: str) -> None:
    assert str(error) == text
