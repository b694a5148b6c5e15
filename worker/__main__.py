"""Entry point of `mindscript-worker` and `python -m worker`."""

from __future__ import annotations

import os
import sys

# Spans of a track are rendered side by side: threads inside a matrix product would only compete with them.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# What is logged goes where `worker.logs` says, and nowhere else.
os.environ.setdefault("LOGURU_AUTOINIT", "False")


def main() -> int:
    """Run the command line; every failure that a person can fix is one line on standard error."""
    if sys.platform == "win32":
        print(
            "mindscript-worker does not run on Windows itself, but in WSL: run `wsl --install`, and install it there",
            file=sys.stderr,
        )
        return 1
    from worker.private_memory import keep_memory_private

    keep_memory_private()  # first: it holds keys, and runs programs on strangers' files
    from worker.allocator import keep_freed_memory
    from worker.cli.main import run

    keep_freed_memory()
    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
