"""Entry point of `mindscript-worker` and `python -m worker`."""

from __future__ import annotations

import os
import sys

# Tracks are cut into stretches that run side by side: threads inside a matrix product would only fight them.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def main() -> int:
    """Run the command line; every failure a person can mend is one line on standard error."""
    from worker.cli import run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
