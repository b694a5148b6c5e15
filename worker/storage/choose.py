"""Which storage a worker has."""

from __future__ import annotations

from worker.config import Config
from worker.storage.base import Storage
from worker.storage.local_storage import LocalStorage
from worker.supabase_access import supabase_of


def open_storage(config: Config) -> Storage:
    """Choose Supabase where it is configured, else the tree under STORAGE_DIR.

    Raises
    ------
    ConfigurationError
        If only one of SUPABASE_URL and SUPABASE_SERVICE_ROLE_KEY is set.
    """
    supabase = supabase_of(config)
    if supabase is None:
        return LocalStorage(config.storage_dir)
    from worker.storage.supabase_storage import SupabaseStorage  # here: with httpx and storage3 it costs some 17 MB

    return SupabaseStorage(supabase)
