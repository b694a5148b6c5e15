"""doctor: what it says of a project that is well, and of one that is not."""

from __future__ import annotations

import pytest
from database import execute
from pydantic import SecretStr
from standins.storage import Bucket
from standins.supabase import supabase_standin

from worker.commands.doctor import examine
from worker.config import Config


@pytest.fixture
def project(leased_dsn):
    with supabase_standin(leased_dsn) as project:
        yield project


def findings(project, dsn=None, **more):
    config = Config(
        supabase_url=project.url,
        supabase_service_role_key=SecretStr(project.key),
        database_url=None if dsn is None else SecretStr(dsn),
        **more,
    )
    return {finding.what: finding for finding in examine(config)}


def test_a_project_that_is_well(project, leased_dsn):
    found = findings(project, leased_dsn)
    assert all(finding.good is not False for finding in found.values())
    assert "NOTIFY" in found["waking"].says
    # the older list of MIME types takes no AAC: the mend is named
    assert found["audio-renders"].good is None
    assert "m4a" in found["audio-renders"].says
    assert found["track-previews"].says == "5 MB a file"


def test_each_fault_has_its_line_and_its_mend(project, leased_dsn):
    del project.storage.buckets["track-previews"]
    execute(leased_dsn, "ALTER TABLE tracks DROP COLUMN preview_url")
    found = findings(project, leased_dsn)
    assert found["track-previews"].good is False
    assert "create it" in found["track-previews"].says
    assert found["columns"].good is None
    assert "preview_url" in found["columns"].says


def test_a_refused_key_is_told_and_the_other_checks_go_on(project):
    config = Config(supabase_url=project.url, supabase_service_role_key=SecretStr("wrong"))
    found = {finding.what: finding for finding in examine(config)}
    assert found["queue"].good is False
    assert "SUPABASE_SERVICE_ROLE_KEY" in found["queue"].says
    assert "disk" in found


def test_the_bucket_of_spoken_pieces_must_be_there_and_private(project):
    def found():
        return findings(project, tts_cache_bucket="speech")["speech"]

    assert found().good is False
    project.storage.buckets["speech"] = Bucket("speech", public=True)
    assert "public" in found().says
    project.storage.buckets["speech"] = Bucket("speech", allowed_mime_types=["audio/*"])
    assert "application/octet-stream" in found().says
    project.storage.buckets["speech"] = Bucket("speech")
    assert found().good is True
