"""A page for each test that wants one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from operating import Operator, operator, operator_at
from operators_page import ServedPage, served_page

__all__ = ["operator", "operator_at"]


@pytest.fixture
def served(operator: Operator) -> Iterator[ServedPage]:
    """The page on a database in one of the ways in which a worker meets it."""
    with served_page(operator.config) as page:
        yield page
