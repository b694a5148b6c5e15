"""The modules that the fork server loads, so that a job process has NumPy and the payload's schema at once.

What only some jobs need is loaded when the first of them has needed it (`worker.job.large_modules`).
"""

from __future__ import annotations

import os
import sysconfig

# Segments of a track are computed side by side, so threads inside a matrix product would only compete with them; and
# threads do not survive a fork.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy.fft  # noqa: F401 - NumPy itself loads it at its first use

import worker.codec.encode
import worker.payload.parse
import worker.storage.choose  # noqa: F401
from worker.allocator import keep_freed_memory

keep_freed_memory()
sysconfig.get_config_vars()  # worked out once for a process; loguru asks for them where logs are set up
