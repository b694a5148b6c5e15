"""Large modules that some jobs need, and others do not.

The first job that needs one loads it, and says so as it ends; the fork server then loads it for those that follow
(`python -m benchmarks.large_modules` prints what that takes).
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable

# By number, as one byte asks for them: at most eight.
LARGE_MODULES = (
    "openai.resources.audio",
    "openai.resources.realtime.realtime",
    "websockets.sync.client",
    "elevenlabs.text_to_speech.client",
    "storage3",
    "httpcore",
    "worker.tls_context",
)


def loaded() -> frozenset[str]:
    """Return those that this process has loaded."""
    return frozenset(name for name in LARGE_MODULES if name in sys.modules)


def request(names: Iterable[str]) -> bytes:
    """Return the byte that asks for modules."""
    return bytes([sum(1 << LARGE_MODULES.index(name) for name in names)])


def load(request: bytes) -> bool:
    """Load what a byte asks for; return whether any was new. One that fails fails again in the job, which says so."""
    wanted = {name for number, name in enumerate(LARGE_MODULES) if request[0] >> number & 1}
    new = wanted - loaded()
    for name in new:
        try:
            importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 - whatever a library does as it is loaded
            print(f"{name} could not be loaded: {type(error).__name__}", file=sys.stderr, flush=True)
    return bool(new)
