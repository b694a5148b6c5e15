"""Waits for what a page comes to: Playwright's `wait_for_function` needs `eval`, which the page's policy forbids."""

from __future__ import annotations

import time

from playwright.sync_api import Page

_LONGEST_S = 60.0
_LOOK_MS = 50


def until(page: Page, expression: str, *, longest_s: float = _LONGEST_S) -> None:
    """Wait until an expression of JavaScript is true; a minute at most."""
    deadline = time.monotonic() + longest_s
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, f"it did not come to this: {expression}"
        page.wait_for_timeout(_LOOK_MS)
