"""How much memory this process takes, and took at most, by the account of its kernel."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

_STATUS, _FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def memory_now() -> int | None:
    """Return the bytes that this process has in memory; None where the system does not tell (it is Linux that does)."""
    return _status("VmRSS")


def forget_peak() -> bool:
    """Have the peak counted from now on, and say whether the system can."""
    with contextlib.suppress(OSError):
        _FORGET.write_text("5", encoding="ascii")  # proc(5)
        return _status("VmHWM") is not None
    return False


def peak_memory() -> int | None:
    """Return the bytes that this process had in memory at most since :func:`forget_peak`.

    Where that cannot be told, since the process began; None where that cannot either.
    """
    peak = _status("VmHWM")
    if peak is not None:
        return peak
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _status(field: str) -> int | None:
    with contextlib.suppress(OSError):
        for line in _STATUS.read_text(encoding="utf-8").splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
    return None
