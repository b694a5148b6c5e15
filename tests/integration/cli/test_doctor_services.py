"""doctor about what others run: services that refuse a key, a port that is taken, jobs that wait."""

from __future__ import annotations

import socket

import pytest
from database import execute
from pydantic import SecretStr
from standins.http_server import serve
from standins.keys import ANON_JWT, OPAQUE_ANON_KEY, SECRET_KEY
from standins.mail import RESEND_KEY, Resend
from standins.speech import speech_service
from standins.supabase import supabase_standin

from worker.cli.doctor_queue import examine_queue
from worker.cli.doctor_services import examine_mail, examine_supabase_key
from worker.cli.doctor_settings import examine_port
from worker.cli.doctor_storage import examine_storage
from worker.cli.doctor_voices import examine_voices
from worker.config import Config
from worker.errors import ConfigurationError
from worker.queue.service import open_queue
from worker.service.http_server import Server
from worker.service.state import Report
from worker.service.status_pages import Answers, status_routes


def by_name(findings):
    return {finding.what: finding for finding in findings}


@pytest.fixture(scope="module")
def project():
    with supabase_standin() as project:
        yield project


class TestKeys:
    @pytest.mark.parametrize(
        ("key", "good", "says"),
        [
            (SECRET_KEY, True, "is taken"),
            ("sb_secret_of_another_project", False, "is refused by the project"),
            (OPAQUE_ANON_KEY, False, "is not the service's"),
        ],
    )
    def test_supabase_says_whose_key_it_is(self, project, key, good, says):
        config = Config(supabase_url=project.url, supabase_service_role_key=SecretStr(key))
        (found,) = examine_supabase_key(config)
        assert (found.what, found.good) == ("SUPABASE_SERVICE_ROLE_KEY", good)
        assert says in found.says

    def test_an_anon_key_is_known_by_its_form(self, project):
        config = Config(supabase_url=project.url, supabase_service_role_key=SecretStr(ANON_JWT))
        assert list(examine_supabase_key(config)) == []
        (found,) = examine_storage(config)
        assert found.good is False
        assert "the service_role key" in found.says

    def test_a_refused_key_is_told_apart_from_a_restricted_one(self):
        with speech_service() as service:
            urls = {"openai_base_url": f"{service.url}/v1", "elevenlabs_base_url": service.url}
            for key, good, says in (("sk-refused", False, "refuses the key"), ("sk-restricted", None, "may not list")):
                keys = {"openai_api_key": SecretStr(key), "elevenlabs_api_key": SecretStr(key)}
                config = Config(**urls, **keys, elevenlabs_tts_voice="x")
                found = by_name(examine_voices(config, online=True))
                for name in ("voice tts-1", "voice eleven_multilingual_v2"):
                    assert (found[name].good, says in found[name].says) == (good, True), found[name]
                    assert key not in found[name].says

    def test_resend_says_whether_it_takes_key_and_sender(self):
        resend = Resend(domains=[("example.com", "verified"), ("new.example.com", "pending")])
        with serve({"/resend": resend}) as url:

            def found(key=RESEND_KEY, sender="A <a@example.com>"):
                config = Config(resend_api_key=key, resend_from=sender, resend_api_url=f"{url}/resend")
                return by_name(examine_mail(config, online=True))["RESEND_API_KEY"]

            assert (found().good, found().says) == (True, "is taken, and example.com is verified")
            assert found(sender="a@new.example.com").good is None
            assert (found(key="re_wrong").good, "is refused" in found(key="re_wrong").says) == (False, True)
            resend.sending_only = True
            assert found().good is True

    def test_half_of_the_settings_of_e_mail_is_told(self):
        (found,) = examine_mail(Config(resend_api_key="re_x"), online=False)
        assert "RESEND_FROM is not set" in found.says
        assert "is no sender" in next(examine_mail(Config(resend_api_key="re_x", resend_from="me"), online=False)).says
        assert list(examine_mail(Config(), online=True)) == []

    def test_what_does_not_answer_is_no_refusal(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            url = f"http://127.0.0.1:{server.getsockname()[1]}"
        config = Config(
            **{"supabase_url": url, "supabase_service_role_key": SECRET_KEY},
            **{"resend_api_key": "re_x", "resend_from": "a@b.c", "resend_api_url": url},
        )
        found = [*examine_supabase_key(config), *examine_mail(config, online=True)]
        assert [finding.good for finding in found] == [None, None]
        storage = list(examine_storage(config))
        assert [(finding.what, finding.good) for finding in storage] == [("storage", False)]
        (queue,) = examine_queue(config)
        assert (queue.good, "look at SUPABASE_URL" in queue.says) == (False, True)


class TestPort:
    def test_a_free_one_and_one_of_another_program(self):
        with socket.create_server(("", 0)) as server:
            port = server.getsockname()[1]
            taken = examine_port(port)
        assert (taken.good, "end that one, or set another PORT" in taken.says) == (False, True)
        assert examine_port(port).good is True

    def test_one_of_a_worker_that_runs_is_no_fault(self):
        report = Report("queue.unavailable", {})
        answers = Answers(lambda: report, lambda: report, lambda: b"", lambda: None)
        server = Server(0, status_routes(answers, with_process=False))
        found = examine_port(server.port)
        server.close()
        assert (found.good, "a worker of ours" in found.says) == (True, True)


class TestBuckets:
    def test_each_type_that_is_delivered_is_asked_for(self):
        with supabase_standin() as project:
            config = Config(supabase_url=project.url, supabase_service_role_key=SecretStr(project.key))
            bucket = project.storage.buckets["audio-renders"]

            def found(*types):
                bucket.allowed_mime_types = list(types) or None
                return by_name(examine_storage(config))["audio-renders"]

            assert found().good is True
            assert (found("image/png").good, "no track can be delivered" in found("image/png").says) == (False, True)
            lyrics = found("audio/*")
            assert (lyrics.good, "refuses lrc, vtt" in lyrics.says) == (None, True)
            assert "text/plain, text/vtt" in lyrics.says
            assert found("audio/*", "text/plain", "text/vtt").good is True


class TestJobs:
    @pytest.fixture
    def queue(self, leased_dsn):
        queue = open_queue(Config(database_url=SecretStr(leased_dsn)), worker_name="w")
        yield queue
        queue.close()

    @staticmethod
    def found(dsn):
        return by_name(examine_queue(Config(database_url=SecretStr(dsn))))

    def test_how_many_wait_and_for_how_long(self, queue, leased_dsn):
        assert "0 waiting, none of them due" in self.found(leased_dsn)["jobs"].says
        queue.enqueue({"n": 1})
        fresh = self.found(leased_dsn)["jobs"]
        assert (fresh.good, "1 waiting, the oldest that is due for" in fresh.says) == (True, True)
        execute(leased_dsn, "UPDATE audio_job_queue SET created_at = now() - interval '1 hour'")
        old = self.found(leased_dsn)["jobs"]
        assert (old.good, "due for 1 h: no worker takes them; start one" in old.says) == (None, True)

    def test_a_paused_queue_is_told_with_its_reason(self, queue, leased_dsn):
        queue.pause_queue("moving [b]house", by="ada@laptop")
        found = self.found(leased_dsn)["paused"]
        assert found.good is None
        assert "by ada@laptop (moving [b]house): no job is claimed until `" in found.says
        assert "queue resume`" in found.says

    def test_the_setting_that_jobs_wait_for_is_named(self, queue, leased_dsn):
        queue.enqueue({"n": 1})
        missing = ConfigurationError("voice.provider openai: OPENAI_API_KEY is not set", code="configuration.key")
        queue.resolve_failure(queue.claim(), missing)
        says = self.found(leased_dsn)["parked"].says
        assert "look at OPENAI_API_KEY on every worker" in says
