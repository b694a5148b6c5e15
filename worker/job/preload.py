"""What the nursery loads once, so that a job's process starts with NumPy and the job's format at hand.

An idle worker should be small: the resampler and what else a render needs takes 50 ms more in the job itself, SciPy,
the supabase SDK and the cloud voices' come with the jobs that want them.
"""

from __future__ import annotations

import os

# Tracks are cut into stretches that run side by side: threads inside a matrix product would only fight them, and
# threads do not survive a fork.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import worker.codec.encode
import worker.payload.parse
import worker.storage.choose  # noqa: F401
from worker.allocator import keep_freed_memory
from worker.cores import compute_in_batch

keep_freed_memory()
compute_in_batch()
