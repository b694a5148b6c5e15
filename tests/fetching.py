"""How the tests of `worker.media` fetch."""

from __future__ import annotations

from pathlib import Path

from short_limits import QUICK
from standins.foreign_host import ForeignHost

from worker.config import Config
from worker.media.download import fetch_media

HOSTS = ("media.example.com", "*.cdn.example.com")
SONG = b"ID3" + bytes(range(256)) * 40


def outside(host: ForeignHost, into: Path, url: str = "https://media.example.com/a.mp3", **how: object) -> Path:
    deadline_s = float(str(how.pop("deadline_s", 60.0)))
    cache = how.pop("cache_dir", None)
    config = Config(media_hosts=HOSTS, media_max_mb=1, service_limits=QUICK, **how)  # type: ignore[arg-type]
    return fetch_media(
        url,
        what="music",
        into=into,
        config=config,
        cache_dir=cache if isinstance(cache, Path) else None,
        network=host.network,
        deadline_s=deadline_s,
    )


def own(config: Config, into: Path, reference: str, **how: object) -> Path:
    return fetch_media(reference, **{"what": "music", "into": into, "config": config, **how})  # type: ignore[arg-type]
