"""What this project costs, beside what others cost; nothing here runs with the tests."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the worker sets it, and before NumPy is loaded
