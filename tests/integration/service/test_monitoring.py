"""Alert rules and dashboard: every metric that they name is exported, and the rules fire when they should."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from paths import ROOT, TESTS

from worker.queue.claims import Backlog
from worker.service.metrics import Metrics
from worker.service.state import State

RULES = ROOT / "docs" / "monitoring" / "alerts.yml"
DASHBOARD = ROOT / "docs" / "monitoring" / "dashboard.json"
CASES = TESTS / "integration" / "service" / "alerts_test.yml"
NAMED = re.compile(r"mindscript_[a-z_]+")


def exported() -> set[str]:
    """The names of all series, as Prometheus will know them."""
    text = Metrics(State("name", "queue", backlog=Backlog(0, 0, 0, 0.0))).text().decode()
    names = set()
    for name, kind in re.findall(r"^# TYPE (mindscript_\w+) (\w+)$", text, re.MULTILINE):
        names |= {f"{name}_{part}" for part in ("bucket", "sum", "count")} if kind == "histogram" else {name}
    return names


def expressions() -> list[str]:
    """All of the dashboard's, with what Grafana fills in filled in."""
    board = json.loads(DASHBOARD.read_text())
    found = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    assert len(found) > 15
    return [each.replace("$__rate_interval", "5m") for each in found]


@pytest.mark.parametrize("file", [RULES, DASHBOARD, CASES], ids=lambda file: file.name)
def test_every_metric_that_is_named_is_exported(file: Path) -> None:
    named = set(NAMED.findall(file.read_text()))
    assert len(named) > 5
    assert named <= exported()


def test_each_alert_says_what_to_do_and_is_tested() -> None:
    alerts = re.split(r"^      - alert: ", RULES.read_text(), flags=re.MULTILINE)[1:]
    assert len(alerts) > 5
    for alert in alerts:
        assert re.search(r"severity: (wake|look)\b", alert)
        assert CASES.read_text().count(f"alertname: {alert.split()[0]}") >= 2, "that it fires, and that it is silent"


def promtool(*arguments: str | Path) -> None:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is missing: apt-get install --no-install-recommends prometheus")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_are_valid_and_fire_when_they_should() -> None:
    promtool("check", "rules", RULES)
    promtool("test", "rules", CASES)


def test_the_dashboard_asks_what_prometheus_understands(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": expression} for number, expression in enumerate(expressions())]
    file = tmp_path / "panels.json"  # JSON is YAML
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    promtool("check", "rules", file)
