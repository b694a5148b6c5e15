"""Entry point of `mindscript-worker` and `python -m worker`."""

from __future__ import annotations

import gc
import os
import sys

# Tracks are cut into stretches that run side by side: threads inside a matrix product would only fight them.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# There are none, and to look for them in every installed package takes longer than the models.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")
# What is logged goes where `worker.logs` says, and nowhere else.
os.environ.setdefault("LOGURU_AUTOINIT", "False")


def main() -> int:
    """Run the command line; every failure a person can mend is one line on standard error."""
    # Forty thousand objects are loaded, none of them garbage: the collector need not look through them a hundred times.
    gc.set_threshold(10_000)
    from worker.allocator import keep_freed_memory
    from worker.cli.main import run

    keep_freed_memory()
    status = run(sys.argv[1:])
    gc.freeze()  # at the end, too, it would look through all of them
    return status


if __name__ == "__main__":
    sys.exit(main())
