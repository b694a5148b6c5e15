"""Write byte code for the modules that the installed program imports, at its start or later; no other's.

Run, where the program is installed and its folders can be written: python3 tools/compile_imported.py

In an image nothing can be written later: without byte code each start would compile them anew. All that is installed
would be several times as much, most of it clients of services' functions that nobody here calls.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("dsp", "worker")


def imported(file: Path) -> Iterator[str]:
    """The modules that a file names in its import statements, wherever they stand; some names are no modules."""
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{each.name}" for each in node.names)


def import_all() -> dict[str, str]:
    """Import them all, which writes it; return those that cannot be imported, each with the module that is missing."""
    names: set[str] = set()
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            raise SystemExit(f"{package} is not installed")
        root = Path(spec.origin).parent
        for file in root.rglob("*.py"):
            names |= {".".join((package, *file.relative_to(root).with_suffix("").parts)), *imported(file)}
    lost = {}
    for name in sorted(names):
        try:
            importlib.import_module(name)
        except ImportError as error:  # an extra that is not installed, or no module but something in one
            lost[name] = error.name or ""
    return lost


if __name__ == "__main__":
    import_all()
