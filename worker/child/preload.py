"""What the fork server loads once, so that a job's process starts with everything at hand.

Supabase's SDK and the cloud voices' are left out: they are large, and many jobs need none of them.
"""

import os

# Each job works on several stretches at once: threads inside a matrix product would only fight them.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
