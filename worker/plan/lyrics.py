"""The spoken lines with their times, as LRC and WebVTT."""

from __future__ import annotations

from collections.abc import Sequence

from worker.plan.repetitions import SpokenSpan


def as_lrc(spoken: Sequence[SpokenSpan], sample_rate: int, *, title: str | None = None) -> str:
    """Lines as ``[mm:ss.xx]text``; an empty line where a voice falls silent for a while.

    Spans are in frames, in order; those without words (an uploaded recording) are left out. Of several voices each line
    begins with its layer's name.
    """
    lines = [f"[ti:{' '.join(title.split())}]"] if title else []
    words = [span for span in spoken if span.text]
    several = _are_several(words)
    for span, following in zip(words, [*words[1:], None], strict=False):
        said = f"{span.layer}: {span.text}" if several else span.text
        lines.append(f"[{_lrc_time(span.start / sample_rate)}]{' '.join(said.split())}")
        if following is None or following.start - span.stop > sample_rate:
            lines.append(f"[{_lrc_time(span.stop / sample_rate)}]")
    return "".join(f"{line}\n" for line in lines)


def as_webvtt(spoken: Sequence[SpokenSpan], sample_rate: int) -> str:
    """Cues of a WebVTT file (W3C WebVTT 1), one for each spoken line; of several voices each in its voice's span."""
    words = [span for span in spoken if span.text]
    several = _are_several(words)
    cues = [
        f"{_vtt_time(span.start / sample_rate)} --> {_vtt_time(span.stop / sample_rate)}\n"
        + (f"<v {_vtt_text(span.layer)}>" if several else "")
        + f"{_vtt_text(span.text)}\n"
        for span in words
    ]
    return "\n".join(["WEBVTT\n", *cues])


def _are_several(spoken: Sequence[SpokenSpan]) -> bool:
    return len({span.layer for span in spoken}) > 1


def _lrc_time(seconds: float) -> str:
    hundredths = round(seconds * 100)
    return f"{hundredths // 6000:02d}:{hundredths // 100 % 60:02d}.{hundredths % 100:02d}"


def _vtt_time(seconds: float) -> str:
    thousandths = round(seconds * 1000)
    minutes, rest = divmod(thousandths, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}.{rest % 1000:03d}"


def _vtt_text(text: str) -> str:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return " ".join(escaped.split())
