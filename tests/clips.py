"""Clips for tests and benchmarks."""

from __future__ import annotations

from dataclasses import dataclass

from dsp.blocks import Block


@dataclass(frozen=True)
class ArrayClip:
    """A clip held in memory, shape (frames, 2)."""

    samples: Block

    @property
    def frames(self) -> int:
        """Length in frames."""
        return len(self.samples)

    def read(self, start: int, stop: int, out: Block | None = None) -> Block:
        """Read frames `[start, stop)`."""
        if out is None:
            return self.samples[start:stop]
        out[:] = self.samples[start:stop]
        return out
