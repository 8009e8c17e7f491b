"""Promises that cross modules: the import map, the public names, import without side effects, the
version.
"""

from __future__ import annotations

import ast
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mien
from mien import errors

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "mien"
MODULES = sorted(PACKAGE.rglob("*.py"))

# Imports go downhill. A row a folder (or a file directly in mien/), in the order of the house: what
# it may import of the rows above it, and which third-party packages it owns, anywhere in its files.
CORE = ("errors", "labels", "constants", "text_table", "runtime")
HOUSE: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "errors": ((), ()),
    "labels": (("errors",), ()),
    "constants": ((), ()),
    "text_table": ((), ()),
    "runtime": ((), ("onnxruntime", "tensorflow")),
    "results": (CORE, ("pandas", "pyarrow")),
    "vision": ((*CORE, "results"), ("cv2", "mtcnn", "pooch", "requests")),
    "bundle": ((*CORE, "vision"), ("onnxruntime",)),
    "data": ((*CORE, "vision"), ("cv2", "kagglehub", "pandas", "pyarrow", "requests")),
    "recognizer": ((*CORE, "results", "vision", "bundle"), ()),
    "training": (
        (*CORE, "vision", "bundle", "data"),
        (
            "filelock",
            "keras",
            "onnx",
            "onnxruntime",
            "pooch",
            "requests",
            "scipy",
            "tensorflow",
            "tf2onnx",
        ),
    ),
    "video": ((*CORE, "results", "vision", "recognizer"), ("av", "cv2")),
    "predict": ((*CORE, "results", "vision", "bundle", "recognizer", "video"), ()),
    "evaluation": (
        (*CORE, "vision", "bundle", "data", "training"),
        ("jinja2", "matplotlib", "mlxtend", "scipy", "sklearn", "threadpoolctl"),
    ),
    "pipeline": ((*CORE, "bundle", "data", "training", "evaluation"), ()),
    "serving": (
        (*CORE, "results", "vision", "bundle", "recognizer", "video"),
        ("fastapi", "h11", "prometheus_client", "pydantic", "starlette", "uvicorn"),
    ),
    "ray": (
        (*CORE, "results", "vision", "bundle", "recognizer", "video", "predict"),
        ("cv2", "pyarrow", "ray"),
    ),
    "cli": (
        (
            *CORE,
            *("results", "vision", "bundle", "data", "recognizer", "training", "video"),
            *("predict", "evaluation", "pipeline", "serving", "ray"),
        ),
        ("rich", "tensorflow", "typer"),
    ),
    "__init__": (("errors",), ()),
    "__main__": (("cli",), ()),
}
# Drawing asks for what lies above, when it is called: the one exception.
UPHILL = {"mien/results/drawing.py": ("mien.vision.annotate", "mien.vision.image")}
# Whoever needs one of these owns it above; "click" and "pickle" nobody does.
OWNED = {"click", "pickle", *(package for _, packages in HOUSE.values() for package in packages)}


def imports(path: Path, *, top_level: bool = False) -> set[str]:
    """Dotted names that a file imports; `if TYPE_CHECKING` does not count."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            return
        if top_level and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(tree)
    return found


def place(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_each_folder_has_a_row_that_leads_downhill() -> None:
    assert {place(path) for path in MODULES} - set(HOUSE) == set()
    order = list(HOUSE)
    uphill = [
        f"{row} names {other}"
        for row, (below, _) in HOUSE.items()
        for other in below
        if order.index(other) >= order.index(row)
    ]
    assert uphill == []


def test_import_map() -> None:
    assert len(MODULES) > 25
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in MODULES
        for name in imports(path)
        if name.split(".")[0] in OWNED and name.split(".")[0] not in HOUSE[place(path)][1]
    ]
    assert wrong == []


def test_imports_go_downhill() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in MODULES
        for name in imports(path)
        if name.startswith("mien.")
        and name.split(".")[1] not in (place(path), *HOUSE[place(path)][0], "__version__")
        and not name.startswith(UPHILL.get(path.relative_to(ROOT).as_posix(), ("-",)))
    ]
    assert wrong == []


def test_what_leads_uphill_is_imported_when_called() -> None:
    for path, names in UPHILL.items():
        assert set(names) <= imports(ROOT / path)
        assert not set(names) & imports(ROOT / path, top_level=True)


def test_few_files_lie_outside_the_folders() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 10


def test_no_module_is_longer_than_400_lines() -> None:
    long = {str(path): n for path in MODULES if (n := len(path.read_text().splitlines())) > 400}
    assert long == {}


def test_no_function_is_longer_than_60_lines() -> None:
    """Signature and docstring do not count: they are tables of options."""
    bodies = {}
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                first = node.body[ast.get_docstring(node) is not None :][:1]
                if first and node.end_lineno is not None:
                    place = f"{path.relative_to(ROOT)}: {node.name}"
                    bodies[place] = node.end_lineno - first[0].lineno + 1
    assert len(bodies) > 500
    assert {place: n for place, n in bodies.items() if n > 60} == {}


def test_public_functions_have_at_most_six_parameters() -> None:
    functions = [one for name in mien.__all__ if inspect.isfunction(one := getattr(mien, name))]
    assert len(functions) > 8
    many = [one.__name__ for one in functions if len(inspect.signature(one).parameters) > 6]
    assert many == []


def test_public_names() -> None:
    assert len(mien.__all__) == 23
    for name in mien.__all__:
        assert getattr(mien, name) is not None
    assert set(mien._HOME) == set(mien.__all__) - {"__version__"}
    with pytest.raises(AttributeError, match="it has Bundle"):
        mien.nothing  # noqa: B018


def test_version_is_in_the_changelog() -> None:
    newest = re.search(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert newest is not None
    assert newest[1] == mien.__version__
    cited = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.M)
    assert cited is not None and cited[1] == mien.__version__


def test_import_has_no_side_effects(tmp_path: Path) -> None:
    """`import mien` in a fresh process: nothing written, nothing heavy loaded, environment and
    warnings untouched.
    """
    code = """
import os, sys, warnings, logging
before = (dict(os.environ), list(warnings.filters), list(logging.root.handlers))
import mien, mien.cli
after = (dict(os.environ), list(warnings.filters), list(logging.root.handlers))
heavy = {"keras", "tensorflow", "cv2", "matplotlib", "pandas", "sklearn", "mlxtend"}
heavy |= {"kagglehub", "jinja2"}
print(before == after, sorted(heavy & set(sys.modules)))
"""
    env = {
        **os.environ,
        "HOME": str(tmp_path),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert done.stderr == ""
    assert done.stdout.split(maxsplit=1) == ["True", "[]\n"]
    assert list(tmp_path.iterdir()) == []


def test_recognising_needs_no_extra(tmp_path: Path) -> None:
    """What `mien predict` imports loads nothing of the extras, so that a core installation can do
    it.
    """
    code = """
import sys
import mien.recognizer, mien.predict, mien.results.resume, mien.vision.annotate
import mien.video.summary, mien.video.timeline, mien.cli.doctor, mien.ray.child
extras = {"keras", "tensorflow", "matplotlib", "pandas", "sklearn", "scipy", "mlxtend"}
extras |= {"jinja2", "filelock", "av", "pyarrow", "ray"}
print(sorted(extras & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_each_error_has_its_own_exit_code() -> None:
    classes = [errors.MienError, *errors.MienError.__subclasses__()]
    assert len(classes) == 7
    assert sorted(one.exit_code for one in classes) == [1, 2, 3, 4, 5, 6, 7]
    for one in classes:
        assert one.__name__ in (errors.__doc__ or "")


def test_cli_page_is_fresh() -> None:
    from mien.cli.docs import cli_docs

    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == cli_docs() + "\n"
