"""doctor: what it says of a project that is well, and of one that is not."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from database import Variant, execute
from pydantic import SecretStr
from standins.storage_project import Bucket
from standins.supabase import supabase_standin

from worker.cli.doctor import examined
from worker.cli.doctor_finding import Finding
from worker.cli.doctor_sandbox import examine_sandbox
from worker.config import Config
from worker.errors import ConfigurationError
from worker.ffmpeg import landlock, seccomp
from worker.ffmpeg.sandbox import held
from worker.queue.service import open_queue


@pytest.fixture
def project(leased_dsn):
    with supabase_standin(leased_dsn) as project:
        yield project


def examine(config: Config) -> list[Finding]:
    return [finding for group in examined(config).values() for finding in group]


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
    # the older list of MIME types takes no AAC: the hint is given
    assert found["audio-renders"].good is None
    assert "m4a" in found["audio-renders"].says
    assert found["track-previews"].says == "5 MB a file"


def test_each_fault_has_its_line_and_its_fix(project, leased_dsn):
    del project.storage.buckets["track-previews"]
    execute(leased_dsn, "ALTER TABLE tracks DROP COLUMN preview_url")
    found = findings(project, leased_dsn)
    assert found["track-previews"].good is None  # tracks are delivered without a preview
    assert "create it" in found["track-previews"].says
    assert found["columns"].good is None
    assert "preview_url" in found["columns"].says


def test_what_parked_jobs_wait_for_has_a_line_each(project, leased_dsn):
    assert findings(project, leased_dsn)["parked"].good is True
    queue = open_queue(Config(database_url=SecretStr(leased_dsn)), worker_name="w")
    for n in range(2):
        queue.enqueue({"n": n})
        ended = ConfigurationError("the model tts-1 has ended", code="voice.model", about=("openai", "tts-1"))
        queue.resolve_failure(queue.claim(), ended)
    found = findings(project, leased_dsn)["parked"]
    assert found.good is None
    assert "openai/tts-1/voice.model: 2; the model tts-1 has ended" in found.says
    queue.close()


def test_plain_mode_says_who_knows_what_jobs_wait_for(databases):
    dsn = databases.new(Variant("completing", "production", "payload", "enum"))
    found = {finding.what: finding for finding in examine(Config(database_url=SecretStr(dsn)))}["parked"]
    assert found.good is None
    assert "/ready" in found.says
    databases.release(dsn)


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


def test_the_preview_bucket_is_judged_by_how_previews_are_read(project):
    def found(**more):
        return findings(project, **more)["track-previews"]

    project.storage.buckets["track-previews"].public = False
    assert found().good is None
    assert "PREVIEW_URL=path" in found().says
    assert found(preview_url="path").good is True
    project.storage.buckets["track-previews"].allowed_mime_types = ["image/png"]
    assert "audio/mpeg" in found(preview_url="path").says
    project.storage.buckets["tracks-public"] = Bucket("tracks-public")
    elsewhere = findings(project, preview_url="path", preview_bucket="tracks-public")
    assert elsewhere["tracks-public"].good is True
    assert "track-previews" not in elsewhere


def test_the_buckets_that_jobs_may_name_are_looked_at(project):
    del project.storage.buckets["background-music"]
    project.storage.buckets["voice-uploads"].public = True
    found = findings(project)
    assert found["background-music"].good is False
    assert "MEDIA_BUCKETS" in found["background-music"].says
    assert found["voice-samples"].good is None
    assert "public" in found["voice-uploads"].says
    assert "MEDIA_BUCKETS" not in found
    for name in ("audio-renders", "voice-uploads", "speech"):
        found = findings(project, media_buckets=("background-music", name), tts_cache_bucket="speech")
        assert found["MEDIA_BUCKETS"].good is False
        assert name in found["MEDIA_BUCKETS"].says


def test_what_the_kernel_does_not_offer_for_ffmpeg_is_said(monkeypatch):
    found = {finding.what: finding for finding in examine_sandbox(Config())}
    assert found["sandbox"].good is (True if sys.platform == "linux" and landlock.version() else None)
    monkeypatch.setattr(landlock, "version", lambda: 0)
    monkeypatch.setattr(seccomp, "program", lambda: None)
    held.cache_clear()
    found = {finding.what: finding for finding in examine_sandbox(Config())}
    held.cache_clear()
    assert found["sandbox"].good is None
    assert {"Landlock", "seccomp"} <= set(re.findall(r"\w+", found["sandbox"].says))


def test_root_and_a_readable_process_with_keys_are_named(monkeypatch):
    def secrets() -> Finding:
        return {finding.what: finding for finding in examine_sandbox(Config())}["secrets"]

    monkeypatch.setattr("worker.cli.doctor_sandbox.is_private", lambda: True)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert (secrets().good, "root" in secrets().says) == (None, True)
    monkeypatch.setattr("os.geteuid", lambda: 10_001)
    with subprocess.Popen(["sleep", "60"], env={**os.environ, "OPENAI_API_KEY": "canary"}) as process:
        says = secrets().says
        process.kill()
    assert f"{process.pid} (" in says
    assert "canary" not in says
