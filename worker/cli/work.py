"""`mindscript-worker work`: run the worker, for ever or until the queue is empty."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from typing import TYPE_CHECKING, TextIO

from loguru import logger

from worker import logs
from worker.backoff import RetryPolicy
from worker.cli.database import with_database
from worker.cli.drain import DrainSummary, kept_for_document
from worker.config import Config
from worker.errors import JobError, TransientError
from worker.ffmpeg.program import find_ffmpeg
from worker.ffmpeg.sandbox import shortfall
from worker.job.process import DEFAULT_JOB
from worker.queue.listener import Listener
from worker.queue.service import LEASE_S, Queue, open_queue
from worker.service.heartbeat import WORKER_TIMINGS, WorkerTimings
from worker.service.notifications import EmailNotifier
from worker.service.observers import JobLog
from worker.service.stopping import Stopping, WakeEvent
from worker.service.worker import Worker, worker_name
from worker.storage.choose import open_storage
from worker.vendors import WARNED_DAYS, days_left
from worker.voice_names import configured_voices

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from worker.operate.app import OperatorsPage

_RECONNECTS = RetryPolicy(first_wait_s=1.0, longest_wait_s=30.0)
# Heroku sends SIGKILL 30 s after SIGTERM. If something hangs (a database that does not answer), the worker exits before
# that: the job process ends with the worker, and the lease expires.
_HARD_STOP_S = 23.0


def work(
    config: Config,
    *,
    drain: bool,
    as_json: bool = False,
    job: str = DEFAULT_JOB,
    timings: WorkerTimings = WORKER_TIMINGS,
    lease_s: float = LEASE_S,
) -> int:
    """Run the worker until it is asked to stop or, draining, until the queue is empty.

    Draining, it ends with what became of each job, and with 1 if one has failed.

    `as_json` prints that as JSON on standard output; the log then goes to standard error. `job` is the
    ``module:function`` that the job process calls. Tests take another, shorter timings and leases.

    Raises
    ------
    ConfigurationError
        If FFmpeg, the database or a credential is missing or refused.
    JobError
        If `as_json` is asked for without `drain`.
    """
    if as_json and not drain:
        raise JobError("--json: allowed is --drain --json; a worker that does not end prints no summary")
    with kept_for_document() if as_json else nullcontext() as document:
        return _work(config, drain, document, job, timings, lease_s)


def _work(
    config: Config, drain: bool, document: TextIO | None, job: str, timings: WorkerTimings, lease_s: float
) -> int:
    logs.set_up(config)
    ffmpeg = find_ffmpeg(config.ffmpeg)
    open_storage(config).close()
    wake_event = WakeEvent()
    stopping = Stopping(wake_event)
    _on_signal(stopping.set)
    with with_database(config) as config, ExitStack() as stack:
        stack.callback(_ignore_further_signals)
        queue = _open_queue(config, stopping, wake_event, lease_s)
        if queue is None:
            return 0
        stack.callback(queue.close)
        worker = Worker(config, queue, drain=drain, job=job, timings=timings, observers=[JobLog()])
        if config.resend_api_key is not None:
            worker.observe(EmailNotifier(config, queue.job))
        summary = DrainSummary()
        if drain:
            worker.observe(summary)
        _on_signal(worker.stop)
        if stopping.is_set():
            return 0
        logger.bind(event="started", mode=queue.mode, transport=queue.transport).info(
            "worker {} on {}, FFmpeg {}", worker.state.name, queue.description, ffmpeg.version
        )
        for lack in shortfall(ffmpeg.sandbox):
            logger.bind(event="sandbox").warning("FFmpeg runs without a part of its sandbox: {}", lack)
        _warn_of_ends(config)
        page = _operators_page(config, queue, worker)
        if config.database_url is not None and queue.mode == "leased":
            listener = Listener(
                config.database_url.get_secret_value(),
                on_wake=_both(worker.wake, page),
                on_cancel=_both(worker.cancelled, page),
                application=f"{worker.state.name} listener",
            )
            worker.state.listening = lambda: listener.up
            listener.start()
            stack.callback(listener.stop)
        if config.port is not None:
            stack.callback(_serve(config, config.port, worker, page))
        if page is not None:
            stack.callback(page.close)  # before the server: its streams end, and it need not wait for them
        try:
            worker.run()
            logger.bind(event="stopped").info("worker {} stopped", worker.state.name)
        finally:
            if drain:
                summary.tell(queue, config, document=document)
    return summary.exit_status


def _warn_of_ends(config: Config) -> None:
    """Log each configured voice that ends within `WARNED_DAYS`."""
    for name in configured_voices(config):
        left = days_left(name)
        if left is not None and left <= WARNED_DAYS:
            logger.bind(event="voice.ends", days=left).warning(
                "{} ends in {} days: `mindscript-worker doctor` says what to set", name, left
            )


def _on_signal(stop: Callable[[], None]) -> None:
    """Call `stop` on SIGTERM and SIGINT; exit with 0 some time later even if something hangs."""

    def handle(_number: int, _frame: object) -> None:
        if signal.getitimer(signal.ITIMER_REAL)[0] == 0.0:
            signal.setitimer(signal.ITIMER_REAL, _HARD_STOP_S)
        stop()

    signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)


def _ignore_further_signals() -> None:
    """Once stopped, ignore SIGTERM and SIGINT: Python resets handlers as it exits, and one more would then kill it."""
    if signal.getitimer(signal.ITIMER_REAL)[0] > 0.0:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)


def _open_queue(config: Config, stopping: Stopping, wake_event: WakeEvent, lease_s: float) -> Queue | None:
    """Connect, and wait for a database that is not up yet; None if a stop is requested first."""
    failures = 0
    while not stopping.is_set():
        try:
            return open_queue(config, worker_name=worker_name(config), lease_s=lease_s)
        except TransientError as error:
            failures += 1
            wait_s = _RECONNECTS.wait_s(failures)
            logger.bind(event="waiting").warning("{}; next try in {:.0f} s", error.message, wait_s)
            wake_event.wait(wait_s)
    return None


def _operators_page(config: Config, queue: Queue, worker: Worker) -> OperatorsPage | None:
    """The queue's page, where there is a port and a token for it."""
    if config.port is None or config.studio_token is None:
        return None
    from worker.operate.app import OperatorsPage  # as in `_serve`

    return OperatorsPage(config, queue, worker.state, token=config.studio_token.get_secret_value())


def _both(worker: Callable[..., None], page: OperatorsPage | None) -> Callable[..., None]:
    """Tell the worker what was notified, and then the page that something has changed."""
    if page is None:
        return worker

    def tell(*arguments: str) -> None:
        worker(*arguments)
        page.wake()

    return tell


def _serve(config: Config, port: int, worker: Worker, page: OperatorsPage | None) -> Callable[[], None]:
    """Start the HTTP server and the metrics; returns what stops the server."""
    # loaded only if there is a port: an idle worker without one is smaller
    from worker.service.http_server import Server
    from worker.service.metrics import Metrics
    from worker.service.status_pages import Answers, status_routes

    state = worker.state
    metrics = Metrics(state, configured_voices(config))
    worker.observe(metrics)
    worker.count_backlog()
    token = config.worker_token.get_secret_value() if config.worker_token is not None else None
    answers = Answers(state.health, state.readiness, metrics.text, worker.wake)
    routes: list[BaseRoute] = [*status_routes(answers, with_process=token is not None)]
    if page is not None:
        routes += page.routes
    open_path, long_path = (None, None) if page is None else (page.path, page.long_path)
    return Server(port, routes, token=token, open_path=open_path, long_path=long_path).close
