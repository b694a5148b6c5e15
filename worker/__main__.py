"""Entry point of `mindscript-worker` and `python -m worker`."""

from __future__ import annotations

import contextlib
import gc
import os
import sys

# Spans of a track are rendered side by side: threads inside a matrix product would only compete with them.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# What is logged goes where `worker.logs` says, and nowhere else.
os.environ.setdefault("LOGURU_AUTOINIT", "False")

# With Python's 700 the collector runs hundreds of times while modules load, and finds nothing: 4 % of a start.
_OBJECTS_PER_COLLECTION = 20_000


def main() -> int:
    """Run the command line; every failure that a person can fix is one line on standard error."""
    gc.set_threshold(_OBJECTS_PER_COLLECTION)
    from worker.allocator import keep_freed_memory
    from worker.cli.main import run

    keep_freed_memory()
    status = run(sys.argv[1:])
    if sys.argv[1:2] == ["render"]:  # Python would take apart every module first: 1 % of a ten-minute job
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)
    return status


if __name__ == "__main__":
    sys.exit(main())
