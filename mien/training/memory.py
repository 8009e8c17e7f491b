"""Peak memory of this process."""

from __future__ import annotations

import re
import sys
from pathlib import Path


def reset_peak_memory() -> None:
    """Let `peak_memory_mb` count from now on. Only Linux can; elsewhere the peak stays the
    process's own.
    """
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def peak_memory_mb() -> int:
    """Most resident memory in MiB since `reset_peak_memory`; 0 where the system does not tell
    (Windows).
    """
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
        if found:
            return int(found[1]) // 1024
    except OSError:
        pass
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 2**20 if sys.platform == "darwin" else peak // 1024
