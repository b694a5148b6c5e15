"""Fixtures of the worker's tests."""

from works import works

__all__ = ["works"]
