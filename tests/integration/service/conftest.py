"""Fixtures of the worker's tests."""

from works import fork_server, works

__all__ = ["fork_server", "works"]
