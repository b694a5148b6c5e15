"""Pieces of one voice: cut without a click, and at one pace as far as is natural."""

from __future__ import annotations

import numpy as np
import pytest
from clips import ArrayClip
from hypothesis import given
from hypothesis import strategies as st
from signals import SPLITS

from worker.tts.processing import LARGEST_PACE_MATCH, USUAL_PACES, TrimmedClip, pace_tempos

paces = st.lists(st.one_of(st.none(), st.floats(0.02, 0.3)), max_size=12)


def test_what_words_alone_do_is_left():
    assert pace_tempos([0.05, 0.055, 0.06, 0.065, 0.07, None]) == [1.0] * 6


def test_a_much_slower_piece_is_brought_to_what_is_usual():
    assert pace_tempos([0.06] * 6 + [0.06 * 1.3, 0.06 * 0.65, 0.06 * 3]) == [
        *[1.0] * 6,
        pytest.approx(1.3 / 1.25),
        pytest.approx(0.65 / 0.7),
        pytest.approx(1.1),
    ]


def test_of_a_few_pieces_nothing_follows():
    assert pace_tempos([0.06, 0.06, 0.2, 0.06]) == [1.0] * 4


@given(paces)
def test_it_is_never_more_than_is_natural_and_never_away_from_the_median(paces_s):
    tempos = pace_tempos(paces_s)
    assert len(tempos) == len(paces_s)
    known = sorted(pace_s for pace_s in paces_s if pace_s)
    for pace_s, tempo in zip(paces_s, tempos, strict=True):
        assert 1 / LARGEST_PACE_MATCH <= tempo <= LARGEST_PACE_MATCH
        if pace_s is None or len(known) < 5:
            assert tempo == 1.0
        elif tempo > 1.0:
            assert pace_s > USUAL_PACES[1] * known[(len(known) - 1) // 2]
        elif tempo < 1.0:
            assert pace_s < USUAL_PACES[0] * known[len(known) // 2]


def test_a_trimmed_clip_rises_and_falls_at_its_edges_however_it_is_read():
    clip = TrimmedClip(ArrayClip(np.ones((900, 2), np.float32)), 100, 800, 0.5, rise_frames=100, fall_frames=250)
    edge = [0.5 * np.sin(np.pi / 2 * (np.arange(frames) + 0.5) / frames) ** 2 for frames in (100, 250)]
    expected = np.concatenate([edge[0], np.full(350, 0.5), edge[1][::-1]])
    for size in (700, 150, *SPLITS):
        parts = [clip.read(first, min(first + size, 700)) for first in range(0, 700, size)]
        assert np.concatenate(parts) == pytest.approx(np.repeat(expected[:, None], 2, axis=1), abs=1e-6)
