"""A worker's own troubles: each goes when what it is about has been seen to work, and with nothing else."""

from __future__ import annotations

import time

import pytest

from worker.errors import ConfigurationError, MachineError
from worker.service.trouble import OwnTroubles

KEY = ConfigurationError("the database refused us", code="configuration.credentials")
FOLDER = MachineError("STORAGE_DIR cannot be written", code="storage.folder")
ENCODER = MachineError("this FFmpeg lacks a component", code="configuration.ffmpeg", about=("encoder",))


@pytest.fixture
def troubles() -> OwnTroubles:
    found = OwnTroubles()
    found.meet(KEY)
    found.meet(FOLDER, job_id="a")
    found.meet(ENCODER, job_id="b")
    return found


def names(troubles: OwnTroubles) -> list[str]:
    return [cause.name for cause in troubles.causes]


def test_a_claim_shows_that_the_queue_works_and_nothing_else(troubles: OwnTroubles) -> None:
    assert troubles.of_queue
    assert [cause.name for cause in troubles.claim_answered()] == ["configuration.credentials"]
    assert names(troubles) == ["storage.folder", "encoder/configuration.ffmpeg"]
    assert not troubles.of_queue
    assert troubles.claim_answered() == []


def test_a_completed_job_shows_that_the_machine_does_jobs(troubles: OwnTroubles) -> None:
    assert [cause.name for cause in troubles.job_completed("c", started_at=time.monotonic())] == ["storage.folder"]
    assert names(troubles) == ["configuration.credentials", "encoder/configuration.ffmpeg"]


def test_a_missing_part_is_there_when_a_job_that_needs_it_completes(troubles: OwnTroubles) -> None:
    troubles.job_completed("b", started_at=time.monotonic())
    assert names(troubles) == ["configuration.credentials"]


def test_a_job_that_began_before_the_trouble_shows_nothing(troubles: OwnTroubles) -> None:
    assert troubles.job_completed("b", started_at=time.monotonic() - 60) == []
    began = time.monotonic()
    troubles.meet(FOLDER, job_id="d")
    assert "storage.folder" not in {cause.name for cause in troubles.job_completed("c", started_at=began)}


def test_a_cause_met_again_keeps_the_moment_it_began() -> None:
    troubles = OwnTroubles()
    troubles.meet(KEY)
    since = troubles.causes[0].since
    troubles.meet(ConfigurationError("refused in other words", code="configuration.credentials"))
    assert [(cause.since, cause.message) for cause in troubles.causes] == [(since, "refused in other words")]
