"""What the checks of spoken pieces find in real speech, clean and spoilt; their cost.

python -m benchmarks.pieces [--takes 4]
"""

from __future__ import annotations

import io
import resource
import sys
import tempfile
import time
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import soundfile

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from spoken_pieces import (
    CORRECTED,
    RATE,
    SENTENCES,
    SPEEDS,
    SpokenPiece,
    as_flac,
    clean_pieces,
    clip_of,
    said,
    spoilt_pieces,
)

from worker.tts.piece_check import PieceCheck, VoiceMedians, examine_piece, voice_medians
from worker.tts.recognition import ALARM_FROM, recognise
from worker.tts.samples import write_samples

_SHORTEST_CHARACTERS = 20
_TAKES = 4


def main() -> None:
    """Measure and print."""
    clean = list(clean_pieces())
    started = time.process_time()
    unjudged = [examine(piece, VoiceMedians()) for piece in clean]
    cost_s = (time.process_time() - started) / sum(len(piece.samples) for piece in clean) * RATE
    medians = voice_medians(unjudged)
    print(f"| {'piece':<24} | caught | of | as |")
    print(f"|{'-' * 26}|-------:|---:|----|")
    suspicious = _suspicious(clean, "clean")
    for take in range(1, _TAKES):  # the limits were chosen on the first one
        suspicious += _suspicious(list(clean_pieces(take)), f"clean, take {take + 1}")
    texts = [text for text in SENTENCES if len(text) >= _SHORTEST_CHARACTERS]
    others = texts[1:] + texts[:1]
    spoilt = [spoilt_pieces(text, other) for text, other in zip(texts, others, strict=True)]
    for name in spoilt[0]:
        checks = [examine(pieces[name], medians) for pieces in spoilt]
        caught = sum(bool(check.corrections if name in CORRECTED else check.faults) for check in checks)
        print(f"| {name:<24} | {caught:6} | {len(checks):2} | {_kinds(checks)} |")
    right = sum(_read_as_flac(text) for text in texts)
    print(f"| {'wrong type by bytes':<24} | {right:6} | {len(texts):2} | read as the FLAC it is |")
    print(
        f"\nclean: {len(SENTENCES)} sentences at {len(SPEEDS)} speeds, most of them as recordings or codecs leave them;"
    )
    print(f"spoilt: each sentence of {_SHORTEST_CHARACTERS} characters and more in each way.")
    print(f"Cost: {cost_s * 60:.2f} s of one core for each minute of speech that a voice has just spoken.")
    if find_spec("faster_whisper") is not None:
        _recognition([(text, other) for text, other in zip(texts, others, strict=True)])
    for piece, check in suspicious:
        print(f"clean, but {', '.join(check.faults + check.corrections)}: {piece.name}: {piece.text}")


def _suspicious(pieces: list[SpokenPiece], name: str) -> list[tuple[SpokenPiece, PieceCheck]]:
    """Print and return the pieces of a voice that are not taken as they are."""
    medians = voice_medians([examine(piece, VoiceMedians()) for piece in pieces])
    checks = [(piece, examine(piece, medians)) for piece in pieces]
    found = [(piece, check) for piece, check in checks if check.faults or check.corrections]
    print(f"| {name:<24} | {len(found):6} | {len(pieces):2} | {_kinds([check for _, check in found])} |")
    return found


def _recognition(pairs: list[tuple[str, str]]) -> None:
    """`VERIFY=report`: the clean pieces and those with other words, as one voice."""
    pieces = [(text, clip_of(SpokenPiece("", said(words), text))) for text, other in pairs for words in (text, other)]
    seconds = sum(clip.frames for _, clip in pieces) / RATE
    with tempfile.TemporaryDirectory() as folder:
        found = recognise(pieces, Path(folder), sample_rate=RATE)
    assert found is not None
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    right = [error for number, error in found.word_errors if number % 2 == 1]
    wrong = [error for number, error in found.word_errors if number % 2 == 0]
    print(
        f"\nVERIFY=report: alarms for {sum(error > ALARM_FROM for error in wrong)} of {len(wrong)} with other words, "
        f"{sum(error > ALARM_FROM for error in right)} of {len(right)} clean ones (word error "
        f"{sum(right) / len(right):.3f}); {used.ru_utime + used.ru_stime:.0f} s of one core for "
        f"{seconds:.0f} s of speech"
    )


def examine(piece: SpokenPiece, medians: VoiceMedians) -> PieceCheck:
    """Examine a piece as the worker does."""
    return examine_piece(clip_of(piece), RATE, piece.text, medians, speed=piece.speed)


def _kinds(checks: list[PieceCheck]) -> str:
    counts = Counter(kind for check in checks for kind in check.faults + check.corrections)
    return ", ".join(f"{kind} {count}" for kind, count in counts.most_common()) or "–"


def _read_as_flac(text: str) -> bool:
    sound = as_flac(said(text))
    with tempfile.TemporaryDirectory() as folder:
        into = Path(folder) / "piece"
        write_samples(into, [sound[:999], sound[999:]], RATE, provider="a gateway")
        return into.read_bytes() == sound and len(soundfile.read(io.BytesIO(sound))[0]) == len(said(text))


if __name__ == "__main__":
    main()
