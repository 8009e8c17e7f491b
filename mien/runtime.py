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

Watcher = Callable[[str, int, int], None]  # job, number of finished parts, number of all parts
_watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


@contextmanager
def watched_by(watcher: Watcher) -> Iterator[None]:
    """Report the progress of long jobs to `watcher` within the block."""
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


def tell_progress(what: str, done: int, total: int) -> None:
    """Report progress to the watcher, if the command line has set one."""
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
    """Number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def has_bf16() -> bool | None:
    """Whether the processor has bfloat16 instructions; None if the system does not say."""
    flags = cpuinfo()
    return (
        None
        if not flags
        else any(name in flags for name in ("avx512_bf16", "amx_bf16", "asimdbf16", " bf16"))
    )


def reset_peak_memory() -> None:
    """Let `peak_memory_mb` count from now on. Only Linux can do this; elsewhere the peak is that of
    the whole process.
    """
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def peak_memory_mb() -> int:
    """Peak resident memory in MiB since `reset_peak_memory`; 0 on Windows, which does not say."""
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


# TensorFlow prints these at every start on processors with AVX-512, whatever TF_CPP_MIN_LOG_LEVEL
# is, since its logging is not set up yet.
_NOISE = (
    "All log messages before absl::InitializeLog()",
    "oneDNN custom operations are on",
    "cpu_feature_guard.cc",
    "To enable the following instructions",
)


def import_tensorflow() -> None:
    """Import TensorFlow, and pass on what its native code prints to stderr, without known noise."""
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
    """Suppress a harmless message: lz4 flushes files after closing them, which Python 3.13 and
    newer print as an ignored exception.
    """
    previous_hook = sys.unraisablehook

    def hook(event: sys.UnraisableHookArgs) -> None:
        if not (isinstance(event.exc_value, ValueError) and "closed file" in str(event.exc_value)):
            previous_hook(event)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = previous_hook


def onnx_session(model: bytes, num_threads: int) -> Any:
    """A session of ONNX Runtime on the CPU; any number of threads may call it at once.

    Args:
        model: The bytes of the network. ONNX Runtime follows relative paths in it to weights in the
            working directory, so check untrusted ones first (`mien.bundle.onnx_file`).
        num_threads: Threads for each call.

    Raises:
        Exception: one of `onnx_errors()`, if ONNX Runtime cannot run the network.
    """
    # ONNX Runtime would send events (paths, processor, system) to its maker.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    # Imported only when needed: it takes most of the time of a cold start.
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # errors are raised, so they need no log
    # Threads that spin while waiting would take cores from other programs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def onnx_errors() -> tuple[type[Exception], ...]:
    """The exceptions of ONNX Runtime, which have no common base."""
    from onnxruntime.capi import onnxruntime_pybind11_state as exceptions

    return (
        exceptions.Fail,
        exceptions.InvalidArgument,
        exceptions.InvalidGraph,
        exceptions.InvalidProtobuf,
        exceptions.NotImplemented,
        exceptions.RuntimeException,
        UnicodeDecodeError,  # raised if its message quotes a damaged name
    )
