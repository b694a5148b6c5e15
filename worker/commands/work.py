"""`mindscript-worker work`: the polling worker, for ever or until the queue is empty."""

from __future__ import annotations

import platform
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from typing import Any

from loguru import logger

from worker import logs
from worker.child import DEFAULT_JOB
from worker.commands.database import with_database
from worker.config import Config
from worker.errors import TransientError
from worker.ffmpeg import find_ffmpeg
from worker.listen import Listener
from worker.loop import Watch, Worker, worker_name
from worker.mail import notify_failed, notify_ready
from worker.queue import Queue, open_queue
from worker.running import Ended
from worker.supabase_access import supabase_of

_ALIVE_S = 120.0  # a loop that has not gone round for so long hangs
_RECONNECT_S = (1.0, 30.0)


def work(config: Config, *, drain: bool, job: str = DEFAULT_JOB) -> int:
    """Run the worker; returns when it was told to stop, or, draining, when the queue is empty.

    Raises
    ------
    ConfigurationError
        If FFmpeg, the database or a credential is missing or refused.
    """
    logs.set_up(config)
    ffmpeg = find_ffmpeg(config.ffmpeg)
    supabase_of(config)  # half a setting is better told now than by the first job
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    with with_database(config) as config, ExitStack() as stack:
        queue = _open_queue(config, stopped)
        if queue is None:
            return 0
        stack.callback(queue.close)
        watch = stack.enter_context(_watch(config))
        worker = Worker(config, queue, drain=drain, watch=watch, job=job)
        # A second signal finds the worker stopping already and changes nothing.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: worker.stop())
        if stopped.is_set():
            return 0
        logger.bind(event="started", mode=queue.mode, transport=queue.transport).info(
            "worker {} on {}, FFmpeg {}", worker.state.name, queue.describe(), ffmpeg.version
        )
        if config.database_url is not None and queue.mode == "leased":
            stack.enter_context(_listening(config, worker))
        if config.port is not None:
            stack.enter_context(_serving(config, worker, watch))
        worker.run()
        logger.bind(event="stopped").info("worker {} stopped", worker.state.name)
    return 0


def _open_queue(config: Config, stopped: threading.Event) -> Queue | None:
    """Connect, waiting for a database that is not up yet; None when told to stop before that."""
    pause_s = _RECONNECT_S[0]
    while not stopped.is_set():
        try:
            return open_queue(config, worker_name=worker_name(config))
        except TransientError as error:
            logger.bind(event="waiting").warning("{}; next try in {:.0f} s", error.message, pause_s)
            stopped.wait(pause_s)
            pause_s = min(2 * pause_s, _RECONNECT_S[1])
    return None


@contextmanager
def _listening(config: Config, worker: Worker) -> Iterator[None]:
    if config.database_url is None:
        yield
        return
    listener = Listener(
        config.database_url.get_secret_value(),
        on_wake=worker.wake,
        on_cancel=worker.cancelled,
        application=f"{worker.state.name} listener",
    )
    worker.state.listening = lambda: listener.up
    listener.start()
    try:
        yield
    finally:
        listener.stop()


class _Mailing(Watch):
    """Tells customers and operators by mail, beside the loop."""

    def __init__(self, config: Config, inner: Watch) -> None:
        self._config = config
        self._inner = inner

    def ended(self, ended: Ended) -> None:
        """Pass on, and write a letter in a thread of its own: mail never holds up a job."""
        self._inner.ended(ended)
        if ended.outcome in ("completed", "failed", "poison"):
            threading.Thread(target=self._write, args=(ended,), name="mail").start()

    def _write(self, ended: Ended) -> None:
        claim = ended.claim
        if ended.outcome == "completed":
            title, duration_s = ended.summary.get("title"), ended.summary.get("duration_s")
            preview_url = ended.summary.get("preview_url")
            notify_ready(
                self._config,
                job_id=claim.job_id,
                user_id=claim.user_id,
                title=title if isinstance(title, str) else None,
                duration_s=duration_s if isinstance(duration_s, float) else None,
                preview_url=preview_url if isinstance(preview_url, str) else None,
            )
            return
        notify_failed(
            self._config,
            job_id=claim.job_id,
            code=getattr(ended.error, "code", "worker.crashed"),
            message=str(ended.error or "the job ended its process three times"),
            attempts=claim.attempt,
            track_id=claim.track_id,
            user_id=claim.user_id,
        )


@contextmanager
def _watch(config: Config) -> Iterator[Watch]:
    watch = Watch()
    if config.port is not None:
        from worker.metrics import Metrics

        watch = Metrics()
    yield _Mailing(config, watch) if config.resend_api_key is not None else watch


@contextmanager
def _serving(config: Config, worker: Worker, watch: Watch) -> Iterator[None]:
    from worker.http import Answers, Server
    from worker.metrics import Metrics

    metrics = watch if isinstance(watch, Metrics) else getattr(watch, "_inner", None)
    state = worker.state

    def health() -> tuple[bool, dict[str, Any]]:
        return state.age_s < _ALIVE_S, {
            "status": "stopping" if state.stopping else "ok",
            "worker": state.name,
            "queue": state.mode,
            "listener": state.listening(),
            "loop_age_s": round(state.age_s, 1),
            "uptime_s": round(time.time() - state.started_at),
            "jobs": [
                {"id": job.claim.job_id, "stage": job.stage, "percent": job.percent} for job in list(state.running)
            ],
            "claimed": state.claimed,
            "outcomes": dict(state.outcomes),
            "rescued": state.rescued,
            "trouble": state.trouble,
            "versions": {"worker": version("mindscript-audio-worker"), "python": platform.python_version()},
        }

    def ready() -> tuple[bool, dict[str, Any]]:
        good = state.trouble is None and not state.stopping and state.age_s < _ALIVE_S
        return good, {"ready": good, "trouble": state.trouble}

    server = Server(
        config.port or 0,
        Answers(
            health=health,
            ready=ready,
            metrics=lambda: metrics.text(state) if isinstance(metrics, Metrics) else b"",
            process=worker.wake,
            token=config.worker_token.get_secret_value() if config.worker_token is not None else None,
        ),
    )
    try:
        yield
    finally:
        server.close()
