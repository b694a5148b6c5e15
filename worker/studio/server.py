"""The studio's server: uvicorn in a thread of its own, on 127.0.0.1 alone."""

from __future__ import annotations

import logging
import socket
import threading
from types import TracebackType
from typing import Final, Self

import uvicorn
from starlette.types import ASGIApp

from worker.config import Config
from worker.errors import ConfigurationError
from worker.os_errors import in_words
from worker.render.materials import Materials
from worker.studio.app import StudioContext, application
from worker.studio.folder import StudioFolder
from worker.studio.guards import Access, Guard
from worker.studio.hearing import Hearing
from worker.studio.renders import Renders
from worker.studio.starts import Start

ADDRESS: Final = "127.0.0.1"
_HEAD_BYTES: Final = 16 * 1024
_MOST_AT_ONCE: Final = 64  # requests; more are answered with 503
_IDLE_S: Final = 30


def http_server(app: ASGIApp) -> uvicorn.Server:
    """What serves the studio, on whichever socket."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level=logging.CRITICAL + 1,  # what fails is logged by the application
            access_log=False,
            proxy_headers=False,
            server_header=False,
            h11_max_incomplete_event_size=_HEAD_BYTES,
            limit_concurrency=_MOST_AT_ONCE,
            timeout_keep_alive=_IDLE_S,
            timeout_graceful_shutdown=1,
        )
    )


class StudioServer:
    """A context manager: serves until it is left.

    Parameters
    ----------
    port : int
        0 for any free port.

    Raises
    ------
    ConfigurationError
        If the port is not available.
    """

    def __init__(self, config: Config, folder: StudioFolder, start: Start, *, port: int = 0) -> None:
        try:
            self._socket = socket.create_server((ADDRESS, port))
        except OSError as error:
            raise ConfigurationError(f"--port: {port} cannot be listened on: {in_words(error)}") from None
        self.port = int(self._socket.getsockname()[1])
        self.access = Access(self.port)
        materials = Materials(config, folder.fetch)
        self.context = StudioContext(config, materials, folder, Hearing(materials), Renders(materials, folder), start)
        # the guard is around all of it, so that the answer to a bug has its headers, too
        self._uvicorn = http_server(Guard(application(self.context), port=self.port, access=self.access))
        self._thread = threading.Thread(
            target=self._uvicorn.run, kwargs={"sockets": [self._socket]}, name="studio", daemon=True
        )

    @property
    def address(self) -> str:
        """Where to open the page, with the token that works once."""
        return f"http://{ADDRESS}:{self.port}/?token={self.access.token}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._uvicorn.should_exit = True
        self._thread.join(5)
        self._socket.close()
        self.context.renders.close()
        self.context.hearing.close()
