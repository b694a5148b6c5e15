"""A process that speaks: requests as JSON lines on standard input, ``ok`` or a reason on standard output.

It ends when its standard input does, so it never outlives the process that asked.
"""

from __future__ import annotations

import json
import os
import sys


def main(name: str) -> None:
    """Serve requests ``{"text", "into", "seed"}`` until the end of standard input.

    The seed is that of the voice's noise component: the same sentence gives the same samples.
    """
    import soundfile
    from hibari import Hibari

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the libraries print is no answer
    voice = Hibari(voice=name, threads=1)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            samples = voice(request["text"], seed=request["seed"])
            soundfile.write(request["into"], samples, voice.sample_rate, format="WAV", subtype="FLOAT")
        except (ValueError, RuntimeError, OSError, IndexError, KeyError) as error:
            print(f"{type(error).__name__}: {error}".replace("\n", " "), file=answers, flush=True)
        else:
            print("ok", file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
