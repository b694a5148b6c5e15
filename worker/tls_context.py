"""The authorities that servers' certificates are held against: one context for every client of a process.

To read them takes 30 ms of a core, and each client that is made without a context reads them anew. It is a large module
(`worker.job.large_modules`): the fork server reads them for its jobs.
"""

from __future__ import annotations

import ssl
from typing import Final

import httpx

TLS_CONTEXT: Final[ssl.SSLContext] = httpx.create_ssl_context()
"""httpx's own: certifi's authorities, or those that SSL_CERT_FILE and SSL_CERT_DIR name."""
