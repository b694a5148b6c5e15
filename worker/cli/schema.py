"""`mindscript-worker schema`: what a job may hold, for editors, apps and other programs."""

from __future__ import annotations

from worker.config import Config


def schema(config: Config, *, typescript: bool = False) -> int:
    """Print the JSON Schema of a job, or TypeScript types."""
    from worker.payload.json_schema import payload_schema, payload_schema_text

    del config
    if typescript:
        from worker.payload.typescript import typescript as types_of

        print(types_of(payload_schema()), end="")
    else:
        print(payload_schema_text(), end="")
    return 0
