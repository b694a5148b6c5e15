"""The queue's page on a server of its own, as a worker has it on its port; and a browser that has logged in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import httpx

from worker.config import Config
from worker.operate.app import OperatorsPage
from worker.operate.editing_process import EDITING_TIMINGS, EditingTimings
from worker.operate.feed import FeedTimings
from worker.queue.service import Queue, open_queue
from worker.service.http_server import Server
from worker.service.state import State
from worker.service.status_pages import Answers, status_routes

TOKEN = "an-operator-s-token-of-34-characters"
WORKER_TOKEN = "another-token-for-the-worker"
QUICK = FeedTimings(read_s=0.1, least_s=0.05, quiet_s=0.2, streams=3)


@dataclass
class ServedPage:
    """A page, its server, and what they show."""

    server: Server
    page: OperatorsPage
    state: State
    queue: Queue
    client: Callable[..., httpx.Client]
    """Opens a client, which is closed with the page; ``logged_in=False``: a stranger's."""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"


@contextmanager
def served_page(
    config: Config, *, timings: FeedTimings = QUICK, editing: EditingTimings = EDITING_TIMINGS
) -> Iterator[ServedPage]:
    """Serve the page of a worker named w1."""
    with ExitStack() as stack:
        queue = open_queue(config, worker_name="w1")
        stack.callback(queue.close)
        state = State("w1", queue.description)
        page = OperatorsPage(config, queue, state, token=TOKEN, timings=timings, editing=editing)
        answers = Answers(state.health, state.readiness, lambda: b"mindscript_up 1\n", lambda: None)
        routes = [*status_routes(answers, with_process=True), *page.routes]
        server = Server(0, routes, token=WORKER_TOKEN, open_path=page.path, long_path=page.long_path, host="127.0.0.1")
        stack.callback(server.close)
        stack.callback(page.close)
        address = f"http://127.0.0.1:{server.port}"

        def client(*, logged_in: bool = True) -> httpx.Client:
            made = stack.enter_context(httpx.Client(base_url=address, headers={"Origin": address}, timeout=120))
            if logged_in:
                assert made.post("/studio/login", data={"token": TOKEN}).status_code == 303
            return made

        yield ServedPage(server, page, state, queue, client)
