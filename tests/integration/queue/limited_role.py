"""The role with fewer rights of docs/howto/secure.md, as it stands there."""

from __future__ import annotations

import re

from database import Databases, execute
from paths import ROOT


def limited_role(databases: Databases, dsn: str) -> str:
    """Make the role of docs/howto/secure.md, as it stands there; its address."""
    page = (ROOT / "docs" / "howto" / "secure.md").read_text(encoding="utf-8")
    (block,) = (text for text in re.findall(r"```sql\n(.*?)```", page, re.S) if "CREATE ROLE mindscript_worker" in text)
    execute(databases.superuser(dsn), block.encode())
    return dsn.replace("app_owner@", "mindscript_worker@")


def drop_limited_role(databases: Databases, dsn: str) -> None:
    execute(databases.superuser(dsn), "DROP OWNED BY mindscript_worker")
    databases.execute("DROP ROLE mindscript_worker")
