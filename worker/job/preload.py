"""The modules that the fork server loads, so that a job process has NumPy and the payload's schema at once.

The fork server should be small: what else jobs need is loaded when the first of them has needed it
(`worker.job.large_modules`).
"""

from __future__ import annotations

import os

# Segments of a track are computed side by side, so threads inside a matrix product would only compete with them; and
# threads do not survive a fork.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import worker.codec.encode
import worker.payload.parse
import worker.storage.choose  # noqa: F401
from worker.allocator import keep_freed_memory

keep_freed_memory()
