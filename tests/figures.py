"""What long tests have counted, kept for the end of the run (`make faults`, `make soak`)."""

from __future__ import annotations

figures: list[str] = []


def tell(say: str, *, must: str, **counted: object) -> None:
    """Print what was counted, and keep it."""
    told = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in counted.items())
    figures.append(f"{say}\n    must hold: {must}\n    {told}")
    print(f"\n{figures[-1]}", flush=True)
