"""One reading for all pages, and streams that are bounded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from worker.errors import TransientError
from worker.operate.feed import Feed, FeedTimings

QUICK = FeedTimings(read_s=0.01, least_s=0.0, quiet_s=60.0, streams=2)


class Source:
    """A queue that counts how often it is read."""

    def __init__(self) -> None:
        self.reads = 0
        self.says: Any = {"jobs": 1}

    def __call__(self) -> dict[str, Any]:
        self.reads += 1
        if isinstance(self.says, Exception):
            raise self.says
        return {**self.says, "now": self.reads}


def with_feed(
    check: Callable[[Feed, Source], Awaitable[None]], timings: FeedTimings = QUICK, source: Source | None = None
) -> None:
    async def run() -> None:
        with ThreadPoolExecutor(1) as pool:
            found = source or Source()
            await check(Feed(found, pool, timings=timings), found)

    asyncio.run(run())


def stream(feed: Feed) -> AsyncIterator[str]:
    return feed.stream(lambda: True)


async def told(events: AsyncIterator[str]) -> Any:
    """What the next event says."""
    async for event in events:
        if event.startswith("data: "):
            return json.loads(event.removeprefix("data: "))
    return None


def test_two_pages_are_told_what_was_read_once() -> None:
    async def check(feed: Feed, source: Source) -> None:
        one, other = stream(feed), stream(feed)
        first = await told(one)
        assert first["jobs"] == 1
        assert (await told(other))["jobs"] == 1
        assert source.reads == 1

    with_feed(check, FeedTimings(read_s=60.0, least_s=0.0, quiet_s=60.0, streams=2))


def test_a_change_is_told_and_the_time_alone_is_none() -> None:
    async def check(feed: Feed, source: Source) -> None:
        events = stream(feed)
        await told(events)
        later = asyncio.create_task(told(events))
        while source.reads < 5:
            await asyncio.sleep(0.001)
        assert not later.done()
        source.says = {"jobs": 2}
        assert (await later)["jobs"] == 2

    with_feed(check)


def test_a_notification_has_the_queue_read_at_once() -> None:
    async def check(feed: Feed, source: Source) -> None:
        events = stream(feed)
        await told(events)
        source.says = {"jobs": 2}
        await asyncio.to_thread(feed.wake)
        assert (await told(events))["jobs"] == 2

    with_feed(check, FeedTimings(read_s=600.0, least_s=0.0, quiet_s=600.0, streams=2))


def test_nothing_is_read_while_no_page_is_open() -> None:
    async def check(feed: Feed, source: Source) -> None:
        assert source.reads == 0
        events = stream(feed)
        await told(events)
        await events.aclose()  # type: ignore[attr-defined]
        await asyncio.sleep(0)
        reads = source.reads
        await asyncio.sleep(0.05)
        assert source.reads == reads
        assert (await told(stream(feed)))["jobs"] == 1

    with_feed(check)


def test_of_too_many_streams_the_oldest_ends() -> None:
    async def check(feed: Feed, source: Source) -> None:
        del source
        streams = [stream(feed) for _ in range(3)]
        for each in streams[:2]:
            await told(each)
        last = asyncio.create_task(told(streams[2]))
        assert await told(streams[0]) is None
        assert (await last)["jobs"] == 1

    with_feed(check)


def test_all_streams_end_when_the_feed_is_closed() -> None:
    async def check(feed: Feed, source: Source) -> None:
        del source
        streams = [stream(feed), stream(feed)]
        for each in streams:
            await told(each)
        await asyncio.to_thread(feed.close)
        assert [await told(each) for each in streams] == [None, None]

    with_feed(check)


def test_a_stream_ends_with_its_session() -> None:
    async def check(feed: Feed, source: Source) -> None:
        allowed = [True]
        events = feed.stream(lambda: allowed[0])
        await told(events)
        allowed[0] = False
        source.says = {"jobs": 2}
        assert await told(events) is None

    with_feed(check)


def test_a_quiet_stream_says_that_it_is_there() -> None:
    async def check(feed: Feed, source: Source) -> None:
        del source
        events = stream(feed)
        await told(events)
        assert await anext(events) == ": quiet\n\n"

    with_feed(check, FeedTimings(read_s=60.0, least_s=0.0, quiet_s=0.01, streams=2))


def test_a_queue_that_does_not_answer_is_told_until_it_does() -> None:
    source = Source()
    source.says = TransientError("the database is away")

    async def check(feed: Feed, source: Source) -> None:
        events = stream(feed)
        assert await told(events) == {"failed": "the database is away"}
        source.says = {"jobs": 1}
        assert (await told(events))["jobs"] == 1
        source.says = ValueError("a customer's words")
        assert await told(events) == {"failed": "a bug of this program; its log says where"}

    with_feed(check, source=source)
