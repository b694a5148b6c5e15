"""Joins within the bit reservoir, on frames made here: whatever the layout, each frame's data stay what they were."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.codec.frames import EncodedFrames, read_mpeg_header
from worker.codec.reservoir import joined, main_data_begin, without_stuffing

SIDE = 36  # bytes of header and side information
FURTHEST = 511
MEDIUM, LOW_48 = b"\xff\xfb\xb0\x44", b"\xff\xfb\x94\x44"  # 192 kbit/s at 44.1 kHz, 128 at 48: slots of 590 and 348


@dataclass(frozen=True)
class Coded:
    """A frame to make: how far back its data begin, and how many bits they have."""

    begin: int
    bits: int


def stream(header: bytes, frames: list[Coded], seed: int = 1, *, filled: bool = True) -> EncodedFrames:
    """Make frames whose data are random bits, and whose stuffing is ones (or zeros)."""
    rng = np.random.default_rng(seed)
    size = read_mpeg_header(header).frame_bytes
    slot = size - SIDE
    slots = np.full(8 * slot * len(frames), filled, np.uint8)
    sides, last = [], 0
    for number, frame in enumerate(frames):
        at = 8 * (number * slot - frame.begin)
        assert last <= at, "data that overlap"
        last = at + frame.bits
        assert last <= 8 * slot * (number + 1), "data beyond the frame's slot"
        slots[at:last] = rng.integers(0, 2, frame.bits)
        side = f"{frame.begin:09b}" + "0" * 11
        for count in np.diff(np.linspace(0, frame.bits, 5).astype(int)):
            side += f"{count:012b}" + "1" * 47
        sides.append(int(side, 2).to_bytes(SIDE - 4, "big"))
    data = np.packbits(slots).tobytes()
    whole = b"".join(header + side + data[slot * at : slot * (at + 1)] for at, side in enumerate(sides))
    return EncodedFrames(whole, [size] * len(frames))


def data_of(encoded: EncodedFrames, number: int) -> str:
    """A frame's main data as a decoder reads them, in bits."""
    frames = [bytes(frame) for frame in encoded]
    side = "".join(f"{byte:08b}" for byte in frames[number][4:SIDE])
    count = sum(int(side[at : at + 12], 2) for at in (20, 79, 138, 197))
    before = b"".join(frame[SIDE:] for frame in frames[:number])
    held = before[len(before) - int(side[:9], 2) :] + frames[number][SIDE:]
    return "".join(f"{byte:08b}" for byte in held)[:count]


def assert_joined_at(place: int, before: EncodedFrames, after: EncodedFrames) -> None:
    whole = joined(before, after)
    assert whole is not None
    assert whole.sizes == after.sizes
    for number in range(len(after)):
        source = before if number < place else after
        assert data_of(whole, number) == data_of(source, number), f"frame {number}"


def test_the_data_that_a_frame_reaches_back_for_come_with_it():
    before = stream(MEDIUM, [Coded(0, 4000), Coded(90, 3000), Coded(300, 3000)], 1)
    after = stream(MEDIUM, [Coded(0, 3001), Coded(200, 2000), Coded(210, 6000), Coded(20, 100)], 2)
    assert_joined_at(2, before, after)


def test_a_reservoir_that_is_the_same_is_enough():
    before = stream(MEDIUM, [Coded(0, 100), Coded(511, 3000), Coded(500, 3000)], 1)
    after = stream(MEDIUM, [Coded(0, 100), Coded(511, 3000), Coded(500, 3001), Coded(511, 90)], 2)
    assert_joined_at(2, before, after)


def test_data_over_several_slots_come_whole():
    before = stream(LOW_48, [Coded(0, 8), Coded(347, 8), Coded(511, 8), Coded(511, 8)], 1)
    after = stream(LOW_48, [Coded(0, 9), Coded(300, 9), Coded(510, 9), Coded(511, 5000), Coded(200, 9)], 2)
    assert_joined_at(3, before, after)


def test_the_join_is_where_the_first_encoding_left_room():
    before = stream(MEDIUM, [Coded(0, 100), Coded(100, 4000), Coded(100, 4000), Coded(90, 4000)], 1)
    after = stream(MEDIUM, [Coded(0, 100), Coded(99, 4000), Coded(101, 4000), Coded(91, 4000), Coded(0, 9)], 2)
    assert_joined_at(1, before, after)


def test_a_frame_that_reaches_for_nothing_can_come_first():
    before = stream(MEDIUM, [Coded(0, 100), Coded(10, 100)], 1)
    after = stream(MEDIUM, [Coded(0, 100), Coded(11, 100), Coded(11, 100)], 2)
    assert_joined_at(0, before, after)


def test_there_is_no_join_where_no_frame_finds_its_room():
    before = stream(MEDIUM, [Coded(0, 100), Coded(10, 4000), Coded(20, 100)], 1).part(1, 3)
    after = stream(MEDIUM, [Coded(0, 100), Coded(11, 4000), Coded(21, 100), Coded(0, 1)], 2).part(1, 4)
    assert joined(before, after) is None


def test_a_frame_does_not_reach_beyond_the_frames_that_are_there():
    frames = [Coded(0, 100), Coded(300, 100), Coded(511, 100), Coded(511, 100)]
    before, after = (stream(LOW_48, frames, seed).part(1, 4) for seed in (1, 2))
    assert joined(before.part(0, 2), after) is None
    assert joined(before, after) is not None


def test_frames_with_a_checksum_are_refused():
    good, checked = (stream(header, [Coded(0, 8)] * 2) for header in (MEDIUM, b"\xff\xfa\xb0\x44"))
    for before, after in ((checked, good), (good, checked)):
        with pytest.raises(ValueError, match="checksum"):
            joined(before, after)


def test_frames_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match="626"):
        joined(stream(MEDIUM, [Coded(0, 8)]), stream(LOW_48, [Coded(0, 8)]))


@st.composite
def layouts(draw: st.DrawFn, header: bytes, count: int) -> list[Coded]:
    """Frames as an encoder may lay them out."""
    slot = read_mpeg_header(header).frame_bytes - SIDE
    frames, last = [], 0
    for number in range(count):
        begin = draw(st.integers(0, min(FURTHEST, number * slot - last)))
        bits = draw(st.integers(0, min(4 * 4095, 8 * (slot + begin))))
        last = number * slot - begin - (-bits // 8)
        frames.append(Coded(begin, bits))
    return frames


@settings(max_examples=200, deadline=None)
@given(st.data(), st.sampled_from([MEDIUM, LOW_48]), st.integers(0, 6))
def test_any_two_layouts_join_without_a_loss_or_not_at_all(data, header, shared):
    before = stream(header, data.draw(layouts(header, shared)), 1)
    after = stream(header, data.draw(layouts(header, shared + 3)), 2)
    fits = [
        number
        for number, (one, other) in enumerate(zip(before, after, strict=False))
        if main_data_begin(other) <= main_data_begin(one)
    ]
    if fits:
        assert_joined_at(max(fits), before, after)
    else:
        assert joined(before, after) is None


@settings(max_examples=200, deadline=None)
@given(st.data(), st.sampled_from([MEDIUM, LOW_48]), st.integers(1, 6), st.integers(0, 3))
def test_stuffing_is_zeroed_and_nothing_else(data, header, count, cut):
    frames = data.draw(layouts(header, count + cut))
    ones, zeros = (stream(header, frames, filled=filled).part(cut, cut + count) for filled in (True, False))
    assert bytes(without_stuffing(ones).data) == bytes(zeros.data)
    assert without_stuffing(ones).sizes == ones.sizes
