"""Libraries without the lines that they print and nobody can use."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

# Said on every start on processors with AVX-512, whatever TF_CPP_MIN_LOG_LEVEL is: its logging is
# not set up yet.
_NOISE = (
    "All log messages before absl::InitializeLog()",
    "oneDNN custom operations are on",
    "cpu_feature_guard.cc",
    "To enable the following instructions",
)


def import_tensorflow() -> None:
    """Import TensorFlow; what native code writes to stderr meanwhile is passed on, less lines known
    to say nothing.
    """
    if "tensorflow" in sys.modules:
        return
    sys.stderr.flush()
    shown = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            import tensorflow  # noqa: F401
        finally:
            os.dup2(shown, 2)
            os.close(shown)
            held.seek(0)
            for line in held.read().decode(errors="replace").splitlines():
                if not any(noise in line for noise in _NOISE):
                    print(line, file=sys.stderr)


@contextmanager
def closed_files_closed_again() -> Iterator[None]:
    """lz4's files flush what they have closed already, which Python from 3.13 on prints as an
    exception ignored.
    """
    shown = sys.unraisablehook

    def hook(found: sys.UnraisableHookArgs) -> None:
        if not (isinstance(found.exc_value, ValueError) and "closed file" in str(found.exc_value)):
            shown(found)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = shown
