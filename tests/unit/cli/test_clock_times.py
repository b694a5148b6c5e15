"""Times as people write them."""

from __future__ import annotations

import pytest

from worker.cli.clock_times import seconds_of
from worker.errors import JobError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("2.5", 2.5), ("1:30", 90), ("1:02:03", 3723), ("90:00", 5400), ("0:00.25", 0.25), (" 5 ", 5)],
)
def test_a_time_is_read(text: str, seconds: float) -> None:
    assert seconds_of("--from", text) == seconds


@pytest.mark.parametrize("text", ["", "-5", "1:60", "1:60:00", "1m", "nan", "1e3", "١", "1:2:3:4", ".", ":30", "0.05"])
def test_what_is_no_time_is_named_with_what_is(text: str) -> None:
    with pytest.raises(JobError) as caught:
        seconds_of("--from", text, least_s=0.1)
    expected = f"--from: found {text!r}, allowed is a time such as 90, 2.5, 1:30 or 1:02:03, at least 0.1 s"
    assert caught.value.message == expected
