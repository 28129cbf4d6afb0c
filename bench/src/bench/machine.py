"""The machine that figures belong to."""

import os
from pathlib import Path
from typing import Any

_EXTENSIONS = ("avx2", "avx512f", "avx512_vnni", "amx_bf16", "amx_int8")


def machine(cpuinfo: Path = Path("/proc/cpuinfo")) -> dict[str, Any]:
    """Processor, what it offers to networks, memory, and how busy it is with other work."""
    facts = _facts(cpuinfo)
    flags = facts.get("flags", "").split()
    return {
        "processor": facts.get("model name", "unknown"),
        "cores": len(os.sched_getaffinity(0)),
        "extensions": [name for name in _EXTENSIONS if name in flags],
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "load_average": round(os.getloadavg()[0], 1),
    }


def has_amx(found: dict[str, Any]) -> bool:
    """Whether it multiplies bfloat16 matrices in hardware."""
    return "amx_bf16" in found["extensions"]


def in_words(found: dict[str, Any]) -> str:
    """One line."""
    extensions = ", ".join(found["extensions"]) or "no vector extensions known"
    return (
        f"{found['processor']}, {found['cores']} cores ({extensions}), "
        f"{found['memory_gb']} GiB; load average {found['load_average']}"
    )


def _facts(cpuinfo: Path) -> dict[str, str]:
    if not cpuinfo.exists():
        return {}
    lines = (line.partition(":") for line in cpuinfo.read_text().splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, _, value in lines}
