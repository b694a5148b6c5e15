"""The cache of speech: nothing is paid twice, and nothing damaged is kept."""

from __future__ import annotations

import time

import numpy as np
import pytest
from cloud_voices import speak, speak_parts, voice
from standins.speech import Answer

from worker.errors import TransientError
from worker.tts.cache import SpeechCache
from worker.tts.speech import SpeechStats


def test_nothing_is_paid_twice(service, tmp_path):
    for expected in (1, 1, 2):
        said = SpeechStats()
        speed = 0.9 if expected == 1 else 1.1  # another voice sounds otherwise, and is paid
        speak(service, tmp_path, "I am calm.", said=said, speed=speed)
        assert len(service.requests) == expected
    assert (said.hits, said.misses) == (0, 1)


def test_a_damaged_cache_entry_is_spoken_anew(service, tmp_path):
    speak(service, tmp_path, "I am calm.")
    (entry,) = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    entry.write_bytes(entry.read_bytes()[:100])
    assert np.isfinite(speak(service, tmp_path, "I am calm.").loudness_lufs)
    assert len(service.requests) == 2


def test_a_piece_that_is_damaged_in_the_shared_store_is_taken_out_of_it(service, tmp_path):
    class Store(dict):
        def put(self, key, data):
            self.setdefault(key, data)  # nothing is overwritten

        def remove(self, key):
            self.pop(key, None)

    store, said = Store(), []
    for number in range(3):
        said.append(SpeechStats())
        cache = SpeechCache(tmp_path / f"dyno-{number}", 100, store)
        speak(service, tmp_path, "I am calm.", cache=cache, said=said[-1])
        if number == 0:
            store.update({key: data[:100] for key, data in store.items()})
    assert len(service.requests) == 2
    assert [(each.hits, each.misses) for each in said] == [(0, 1), (0, 1), (1, 0)]


def test_a_cache_that_cannot_be_written_costs_money_but_no_job(service, tmp_path):
    (tmp_path / "cache").write_bytes(b"a file where the folder should be")
    assert np.isfinite(speak(service, tmp_path, "I am calm.").loudness_lufs)


@pytest.mark.parametrize("kind", ["empty", "silence", "text", "cut"])
def test_sound_that_is_none_is_not_kept(service, tmp_path, kind):
    service.answers = [Answer(kind=kind)] * 2
    with pytest.raises(TransientError):
        speak(service, tmp_path, "I am calm.")
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    service.answers = [Answer(kind=kind)]
    speak(service, tmp_path, "I am calm.")
    assert service.whole == {"I am calm.": 1}
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_the_cache_stays_below_its_size_and_drops_what_was_used_least(tmp_path):
    cache = SpeechCache(tmp_path / "cache", max_mb=1)
    for number in range(4):
        piece = tmp_path / str(number)
        piece.write_bytes(b"x" * 400_000)
        cache.keep(cache.key("voice", str(number)), piece)
        time.sleep(0.02)  # file times are no finer than the kernel's tick
        assert cache.find(cache.key("voice", "0")) is not None or number > 2
        time.sleep(0.02)
    kept = [number for number in range(4) if cache.find(cache.key("voice", str(number))) is not None]
    assert 3 in kept
    assert len(kept) == 2


@pytest.mark.parametrize(("provider", "paid"), [("openai", 1), ("elevenlabs", 3)])
def test_a_changed_word_costs_its_line_and_what_continues_it(service, tmp_path, provider, paid):
    """ElevenLabs gets the end of the line before and the beginning of the next, so these change, too."""
    lines = [f"This is line number {number} of a calm script." for number in range(8)]
    speak_parts("\n".join(lines), voice(service, provider), tmp_path)
    assert len(service.requests) == 8
    lines[4] = lines[4].replace("calm", "quiet")
    speak_parts("\n".join(lines), voice(service, provider), tmp_path)
    assert len(service.requests) == 8 + paid


@pytest.mark.further
def test_of_a_long_neighbour_only_what_is_near_counts(service, tmp_path):
    long = ", ".join(f"Part number {number}" for number in range(40))
    speak_parts(f"{long}.\nI am calm.\n{long}!", voice(service, "elevenlabs"), tmp_path)
    middle = next(request["body"] for request in service.requests if request["body"]["text"] == "I am calm.")
    assert middle["previous_text"] == f"{long}."[-200:]
    assert middle["next_text"] == f"{long}!"[:200]
    speak_parts(f"Another {long}.\nI am calm.\n{long}, and more!", voice(service, "elevenlabs"), tmp_path)
    assert [request["body"]["text"] for request in service.requests].count("I am calm.") == 1
