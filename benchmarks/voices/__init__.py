"""What is promised of voices, tried on whole jobs: the real SDKs against stand-ins that answer as the services do."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
