"""The server does what its OpenAPI document says, whatever is sent: schemathesis tries it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from running_server import StartServer

pytest.importorskip("schemathesis")


@pytest.mark.slow
def test_requests_made_of_the_document(start_server: StartServer, tmp_path: Path) -> None:
    """No answer of 500, none that the document does not have, none of another shape.

    Left out is the check that whatever fits the document is accepted: that bytes are a picture
    cannot be said in it.
    """
    server = start_server("--collect", str(tmp_path / "kept"), "--limit=requests_a_minute=0")
    command = [
        Path(sys.executable).with_name("schemathesis"),
        "run",
        f"{server.address}/v1/openapi.json",
    ]
    options = ["--seed=1", "--max-examples=60", "--exclude-checks=positive_data_acceptance"]
    done = subprocess.run(
        [*command, *options, "--no-color"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:]
    found = re.search(r"(\d+) generated, \d+ passed", done.stdout)
    assert found is not None and int(found[1]) > 200
    assert "Tested: 5" in done.stdout
    assert " 500 " not in server.log.read_text()
