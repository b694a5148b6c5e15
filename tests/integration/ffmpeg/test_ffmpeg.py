"""Which FFmpeg is found, and that no FFmpeg is ever left behind, however its work ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from processes import children

from worker.errors import ConfigurationError, MediaError, ResourceError, TransientError
from worker.ffmpeg.pipe import Limits, Pipe
from worker.ffmpeg.program import FOUND_FFMPEGS, Ffmpeg, find_ffmpeg, parse_version

ENDLESS = ("-f", "lavfi", "-i", "sine", "-f", "s16le", "pipe:1")
ENCODER = ("-f", "s16le", "-ar", "44100", "-ac", "2", "-i", "pipe:0", "-f", "s16le", "pipe:1")
SILENCE = bytes(1 << 16)


@pytest.fixture
def ffmpeg() -> Ffmpeg:
    return find_ffmpeg()


@pytest.fixture
def forget() -> Iterator[None]:
    """What was found is remembered by the process."""
    FOUND_FFMPEGS.clear()
    yield
    FOUND_FFMPEGS.clear()


def script(path: Path, body: str) -> Path:
    path.write_text("#!/bin/sh\n" + textwrap.dedent(body))
    path.chmod(0o755)
    return path


def says(version: str, *, libavcodec: str = "58. 18.100") -> str:
    return f"""\
        echo 'ffmpeg version {version} Copyright (c) 2000-2026 the FFmpeg developers'
        echo 'libavutil      57. 28.100 / 57. 28.100'
        echo 'libavcodec     {libavcodec} / {libavcodec}'
        """


def feed_long(pipe: Pipe) -> None:
    for _ in range(1000):
        pipe.write(SILENCE)
    pipe.finish()  # after SIGTERM, FFmpeg takes what is written, and its status alone tells


@pytest.mark.parametrize(
    ("version", "libavcodec", "new_enough"),
    [
        ("5.1", "59. 37.100", True),
        ("5.1.9-0+deb12u1", "59. 37.100", True),
        ("n9.0.2-17-g2a571b6068-20260930", "63.  1.102", True),
        ("6.1.1-3ubuntu5", "60. 31.102", True),
        ("10.0", "70.  0.100", True),
        ("5.0.3", "59. 18.100", False),
        ("4.4.2-0ubuntu0.22.04.1", "58.134.100", False),
        ("N-109542-g8ae0a4a9a2", "59. 56.100", True),
        ("2022-01-10-git-f37e66b393-full_build-www.gyan.dev", "59. 18.100", False),
        ("git-2023-03-01-abcdef", "60.  3.100", True),
    ],
)
def test_versions_of_releases_distributions_and_git_builds_are_told_apart(version, libavcodec, new_enough):
    answer = (
        f"ffmpeg version {version} Copyright (c) the FFmpeg developers\nlibavcodec     {libavcodec} / {libavcodec}\n"
    )
    assert parse_version(answer) == (version, new_enough)


def test_something_that_is_no_ffmpeg_has_no_version():
    assert parse_version("GNU bash, version 5.2.15") == ("unknown", False)


@pytest.mark.usefixtures("forget")
class TestFinding:
    def test_the_configured_one_wins(self, tmp_path, monkeypatch):
        script(tmp_path / "ffmpeg", says("6.0"))
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
        mine = script(tmp_path / "mine", says("7.1"))
        assert find_ffmpeg(str(mine)) == Ffmpeg(mine, "7.1")

    def test_a_new_enough_one_on_path_comes_before_the_wheel(self, tmp_path, monkeypatch):
        there = script(tmp_path / "ffmpeg", says("5.1.9-0+deb12u1"))
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
        assert find_ffmpeg() == Ffmpeg(there, "5.1.9-0+deb12u1")

    def test_the_wheel_steps_in_for_one_on_path_that_is_too_old(self, tmp_path, monkeypatch):
        script(tmp_path / "ffmpeg", says("4.4.2"))
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
        found = find_ffmpeg()
        assert found.path.parent != tmp_path
        assert parse_version(f"ffmpeg version {found.version} x")[1]

    def test_the_answer_is_remembered(self, tmp_path):
        mine = script(tmp_path / "mine", says("7.1"))
        first = find_ffmpeg(str(mine))
        mine.unlink()
        assert find_ffmpeg(str(mine)) is first

    @pytest.mark.parametrize(
        ("body", "mode", "word"),
        [
            (says("4.4.2"), 0o755, "older than 5.1"),
            ("exit 3", 0o755, "does not answer"),
            (says("6.0"), 0o644, "not a program"),
            ("echo hello", 0o755, "unknown"),
        ],
    )
    def test_a_configured_one_that_will_not_do_is_an_error_with_its_fix(self, tmp_path, body, mode, word):
        mine = script(tmp_path / "mine", body)
        mine.chmod(mode)
        with pytest.raises(ConfigurationError, match=word) as error:
            find_ffmpeg(str(mine))
        assert "imageio-ffmpeg" in error.value.message
        assert "\n" not in error.value.message

    def test_a_missing_one_is_an_error(self):
        with pytest.raises(ConfigurationError, match="/nowhere/ffmpeg"):
            find_ffmpeg("/nowhere/ffmpeg")

    def test_none_at_all_is_an_error_that_names_what_was_refused(self, tmp_path, monkeypatch):
        script(tmp_path / "ffmpeg", says("4.4.2"))
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
        with pytest.raises(ConfigurationError, match=r"no FFmpeg was found .*4\.4\.2.*install FFmpeg 5\.1"):
            find_ffmpeg()


class TestRunning:
    def test_it_gives_back_what_it_was_fed(self, ffmpeg):
        with Pipe(ffmpeg, ENCODER, feed=True, collect=True) as pipe:
            for _ in range(40):
                pipe.write(SILENCE)
            assert pipe.finish() == SILENCE * 40
        assert not children()

    def test_what_it_gives_is_taken_as_soon_as_it_is_there(self, ffmpeg):
        with Pipe(ffmpeg, ENCODER, feed=True, collect=True) as pipe:
            pipe.write(b"one two " + SILENCE * 40)  # FFmpeg keeps a little back
            assert pipe.take(4) == b"one "
            assert pipe.take(4 + len(SILENCE)) == b"two " + SILENCE
            assert pipe.finish() == SILENCE * 39

    def test_an_exception_in_the_block_ends_the_process(self, ffmpeg):
        def interrupted() -> None:
            with Pipe(ffmpeg, ENDLESS) as pipe:
                assert pipe.read()
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert not children()

    def test_it_sees_none_of_our_environment(self, tmp_path, monkeypatch):
        monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
        monkeypatch.setenv("HOME", "/home/somebody")
        teller = script(tmp_path / "ffmpeg", "env")
        with Pipe(Ffmpeg(teller, "0", "none"), (), collect=True) as pipe:
            told = pipe.finish().decode()
        assert "LC_ALL=C" in told
        assert "secret" not in told
        assert "HOME" not in told

    @pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="Linux alone has a batch class")
    def test_it_and_all_its_threads_are_in_the_batch_class(self, ffmpeg):
        with Pipe(ffmpeg, ENCODER, feed=True, collect=True) as pipe:
            pipe.write(SILENCE * 40)
            threads = [thread.id for thread in children()[0].threads()]
            assert len(threads) > 1
            assert {os.sched_getscheduler(thread) for thread in threads} == {os.SCHED_BATCH}

    def test_it_cannot_write_a_file_when_only_its_pipes_are_meant(self, ffmpeg, tmp_path):
        target = tmp_path / "written"
        arguments = ("-f", "lavfi", "-i", "sine=d=5", "-f", "s16le", f"file:{target}")
        with Pipe(ffmpeg, arguments) as pipe, pytest.raises((ResourceError, TransientError)):
            pipe.finish()
        assert not target.exists() or target.stat().st_size == 0

    def test_a_flood_on_standard_error_neither_blocks_nor_fills_memory(self, tmp_path):
        flood = script(tmp_path / "ffmpeg", "yes '[error] it is broken' | head -c 10000000 >&2; exit 1")
        before = psutil.Process().memory_info().rss
        with Pipe(Ffmpeg(flood, "0", "none"), ()) as pipe, pytest.raises(TransientError, match="it is broken"):
            pipe.finish()
        assert psutil.Process().memory_info().rss - before < 5e6


class TestFailing:
    def test_an_encoder_that_is_not_there_is_a_matter_of_configuration(self, ffmpeg):
        arguments = (*ENCODER[:-3], "-c:a", "libnothere", *ENCODER[-3:])
        with Pipe(ffmpeg, arguments, feed=True, collect=True) as pipe, pytest.raises(ConfigurationError) as error:
            pipe.finish()
        assert "libnothere" in error.value.message
        assert "\n" not in error.value.message

    def test_a_program_that_has_gone_is_a_matter_of_configuration(self, tmp_path):
        with pytest.raises(ConfigurationError, match="cannot be run"):
            Pipe(Ffmpeg(tmp_path / "gone", "6.0"), ())

    @pytest.mark.parametrize(
        ("number", "kind"),
        [(signal.SIGKILL, ResourceError), (signal.SIGTERM, TransientError), (signal.SIGSEGV, TransientError)],
    )
    def test_one_that_is_killed_half_way_is_no_fault_of_the_job(self, ffmpeg, number, kind):
        with Pipe(ffmpeg, ENCODER, feed=True, collect=True) as pipe:
            pipe.write(SILENCE)
            next(child for child in children() if "ffmpeg" in child.name()).send_signal(number)
            with pytest.raises(kind):
                feed_long(pipe)
        assert not children()

    def test_a_crash_on_strange_bytes_is_the_readers_to_explain(self, tmp_path):
        crash = script(tmp_path / "ffmpeg", "kill -SEGV $$")
        with (
            Pipe(Ffmpeg(crash, "0", "none"), (), blame=lambda errors: MediaError(f"bad: {errors[0]}")) as pipe,
            pytest.raises(MediaError, match="bad: it ended with status -11"),
        ):
            pipe.finish()

    def test_a_full_disk_is_a_lack_of_resources(self, tmp_path):
        full = script(tmp_path / "ffmpeg", "echo '[out#0 @ 0x1] [error] No space left on device' >&2; exit 228")
        with Pipe(Ffmpeg(full, "0"), ()) as pipe, pytest.raises(ResourceError, match="disk is full"):
            pipe.finish()

    def test_one_that_stops_taking_is_given_up(self, ffmpeg):
        with Pipe(ffmpeg, ENCODER, feed=True, limits=Limits(stall_seconds=0.3)) as pipe:
            children()[0].suspend()
            with pytest.raises(TransientError, match="too long"):
                feed_long(pipe)
        assert not children()

    def test_more_than_it_gives_cannot_be_taken(self, ffmpeg):
        with Pipe(ffmpeg, ENCODER, feed=True, collect=True) as pipe:
            pipe.write(b"one ")
            pipe.close_input()
            with pytest.raises(TransientError, match="it ended with status 0"):
                pipe.take(5)

    def test_one_that_keeps_all_back_is_given_up(self, ffmpeg):
        limits = Limits(stall_seconds=0.3)
        with (
            Pipe(ffmpeg, ENCODER, feed=True, collect=True, limits=limits) as pipe,
            pytest.raises(TransientError, match="too long"),
        ):
            pipe.take(1)
        assert not children()

    def test_one_that_stops_giving_is_given_up(self, ffmpeg):
        with Pipe(ffmpeg, ENDLESS, limits=Limits(stall_seconds=0.3)) as pipe:
            pipe.read()
            children()[0].suspend()
            while pipe.read():
                pass
            with pytest.raises(TransientError, match="too long"):
                pipe.finish()

    def test_a_caller_who_takes_his_time_is_no_stall(self, ffmpeg):
        with Pipe(ffmpeg, ENCODER, feed=True, collect=True, limits=Limits(stall_seconds=2.0)) as pipe:
            pipe.write(SILENCE)
            time.sleep(2.5)
            pipe.write(SILENCE)
            assert pipe.finish() == SILENCE * 2

    def test_the_whole_may_take_no_longer_than_was_said(self, ffmpeg):
        with Pipe(ffmpeg, ENDLESS, limits=Limits(seconds=0.3)) as pipe:
            while pipe.read():
                pass
            with pytest.raises(TransientError, match="too long"):
                pipe.finish()

    def test_memory_beyond_the_limit_is_refused_by_the_kernel(self, ffmpeg):
        # a delay line of ten minutes of eight channels in 64 bits: 1.7 GB
        arguments = (
            *("-f", "lavfi", "-i", "anullsrc=r=44100:cl=7.1:d=600", "-af", "aformat=dblp,areverse"),
            *("-f", "f64le", "pipe:1"),
        )
        with Pipe(ffmpeg, arguments, limits=Limits(memory_bytes=300 << 20)) as pipe:
            while pipe.read():
                pass
            with pytest.raises(ResourceError, match="memory"):
                pipe.finish()

    def test_a_wrapper_is_ended_with_all_that_it_started(self, tmp_path):
        wrapper = script(tmp_path / "ffmpeg", "sleep 600 & sleep 600")
        with Pipe(Ffmpeg(wrapper, "0", "none"), ()) as pipe:
            while len(children()) < 3:
                time.sleep(0.01)
            pipe.kill()
        assert not children()


PARENT = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job is started with it ignored
from worker.ffmpeg.program import find_ffmpeg
from worker.ffmpeg.pipe import Pipe
with Pipe(find_ffmpeg(), {arguments!r}, feed={feed}) as pipe:
    {act}
    print("ready", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize(
    "number",
    [signal.SIGKILL, *(pytest.param(number, marks=pytest.mark.faults) for number in (signal.SIGINT, signal.SIGTERM))],
)
@pytest.mark.parametrize(
    ("arguments", "act"),
    [(ENCODER, "pipe.write(bytes(1 << 16))"), (ENDLESS, "pipe.read()")],
    ids=["encoder", "decoder"],
)
def test_no_ffmpeg_outlives_its_parent(number, arguments, act):
    code = PARENT.format(arguments=arguments, feed=arguments is ENCODER, act=act)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as parent:
        assert parent.stdout.readline() == b"ready\n"
        (child,) = psutil.Process(parent.pid).children()
        parent.send_signal(number)
        parent.wait(10)
    gone, alive = psutil.wait_procs([child], timeout=60)
    assert gone, alive
