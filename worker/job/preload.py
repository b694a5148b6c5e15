"""What the fork server loads and works out once: NumPy, the payload's schema, the matrices of the loudness meter.

What only some jobs need is loaded when the first of them has needed it (`worker.job.large_modules`).
"""

from __future__ import annotations

import os
import sysconfig

# Segments of a track are computed side by side, so threads inside a matrix product would only compete with them; and
# threads do not survive a fork.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import numpy.fft  # NumPy itself loads it at its first use

import worker.codec.encode
import worker.payload.parse
import worker.storage.choose  # noqa: F401
from dsp.blocks import BLOCK_FRAMES
from dsp.loudness import LoudnessMeter
from worker.allocator import keep_freed_memory
from worker.payload.schema import SAMPLE_RATE_HZ

keep_freed_memory()
LoudnessMeter(SAMPLE_RATE_HZ).add(np.zeros((BLOCK_FRAMES, 2), np.float32))  # works out its matrices once for all jobs
sysconfig.get_config_vars()  # worked out once for a process; loguru asks for them where logs are set up
