"""What the nursery loads once, so that a job's process starts with the renderer at hand.

The supabase SDK, the cloud voices' and SciPy are left out: they are large, and an idle worker should be small.
"""

from __future__ import annotations

import os

# Tracks are cut into stretches that run side by side: threads inside a matrix product would only fight them, and
# threads do not survive a fork.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import worker.codec.encode
import worker.fetch.fetch
import worker.order.job
import worker.render.produce
import worker.render.studio
import worker.storage.storage  # noqa: F401
