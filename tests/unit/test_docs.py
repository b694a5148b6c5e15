"""The docs against the code: commands, settings, events, metrics, paths, words, examples, links."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest
from paths import ROOT, TESTS

from tools.reference import commands_page
from worker.cli.arguments import build_parser
from worker.config import VARIABLES, Config
from worker.payload.album import parse_album
from worker.payload.json_schema import payload_schema, payload_schema_text
from worker.payload.parse import parse_job
from worker.payload.typescript import typescript
from worker.service.metrics import Metrics
from worker.service.state import State

DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")),
    *sorted(DOCS.rglob("*.md")),
    ROOT / "benchmarks" / "results" / "README.md",
]
NOT_OURS = {  # other programs' variables, the tests', and the one that names the file of the others
    "RAILWAY_DEPLOYMENT_DRAINING_SECONDS", "BASE_IMAGE", "HIBARI_HOME", "POSTGRES_IMAGE", "LD_LIBRARY_PATH",
    "MINDSCRIPT_TEST_SERVERS", "MINDSCRIPT_TEST_FFMPEG", "MINDSCRIPT_ALL_SERVERS", "MINDSCRIPT_ENV_FILE",
}  # fmt: skip
ACCOUNTS = {"heroku", "supabase", "fly", "docker"}
RUNS = {"make", "mindscript-worker", "curl", "cp", "mkdir", "python", "."}


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


LINES = [(page, line) for page in PAGES for line in command_lines(page)]


def test_every_setting_is_in_the_table():
    table = (REFERENCE / "environment.md").read_text()
    missing = [name.upper() for name in VARIABLES if f"`{name.upper()}`" not in table]
    assert not missing


def test_the_example_of_an_environment_has_every_setting_and_no_other():
    lines = (ROOT / ".env.example").read_text().splitlines()
    named = {match[1] for line in lines if (match := re.match(r"#?([A-Z_]+)=", line))}
    given = {name.upper() for name in VARIABLES}
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
    assert {name.lower() for name in asked} <= set(VARIABLES)


def test_the_defaults_in_the_table_are_the_code_s():
    table = (REFERENCE / "environment.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", table, flags=re.MULTILINE))
    wrong = {}
    for name, default in Config().model_dump().items():
        told = rows.get(name.upper(), "–").strip().strip("`").removeprefix("./")
        if isinstance(default, bool | int | float | str) or name == "storage_dir":
            expected = f"{default:g}" if isinstance(default, float) else str(default)
            if told != expected:
                wrong[name.upper()] = (told, expected)
    assert not wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
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
        if not line:
            continue
        word = first_word(line)
        if word in ACCOUNTS or word == "git":
            text = page.read_text()
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


@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks(page, "json")], ids=lambda page: page.relative_to(ROOT).as_posix()
)
def test_example_jobs_are_taken(page):
    for text in blocks(page, "json"):
        decoder, rest = json.JSONDecoder(), text.strip()
        while rest:
            job, end = decoder.raw_decode(rest)
            (parse_album if "tracks" in job else parse_job)(json.dumps(job))
            rest = rest[end:].strip()


def logged_events() -> set[str]:
    """The events in the code."""
    sources = "".join(source.read_text() for source in (ROOT / "worker").rglob("*.py"))
    return set(re.findall(r"\bevent=\"([\w.]+)\"", sources))


def test_every_event_of_the_log_is_explained_and_no_other():
    section = (REFERENCE / "log-events.md").read_text().split("## Loggers")[0]
    rows = [row.split("|")[1] for row in re.findall(r"^\| `.*$", section, re.MULTILINE)]
    assert {event for row in rows for event in re.findall(r"`([\w.]+)`", row)} == logged_events() | {"event"}


def test_every_metric_is_explained_and_no_other():
    text = Metrics(State("name", "queue")).text().decode()
    exported = set()
    for name, kind in re.findall(r"^# TYPE (mindscript_\w+) (\w+)$", text, re.MULTILINE):
        if not name.endswith("_created"):
            exported.add(name if kind != "counter" or name.endswith("_total") else f"{name}_total")
    assert set(re.findall(r"mindscript_[a-z_]+", (REFERENCE / "metrics.md").read_text())) == exported


def test_the_toml_of_the_pages_can_be_read():
    for page in PAGES:
        for text in blocks(page, "toml"):
            tomllib.loads(text)


def in_backticks(page: Path) -> set[str]:
    """The words that a page sets as code, outside its blocks."""
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return set(re.findall(r"`([^`\n]+)`", text))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_paths_settings_and_loggers_in_backticks_exist(page):
    settings = {name.upper() for name in VARIABLES} | NOT_OURS
    events = logged_events()
    for word in in_backticks(page):
        if re.fullmatch(r"(?:dsp|worker|tests|benchmarks|docs|examples|tools)/[\w./*-]*", word):
            assert list(ROOT.glob(word.rstrip("/"))), word
        elif re.fullmatch(r"worker(?:\.[a-z_]+)+", word) and word not in events:
            path = ROOT / word.replace(".", "/")
            assert path.with_suffix(".py").exists() or path.is_dir(), word
        elif re.fullmatch(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+(?:=.*)?", word):
            assert word.split("=")[0] in settings, word


def test_the_page_of_commands_is_their_own_help():
    page = (REFERENCE / "commands.md").read_text()
    assert page.split() == commands_page().split(), "run `make reference`"


def test_the_schema_of_the_payload_is_the_code_s():
    assert (REFERENCE / "payload.schema.json").read_text() == payload_schema_text(), "run `make reference`"
    assert (REFERENCE / "payload.d.ts").read_text() == typescript(payload_schema()), "run `make reference`"


def test_every_page_is_in_the_index():
    index = (DOCS / "README.md").read_text()
    named = {(DOCS / target).resolve() for target in re.findall(r"\]\(([^)#]+)\)", index)}
    assert set(DOCS.rglob("*.md")) - named == {DOCS / "README.md"}


def test_the_version_is_the_changelog_s_newest():
    released = re.search(r"^## \[(\d[\d.]*)\] - \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert released
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == released[1]


@pytest.mark.parametrize("name", ["compare", "faults", "growth", "queue", "stretch", "cost"])
def test_tables_of_the_results_page_are_the_raw_runs(name):
    page = (DOCS / "reference" / "performance.md").read_text()
    rows = [[cell.strip().strip("*") for cell in line.strip("|").split("|")] for line in page.splitlines()]
    for result in json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())["results"]:
        figures = [cell for cell in result.values() if isinstance(cell, str) and re.search(r"\d", cell)]
        if name == "compare":
            figures = [result["contender"], f"{result['wall_s']} s", f"{result['cpu_s']} s", f"{result['pss_mb']:g} MB"]
        if name == "stretch" and result["factor"] not in page.split("## Time-stretch")[1]:
            continue  # the page shows two factors of six
        if name == "faults":  # its words are the old ones in the raw run
            figures = [figure for figure in figures if re.fullmatch(r"[\d,; ]+", figure)]
        assert any(set(figures) <= set(row) for row in rows), result


FORBIDDEN = (
    r"nursery|nurseries|the bell|letters?|watches|the shop|give way|gives way|take up|put back|puts back"
    r"|last word|the post|run-up|run-on|thinner|canvas|mend|mends|mending"
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_pages_use_the_words_of_the_glossary(page):
    if page.name in ("glossary.md", "commands.md"):
        return
    text = re.sub(r"^ *```.*?^ *```$|`[^`\n]+`", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert re.findall(rf"(?i)\b(?:{FORBIDDEN})\b", text) == []
    # "order" is a sequence, a filter's order, or what a customer does; the row of the queue is a job
    assert (
        re.findall(r"\b(?:[Oo]rders|[Aa]n order|[Ee]ach order|[Ee]very order)\b", text.replace("somebody orders", ""))
        == []
    )


def test_code_uses_the_words_of_the_glossary():
    words = re.compile(
        r"(?i)\b(?:nursery|nurseries|the bell|thinner|canvas|tidied|rhythm|run-up|run-on|unheard|gives? way|takes? up"
        r"|the shop|the post|patience|luck|mends?)\b"
    )
    code = [file for folder in ("worker", "dsp", "mindscript", "tools") for file in (ROOT / folder).rglob("*.py")]
    code += (ROOT / "worker" / "queue" / "sql").glob("*.sql")
    assert len(code) > 150
    found = {file.relative_to(ROOT).as_posix(): words.findall(file.read_text()) for file in code}
    assert {name: hits for name, hits in found.items() if hits} == {}


def test_names_of_tests_are_short_enough_to_search_for():
    names = [name for file in TESTS.rglob("test_*.py") for name in re.findall(r"def (test_\w+)", file.read_text())]
    assert len(names) > 1000
    assert [name for name in names if len(name) >= 70] == []


@pytest.mark.integration  # asks git
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
