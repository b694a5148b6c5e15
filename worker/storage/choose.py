"""The registry of storages: one entry for each. The first one that has a setting keeps the finished files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Final

from worker.config import Config
from worker.storage.base import Storage


@dataclass(frozen=True)
class StorageKind:
    """A storage before its module is loaded, which for Supabase's takes some 17 MB.

    The implementation is ``module:class`` of its `Storage`, opened with ``class.of(config)``. It is chosen where one of
    its settings is set; without any, always.
    """

    implementation: str
    settings: tuple[str, ...] = ()


STORAGES: Final[Mapping[str, StorageKind]] = MappingProxyType(
    {
        "supabase": StorageKind(
            "worker.storage.supabase_storage:SupabaseStorage", ("SUPABASE_URL", "SUPABASE_SERVICE_ROLE_KEY")
        ),
        "local": StorageKind("worker.storage.local_storage:LocalStorage"),
    }
)


def chosen_storage(config: Config) -> str:
    """Name the storage that a configuration asks for: a key of `STORAGES`."""
    return next(
        storage
        for storage, kind in STORAGES.items()
        if not kind.settings or any(getattr(config, name.lower()) is not None for name in kind.settings)
    )


def open_storage(config: Config) -> Storage:
    """Open the storage that a configuration asks for.

    Raises
    ------
    ConfigurationError
        If a setting of it is missing or wrong.
    """
    module, _, name = STORAGES[chosen_storage(config)].implementation.partition(":")
    storage: Storage = getattr(import_module(module), name).of(config)
    return storage
