"""What is said, and what still works, where the system is not Linux."""

from __future__ import annotations

import sys

from worker import __main__ as entry


def test_on_windows_the_answer_is_wsl_before_anything_is_loaded(monkeypatch, capsys):
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "worker.cli.main", None)  # its import would fail
    monkeypatch.setitem(sys.modules, "worker.private_memory", None)
    assert entry.main() == 1
    assert "WSL" in capsys.readouterr().err
