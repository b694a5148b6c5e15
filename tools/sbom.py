"""Print the software bill of materials of a lock file as CycloneDX 1.6 JSON: `python tools/sbom.py requirements.txt`.

It needs nothing but the lock file: every package with its version, its hashes, and the platforms it is for.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

_PACKAGE = re.compile(r"^([A-Za-z0-9][\w.-]*)==([^\s;]+)(?:\s*;\s*(.+?))?\s*\\?$")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def components(lock: str) -> list[dict[str, Any]]:
    """List the packages of a requirements file with hashes.

    Raises
    ------
    ValueError
        If a line is neither a package, a hash nor a comment, or a package has no hash.
    """
    found: list[dict[str, Any]] = []
    for line in lock.splitlines():
        text = line.split(" #")[0].strip()
        if not text or text.startswith("#"):
            continue
        if package := _PACKAGE.match(text):
            name, version, marker = package.groups()
            purl = f"pkg:pypi/{re.sub(r'[-_.]+', '-', name).lower()}@{version}"
            found.append({"type": "library", "name": name, "version": version, "purl": purl, "bom-ref": purl})
            found[-1]["properties"] = [{"name": "mindscript:sha256", "value": value} for value in _HASH.findall(line)]
            if marker:
                found[-1]["properties"].append({"name": "mindscript:platforms", "value": marker})
        elif (value := _HASH.search(text)) and found:
            found[-1]["properties"].append({"name": "mindscript:sha256", "value": value[1]})
        else:
            raise ValueError(f"not understood: {line!r}")
    for component in found:
        if not any(each["name"] == "mindscript:sha256" for each in component["properties"]):
            raise ValueError(f"{component['name']} has no hash")
    return found


def sbom(lock: Path, project: Path) -> dict[str, Any]:
    """Make the bill of what `lock` installs for the project of a pyproject.toml."""
    metadata = tomllib.loads(project.read_text())["project"]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "name": metadata["name"],
                "version": metadata["version"],
                "bom-ref": metadata["name"],
            }
        },
        "components": components(lock.read_text()),
    }


if __name__ == "__main__":
    json.dump(sbom(Path(sys.argv[1]), Path(__file__).parents[1] / "pyproject.toml"), sys.stdout, indent=2)
    print()
