"""The stand-in of a whole project is good enough for the real supabase-py: database, storage and auth by one client."""

from __future__ import annotations

import pytest
from standins.supabase import supabase_standin
from storage3.exceptions import StorageApiError
from supabase import create_client

USER = "0b0e7a1e-6d3f-4a54-9d53-0f3b1b1a9b11"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # supabase-py's, about itself
def test_one_client_reaches_all_of_it(leased_dsn: str) -> None:
    with supabase_standin(leased_dsn) as project:
        project.auth.users[USER] = "ada@example.com"
        client = create_client(project.url, project.key)
        row = client.table("audio_job_queue").insert({"payload": {"durationMin": 1}}).execute().data[0]
        assert client.table("audio_job_queue").select("id").execute().data == [{"id": row["id"]}]
        bucket = client.storage.from_("audio-renders")
        bucket.upload("tracks/t/j.mp3", b"music", {"content-type": "audio/mpeg"})
        assert bucket.download("tracks/t/j.mp3") == b"music"
        assert bucket.exists("tracks/t/j.mp3")
        with pytest.raises(StorageApiError) as caught:
            bucket.upload("tracks/t/j.mp3", b"other", {"content-type": "audio/mpeg"})
        assert (caught.value.status, caught.value.code) == ("409", "Duplicate")
        with pytest.raises(StorageApiError) as caught:
            client.storage.from_("nonsense").download("x")
        assert (caught.value.status, caught.value.code) == ("404", "Bucket not found")
        assert client.storage.get_bucket("track-previews").file_size_limit == 5 * 1024 * 1024
        bucket.remove(["tracks/t/j.mp3"])
        assert not bucket.exists("tracks/t/j.mp3")
        assert project.storage.objects == {}
        assert client.auth.admin.get_user_by_id(USER).user.email == "ada@example.com"
