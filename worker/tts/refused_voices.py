"""Voices that their service has just refused: the jobs behind them neither ask it nor fetch their music for nothing."""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import suppress

from worker.config import Config
from worker.disk_cache import DiskCache
from worker.errors import ConfigurationError, WorkerError
from worker.fallbacks import VoiceName
from worker.tts.places import account_name
from worker.voices import PROVIDERS

_REMEMBERED_S = 20.0  # shorter than the pause before a first probe, so what has been put right is soon found out
_BOOK_BYTES = 100_000
_CODES = ("voice.model", "voice.unknown", "voice.plan", "voice.key", "voice.quota")  # whatever the script says


class RefusedVoices:
    """Refusals by voice and account, a small file for each, shared by the jobs of a machine; a lost one is asked again.

    Parameters
    ----------
    config : Config
        The account's key and address are part of a file's name, so a new key is tried at once.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._disk = DiskCache(config.cache_dir / "refused-voices", max_bytes=_BOOK_BYTES)

    def note(self, name: VoiceName, error: WorkerError) -> None:
        """Remember an error, if it is a refusal that an operator must put right, and does not depend on the job."""
        if isinstance(error, ConfigurationError) and error.code in _CODES:
            found = {"at": time.time(), "message": error.message, "code": error.code, "cause": error.cause}
            self._disk.keep(self._file(name), json.dumps(found).encode())

    def recent(self, name: VoiceName) -> ConfigurationError | None:
        """The error of a voice that was refused just now."""
        with suppress(ValueError, KeyError, TypeError):
            found = json.loads(self._disk.read(self._file(name)) or b"")
            if 0 <= time.time() - found["at"] < _REMEMBERED_S:
                message, code, cause = (str(found[key]) for key in ("message", "code", "cause"))
                return ConfigurationError(message, code=code, about=cause.split("/")[:-1])
        return None

    def over(self, name: VoiceName) -> None:
        """Forget a voice's refusal, since it has spoken."""
        if self._disk.read(self._file(name)) is not None:
            self._disk.drop(self._file(name))

    def _file(self, name: VoiceName) -> str:
        info = PROVIDERS[name.provider]
        key, address = (getattr(self._config, each.lower(), None) for each in (info.key_variable, info.url_variable))
        account = account_name(address or "", key.get_secret_value() if key is not None else "")
        return hashlib.sha256(f"{name} {account}".encode()).hexdigest()[:32]
