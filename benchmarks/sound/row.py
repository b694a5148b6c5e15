"""One line of the table."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    """A promise, and what was measured.

    Attributes
    ----------
    what, figure : str
        As the table of the project's figures has them.
    measured : str
        In words and numbers, the worst of all that was tried.
    kept : bool
        Whether every single measurement keeps the figure.
    details : dict
        For the JSON file: each measurement by name.
    missed : tuple of str
        Which ones do not keep it.
    """

    what: str
    figure: str
    measured: str
    kept: bool
    details: dict[str, object] = field(default_factory=dict)
    missed: tuple[str, ...] = ()
