"""What is taken from npm: pinned, compared, never committed; and the errors of taking it."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
WEB = ROOT / "web"


@pytest.fixture
def vendor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("vendor", WEB / "vendor.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "VENDOR", tmp_path / "vendor")
    return module


def test_the_lock_file_names_no_address_and_every_package_is_hashed() -> None:
    packages = json.loads((WEB / "package-lock.json").read_text())["packages"]
    taken = {name: facts for name, facts in packages.items() if name}
    assert len(taken) > 2
    assert all(facts["integrity"].startswith("sha512-") for facts in taken.values())
    assert "http" not in (WEB / "package-lock.json").read_text()


def test_versions_are_exact() -> None:
    wanted = json.loads((WEB / "package.json").read_text())
    versions = {**wanted["dependencies"], **wanted["devDependencies"]}
    assert len(versions) == 3
    assert all(part.isdigit() for version in versions.values() for part in version.split("."))


def test_a_file_that_is_not_what_was_pinned_is_refused(vendor: ModuleType) -> None:
    with pytest.raises(vendor.VendorError, match="expected 00.*Fix: see who changed it"):
        vendor.put(b"something else", "ort/x.mjs", "00" * 32)
    assert not vendor.VENDOR.exists()


def test_without_npm_it_says_what_to_install_and_takes_the_rest(
    vendor: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    weights = tmp_path / "weights.onnx"
    weights.write_bytes(b"weights")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(vendor, "yunet_weights", lambda: weights)
    monkeypatch.setattr(vendor, "YUNET_SHA256", vendor.digest(weights))
    assert vendor.main() == 1
    shown = capsys.readouterr()
    assert "got no npm; expected Node.js with npm. Fix: install Node.js" in shown.err
    assert "yunet/LICENSE" in shown.out
    assert (vendor.VENDOR / "yunet" / vendor.YUNET_FILE).read_bytes() == b"weights"


def test_git_has_nothing_of_it() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    tracked = subprocess.run(
        ["git", "ls-files", "web", "mien/serving"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert "web/package-lock.json" in tracked
    assert [name for name in tracked if "vendor/" in name or "node_modules" in name] == []
