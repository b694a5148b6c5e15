"""The cookie of the queue's page, and how the token is tried."""

from __future__ import annotations

import asyncio

import pytest

from worker.operate import sessions
from worker.operate.sessions import MOST_WAITING, SESSION_S, Sessions, TooManyTriesError

TOKEN = "an-operator-s-token-of-34-characters"
HOST = "worker.example"


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def known(clock: Clock) -> Sessions:
    return Sessions(TOKEN, path="/studio", clock=clock)


@pytest.fixture(autouse=True)
def no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "WRONG_S", 0.0)


def cookie(set_cookie: str) -> str:
    return set_cookie.partition(";")[0]


def test_a_cookie_is_known_again_for_its_host_and_its_time(known: Sessions, clock: Clock) -> None:
    session, set_cookie = known.begin(HOST, secure=True)
    assert known.find(f"other=1; {cookie(set_cookie)}", HOST) == session
    assert known.find(cookie(set_cookie), "evil.example") is None
    clock.now += SESSION_S - 1
    assert known.find(cookie(set_cookie), HOST) == session
    clock.now += 1
    assert known.find(cookie(set_cookie), HOST) is None


def test_a_cookie_is_not_the_token_and_ends_with_it(known: Sessions, clock: Clock) -> None:
    _, set_cookie = known.begin(HOST, secure=False)
    assert TOKEN not in set_cookie
    assert Sessions(TOKEN, path="/studio", clock=clock).find(cookie(set_cookie), HOST)
    assert Sessions(f"{TOKEN}2", path="/studio", clock=clock).find(cookie(set_cookie), HOST) is None


def test_a_changed_cookie_is_not_known(known: Sessions) -> None:
    _, set_cookie = known.begin(HOST, secure=False)
    name, _, value = cookie(set_cookie).partition("=")
    until, session, signature = value.split(".")
    for changed in (
        f"{int(until) + 1}.{session}.{signature}",
        f"{until}.{session[::-1]}.{signature}",
        f"{until}.{session}.{signature[::-1]}",
        f"{until}.{session}.",
        f"{until}.{session}",
        f"{'9' * 500}.{session}.{signature}",
        "",
        "é",
    ):
        assert known.find(f"{name}={changed}", HOST) is None, changed
    assert known.find("\x00;;=,", HOST) is None


def test_a_session_that_was_ended_is_not_known(known: Sessions) -> None:
    session, set_cookie = known.begin(HOST, secure=False)
    assert "Max-Age=0" in known.end(session, secure=False)
    assert known.find(cookie(set_cookie), HOST) is None
    assert not known.is_good(session)


def test_ended_sessions_do_not_fill_the_memory(known: Sessions) -> None:
    for _ in range(1_100):
        known.end(known.begin(HOST, secure=False)[0], secure=False)
    assert len(known._ended) == 1_000


def test_the_cookie_s_attributes(known: Sessions) -> None:
    plain, secure = (known.begin(HOST, secure=secure)[1] for secure in (False, True))
    for set_cookie in (plain, secure):
        assert {"Path=/studio", "HttpOnly", "SameSite=Strict", f"Max-Age={SESSION_S}"} <= set(set_cookie.split("; "))
    assert ("Secure" in plain, "Secure" in secure) == (False, True)


def test_tokens_are_tried_one_after_another(known: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a wrong token is held up, no other is compared; too many at once are refused."""
    compared: list[str] = []
    release = asyncio.Event()

    async def sleep(seconds: float) -> None:
        del seconds
        await release.wait()

    digest = sessions.hmac.compare_digest
    monkeypatch.setattr(sessions.hmac, "compare_digest", lambda a, b: compared.append(a.decode()) or digest(a, b))

    async def tries() -> list[bool | BaseException]:
        with monkeypatch.context() as patched:
            given = [f"wrong {number}" for number in range(MOST_WAITING - 1)] + [TOKEN, "one too many"]
            tasks = [asyncio.create_task(known.is_token(each)) for each in given]
            patched.setattr(sessions.asyncio, "sleep", sleep)
            for _ in range(20):
                await asyncio.wait([asyncio.ensure_future(asyncio.Event().wait())], timeout=0)
            assert compared == ["wrong 0"]
            release.set()
            return await asyncio.gather(*tasks, return_exceptions=True)

    *wrong, right, refused = asyncio.run(tries())
    assert wrong == [False] * (MOST_WAITING - 1)
    assert right is True
    assert isinstance(refused, TooManyTriesError)
