"""The machine that this runs on: for reports, benchmarks and the number of threads."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def cpuinfo() -> str:
    """What Linux says about the processor; empty elsewhere."""
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
    """Whether the processor multiplies bfloat16; None where the system does not tell."""
    flags = cpuinfo()
    return (
        None
        if not flags
        else any(name in flags for name in ("avx512_bf16", "amx_bf16", "asimdbf16", " bf16"))
    )
