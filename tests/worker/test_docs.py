"""The docs against the code: commands, settings, events, metrics, examples, links; and what has no place here."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest

from worker.cli.main import build_parser
from worker.config import Config
from worker.payload.parse import parse_job
from worker.service.metrics import Metrics
from worker.service.state import State

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
ACCOUNTS = {"heroku", "supabase", "fly", "docker"}
RUNS = {"make", "mindscript-worker", "curl", "cp", "mkdir", "python"}


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a language."""
    fenced = re.findall(r"^ *```(\w*)\n(.*?)^ *```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return [text for named, text in fenced if named == language]


def command_lines(page: Path) -> list[str]:
    """The lines of a page's command blocks, joined where a backslash says so; drawings and tables are none."""
    commands = [text for text in blocks(page, "") if not re.search(r"[│─►×]|/ ", text)]
    lines = re.sub(r"\\\n", " ", "".join(commands)).splitlines()
    return [re.split(r"\s+#\s", line)[0].strip() for line in lines]


def first_word(line: str) -> str:
    return re.sub(r"^(?:[A-Z_]+=\S+ )*", "", line).split()[0]


LINES = [(page.name, line) for page in PAGES for line in command_lines(page)]


def test_every_setting_is_in_the_table():
    table = (ROOT / "docs" / "environment.md").read_text()
    missing = [name.upper() for name in Config.model_fields if f"`{name.upper()}`" not in table]
    assert not missing


def test_the_example_of_an_environment_has_every_setting_and_no_other():
    lines = (ROOT / ".env.example").read_text().splitlines()
    named = {match[1] for line in lines if (match := re.match(r"#?([A-Z_]+)=", line))}
    given = {name.upper() for name in Config.model_fields}
    assert given - named == {"DYNO"}  # Heroku sets it
    assert named - given == {"TMPDIR"}  # the system's


def test_the_example_of_an_environment_is_read_as_it_stands():
    lines = (ROOT / ".env.example").read_text().splitlines()
    settings = dict(line.removeprefix("#").split("=", 1) for line in lines if re.match(r"#?[A-Z_]+=", line))
    for name, value in settings.items():
        if value and name != "TMPDIR":
            Config.from_environ({name: value})


def test_app_json_asks_for_settings_there_are():
    asked = json.loads((ROOT / "app.json").read_text())["env"]
    assert {name.lower() for name in asked} <= set(Config.model_fields)


def test_the_defaults_in_the_table_are_the_code_s():
    table = (ROOT / "docs" / "environment.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", table, flags=re.MULTILINE))
    wrong = {}
    for name, default in Config().model_dump().items():
        told = rows.get(name.upper(), "–").strip().strip("`").removeprefix("./")
        if isinstance(default, bool | int | float | str) or name == "storage_dir":
            expected = f"{default:g}" if isinstance(default, float) else str(default)
            if told != expected:
                wrong[name.upper()] = (told, expected)
    assert not wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)", page.read_text()):
        file = page.parent / target if target else page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in slugs, f"{target}#{anchor}"


def test_commands_are_known_or_marked_as_needing_an_account():
    assert len(LINES) > 40
    for page, line in LINES:
        word = first_word(line)
        if word in ACCOUNTS or word == "git":
            text = (ROOT / page if (ROOT / page).exists() else ROOT / "docs" / page).read_text()
            section = text[: text.index(line.split("  ")[0])].rsplit("\n## ", 1)[-1]
            assert re.search(r"\*[^*]*[Nn]eeds? [^*]+\*", section), f"{page}: {line}"
        else:
            assert word in RUNS, f"{page}: {line}"


@pytest.mark.parametrize(
    "line", sorted({line for _, line in LINES if "mindscript-worker" in line or "docker run" in line})
)
def test_our_commands_have_arguments_that_are_taken(line):
    words = shlex.split(re.split(r"\s[<>|]\s", line)[0])
    if words[0] == "docker":
        at = next(index for index, word in enumerate(words) if re.fullmatch(r"mindscript(-demo)?", word))
        arguments = words[at + 1 :] or ["work"]
    elif "mindscript-worker" in words:
        arguments = words[words.index("mindscript-worker") + 1 :]
    else:
        return  # a name, as in `heroku create my-mindscript-worker`
    build_parser().parse_args(arguments)


def test_targets_of_make_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {line.split()[1] for _, line in LINES if line.startswith("make ")}
    for page in PAGES:
        named |= set(re.findall(r"`make ([a-z-]+)", page.read_text()))
    assert named <= targets


@pytest.mark.parametrize("page", [page for page in PAGES if "```json" in page.read_text()], ids=lambda page: page.name)
def test_example_jobs_are_taken(page):
    for text in blocks(page, "json"):
        decoder, rest = json.JSONDecoder(), text.strip()
        while rest:
            job, end = decoder.raw_decode(rest)
            parse_job(json.dumps(job))
            rest = rest[end:].strip()


def test_every_event_of_the_log_is_explained_and_no_other():
    logged = set()
    for source in (ROOT / "worker").rglob("*.py"):
        logged |= set(re.findall(r"\bevent=\"([\w.]+)\"", source.read_text()))
    section = (ROOT / "docs" / "operations.md").read_text().split("## Log lines")[1].split("Lines without")[0]
    rows = [row.split("|")[1] for row in re.findall(r"^\| `.*$", section, re.MULTILINE)]
    assert {event for row in rows for event in re.findall(r"`([\w.]+)`", row)} == logged | {"event"}


def test_every_metric_is_explained_and_no_other():
    text = Metrics(State("name", "queue")).text().decode()
    exported = set()
    for name, kind in re.findall(r"^# TYPE (mindscript_\w+) (\w+)$", text, re.MULTILINE):
        if not name.endswith("_created"):
            exported.add(name if kind != "counter" or name.endswith("_total") else f"{name}_total")
    page = (ROOT / "docs" / "operations.md").read_text()
    assert set(re.findall(r"mindscript_[a-z_]+", page)) == exported


def test_the_toml_of_the_pages_can_be_read():
    for page in PAGES:
        for text in blocks(page, "toml"):
            tomllib.loads(text)


def test_no_registry_or_credential_is_in_the_repository():
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, timeout=30).stdout
    pattern = re.compile(
        r"https?://[\w.-]*(?:artifactory|nexus|devpi|pypi|npmjs|pkgs\.dev)[\w.-]*"
        r"|(?:extra-)?index[-]url|find[-]links"
        r"|sk-[A-Za-z0-9]{20,}|eyJ[A-Za-z0-9_-]{20,}\.eyJ|-----BEGIN [A-Z ]*PRIVATE KEY"
        r"|(?<![\w.])/(?:root|home/(?!worker)\w+|work/(?:main|shared))/"
    )
    found = []
    for name in tracked.decode().split("\0"):
        path = ROOT / name
        if name and path.is_file() and b"\0" not in (content := path.read_bytes())[:1000]:
            found += [f"{name}: {hit}" for hit in pattern.findall(content.decode(errors="ignore"))]
    assert not found
