"""This machine and process: processor, cores, memory, quiet libraries, progress of long jobs."""

from __future__ import annotations

import os
import platform
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

Watcher = Callable[[str, int, int], None]  # the job, how many parts are done, of how many
_watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


@contextmanager
def watched_by(watcher: Watcher) -> Iterator[None]:
    """Report the progress of long jobs to `watcher` within the block."""
    before = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(before)


def tell_progress(what: str, done: int, total: int) -> None:
    """Report progress to the watcher, if there is one: the command line sets it."""
    if (watcher := _watcher.get()) is not None:
        watcher(what, done, total)


def cpuinfo() -> str:
    """Linux's description of the processor; empty elsewhere."""
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def processor() -> str:
    """The processor's name."""
    for line in cpuinfo().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def has_bf16() -> bool | None:
    """Whether the processor multiplies bfloat16; None if the system does not say."""
    flags = cpuinfo()
    return (
        None
        if not flags
        else any(name in flags for name in ("avx512_bf16", "amx_bf16", "asimdbf16", " bf16"))
    )


def reset_peak_memory() -> None:
    """Let `peak_memory_mb` count from now on. This works only on Linux; elsewhere the peak remains
    that of the whole process.
    """
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def peak_memory_mb() -> int:
    """Most resident memory in MiB since `reset_peak_memory`; 0 on Windows, which does not say."""
    try:
        match = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
        if match:
            return int(match[1]) // 1024
    except OSError:
        pass
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 2**20 if sys.platform == "darwin" else peak // 1024


# Printed at every start on processors with AVX-512, whatever TF_CPP_MIN_LOG_LEVEL is, since
# logging is not set up yet.
_NOISE = (
    "All log messages before absl::InitializeLog()",
    "oneDNN custom operations are on",
    "cpu_feature_guard.cc",
    "To enable the following instructions",
)


def import_tensorflow() -> None:
    """Import TensorFlow. Native code's output to stderr is passed on without known noise."""
    if "tensorflow" in sys.modules:
        return
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as output:
        os.dup2(output.fileno(), 2)
        try:
            import tensorflow  # noqa: F401
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            output.seek(0)
            for line in output.read().decode(errors="replace").splitlines():
                if not any(noise in line for noise in _NOISE):
                    print(line, file=sys.stderr)


@contextmanager
def closed_files_closed_again() -> Iterator[None]:
    """Suppress a message: lz4's files are flushed after they are closed, and Python 3.13 and newer
    print that as an ignored exception.
    """
    shown = sys.unraisablehook

    def hook(event: sys.UnraisableHookArgs) -> None:
        if not (isinstance(event.exc_value, ValueError) and "closed file" in str(event.exc_value)):
            shown(event)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = shown


def onnx_session(model: bytes, num_threads: int) -> Any:
    """A session of ONNX Runtime on the processor; any number of threads may call it at once.

    Args:
        model: The bytes of the network. ONNX Runtime follows relative paths in it, to weights in
            the working directory, so a stranger's must be checked first (`mien.bundle.onnx_file`).
        num_threads: Threads for each call.

    Raises:
        Exception: one of `onnx_errors()`, if ONNX Runtime cannot run the network.
    """
    # ONNX Runtime would send events (paths, processor, system) to its maker; nothing leaves this
    # machine unasked.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    # Imported when first needed: it takes most of the time of a cold start.
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # errors are raised, so they need not be logged too
    # Threads that spin while waiting take cores from other programs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def onnx_errors() -> tuple[type[Exception], ...]:
    """The exceptions of ONNX Runtime, which have no common base."""
    from onnxruntime.capi import onnxruntime_pybind11_state as raised

    return (
        raised.Fail,
        raised.InvalidArgument,
        raised.InvalidGraph,
        raised.InvalidProtobuf,
        raised.NotImplemented,
        raised.RuntimeException,
        UnicodeDecodeError,  # from its message, if that quotes a damaged name
    )
