"""What `work` wires between the listener, the worker and the queue page."""

from __future__ import annotations

from typing import Any

from worker.cli.work import _both


class Told:
    def __init__(self) -> None:
        self.all: list[Any] = []

    def __call__(self, *arguments: str) -> None:
        self.all.append(arguments)

    def wake(self) -> None:
        self.all.append("page")


def test_a_notification_reaches_the_worker_and_the_page() -> None:
    told = Told()
    _both(told, told)("a job")  # type: ignore[arg-type]
    assert told.all == [("a job",), "page"]
    assert _both(told, None) is told
