"""Fixtures of the commands' tests."""

from operating import operator, operator_at

__all__ = ["operator", "operator_at"]
