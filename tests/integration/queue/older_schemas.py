"""What older versions of the worker made of a database."""

from __future__ import annotations

from paths import ROOT

SCHEMA_1, SCHEMA_2, SCHEMA_3 = (
    (ROOT / "tests" / "schema" / f"version_{number}.sql").read_bytes() for number in (1, 2, 3)
)
