"""Tracks one after another, as one source: the whole of an album."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dsp.blocks import Block
from dsp.plan import RenderPlan, render


@dataclass(frozen=True)
class InTurn:
    """Plans that begin at so many frames, each after the end of the one before; silence between them."""

    plans: tuple[RenderPlan, ...]
    starts: tuple[int, ...]

    def render(self, start: int, stop: int) -> Block:
        """Make frames `[start, stop)`, float32, shape (stop - start, 2)."""
        block = np.zeros((stop - start, 2), np.float32)
        for plan, begins in zip(self.plans, self.starts, strict=True):
            first, last = max(start, begins), min(stop, begins + plan.frames)
            if first < last:
                block[first - start : last - start] = render(plan, first - begins, last - begins)
        return block

    def silent(self, start: int, stop: int) -> bool:
        """Whether no track sounds in these frames."""
        return not any(
            begins < stop and start < begins + plan.frames for plan, begins in zip(self.plans, self.starts, strict=True)
        )
