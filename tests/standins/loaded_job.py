"""The real job, in a module that loads at once what the job loads when it needs it.

The fork server loads a job's module once. So each of many short jobs is spared that.
"""

from __future__ import annotations

import worker.media.guarded_http
import worker.storage.supabase_storage  # noqa: F401
from worker.job.run import run_job

__all__ = ["run_job"]
