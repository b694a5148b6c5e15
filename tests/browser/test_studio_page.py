"""The studio's page in a real browser: load, edit, hear, compare, render; wrong token, another origin, phone size.

With STUDIO_PICTURES set to a folder, the pictures of docs/howto/use-the-studio.md are drawn into it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from waiting import until

BINS = """() => {
  const { analyser } = studio.player;
  const bins = new Float32Array(analyser.frequencyBinCount);
  analyser.getFloatFrequencyData(bins);
  return bins;
}"""
HEARD_HZ = f"""() => {{
  const bins = ({BINS})();
  return bins.indexOf(Math.max(...bins)) * 44100 / studio.player.analyser.fftSize;
}}"""
JOB = "studio.decks.get(studio.player.active).job"
SETTLED = """() => {
  const one = studio.decks.get(studio.player.active);
  return !one.asking && one.span && one.heardVersion === one.version;
}"""


def picture(page, name, **options):
    """Draw a picture for the docs, where they are wanted."""
    folder = os.environ.get("STUDIO_PICTURES")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png", **options)


def write_job(page, job):
    page.locator("details.json").evaluate("each => each.open = true")
    page.fill("#json", json.dumps(job))
    until(page, f"({SETTLED})()")


def test_the_page_shows_the_job_as_fields_lanes_and_json(opened, studio):
    page = opened()
    assert page.locator("#field-gains-musicDb").input_value() == "-10"
    assert json.loads(page.locator("#json").input_value()) == studio.context.start.job
    assert page.locator("#length").inner_text() == "1:00"
    until(page, "document.getElementById('level').textContent.includes('exact')")
    drawn = page.evaluate("""() => {
      const canvas = document.getElementById("lanes-canvas");
      const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
      return new Set(new Uint32Array(pixels.buffer)).size;
    }""")
    assert drawn > 20
    picture(page, "studio")


def test_a_lane_shows_when_its_layer_sounds_and_how_it_fades(opened):
    page = opened()
    when = [{"startSec": 20, "endSec": 40}, {"startSec": 80, "endSec": 110}]
    kinds = [{"kind": "noise"}, {"kind": "tone", "hz": 432}, {"kind": "binaural"}]
    layers = [{**kind, "when": when, "fadeInMs": 10_000} for kind in kinds]
    write_job(page, {"durationMin": 2, "layers": layers, "fade": {"inMs": 0, "outMs": 0}})
    until(page, "studio.decks.get('A').plan.layers.length === 3")
    sums = page.evaluate(
        """(places) => {
      const canvas = document.getElementById("lanes-canvas");
      const [dense, gutter, top] = [devicePixelRatio || 1, 58, 22];
      const high = canvas.height / dense - top;
      return [0, 0.6 / 2.8, 1.4 / 2.8].map((share, lane) => places.map((s) => {
        const x = gutter + (s / 120) * (canvas.width / dense - gutter);
        const tall = high * ([0.6, 0.8, 1.4][lane] / 2.8);
        const part = [x - 6, top + high * share + 4, 12, tall - 6].map((each) => Math.round(each * dense));
        const { data } = canvas.getContext("2d").getImageData(...part);
        return data.reduce((sum, value, at) => sum + (at % 4 === 3 ? value : 0), 0);
      }));
    }""",
        [35, 105, 82, 65, 115],
    )
    for sounding, again, fading, between, after in sums:
        assert sounding > fading > max(between, after)
        assert abs(sounding - again) < 0.2 * sounding


def test_a_slider_and_the_json_change_the_same_job(opened):
    page = opened()
    page.locator("#field-gains-musicDb").fill("-20")
    changed = page.evaluate(JOB)
    assert changed["gains"]["musicDb"] == -20
    assert 0 <= changed["seed"] < 2**32  # else every change would make other noise
    assert json.loads(page.locator("#json").input_value())["gains"]["musicDb"] == -20
    write_job(page, {**changed, "gains": {"musicDb": -12.5}})
    assert page.evaluate(JOB)["seed"] == changed["seed"]
    until(page, "document.getElementById('field-gains-musicDb').value === '-12.5'")


def test_bad_json_keeps_the_last_good_job_and_says_where(opened):
    page = opened()
    before = page.evaluate(JOB)
    page.locator("details.json").evaluate("each => each.open = true")
    page.fill("#json", '{\n  "durationMin": 1,\n}')
    assert "line 3" in page.locator("#json-error").inner_text()
    assert page.evaluate(JOB) == before


def test_a_mistake_is_shown_at_its_field(opened):
    page = opened()
    exact = page.get_by_label("Track, Length, in min")
    exact.fill("999")
    exact.press("Enter")
    until(page, "document.getElementById('field-durationMin-error').textContent.includes('480')")
    assert page.locator("#field-durationMin").get_attribute("aria-invalid") == "true"


def test_the_tone_that_was_set_is_heard(opened):
    page = opened()
    tones = {"durationMin": 2, "solfeggio": {"hz": 528}, "fade": {"inMs": 0, "outMs": 0}}
    write_job(page, tones)
    page.click("#play")
    until(page, f"Math.abs(({HEARD_HZ})() - 528) < 1.4")
    page.locator("#field-solfeggio-hz").select_option("741")
    until(page, f"Math.abs(({HEARD_HZ})() - 741) < 1.4")
    page.click("#play")
    assert page.evaluate("studio.player.playing") is False


def test_what_follows_a_span_joins_without_a_gap(opened):
    page = opened()
    write_job(page, {"durationMin": 2, "solfeggio": {"hz": 528}, "fade": {"inMs": 0, "outMs": 0}})
    page.evaluate("studio.player.position = 5")
    page.click("#play")
    until(page, "Boolean(studio.decks.get('A').following)")
    one, other = page.evaluate("""() => {
      const { span, following } = studio.decks.get("A");
      return [span, following].map(({ start_s, frames }) => [Math.round(start_s * 44100), frames]);
    }""")
    assert one[0] + one[1] == other[0]


def test_space_and_arrows_work_the_player(opened):
    page = opened()
    page.locator("#lanes").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.locator("#now").inner_text() == "0:10"
    assert page.locator("#lanes").get_attribute("aria-valuetext") == "0:10 of 1:00"
    page.keyboard.press("ArrowLeft")
    assert page.locator("#now").inner_text() == "0:05"
    page.keyboard.press("Space")
    until(page, "studio.player.playing && studio.player.position > 5.2")
    page.keyboard.press("Space")
    until(page, "!studio.player.playing")


def test_a_spoken_line_lights_up(opened, studio):
    page = opened()
    plan = page.evaluate("studio.decks.get('A').plan")
    start, stop, *_ = plan["voice"][0]
    page.evaluate(f"studio.player.position = {(start + stop) / 2}")
    page.locator("#lanes").focus()
    page.evaluate("studio.decks.get('A').plan.lines[0] = 'I am calm.'")
    page.evaluate("dispatchEvent(new Event('resize'))")
    assert page.locator("#line").inner_text() == "I am calm."


def test_two_versions_play_in_step_at_one_loudness(opened):
    page = opened()
    tones = {"durationMin": 2, "solfeggio": {"hz": 528}, "fade": {"inMs": 0, "outMs": 0}}
    write_job(page, tones)
    page.click("#deck-B")
    page.locator("#field-solfeggio-hz").select_option("741")
    page.locator("#field-safety-targetLufs").fill("-26")
    until(page, f"({SETTLED})()")
    until(page, "studio.decks.get('B').facts.lufs < -25")
    until(page, "studio.decks.get('A').plan.seconds === 120 && studio.decks.get('B').plan.seconds === 120")
    rows = page.locator("#differences tbody tr").all_inner_texts()
    assert [row.split("\t")[0] for row in rows] == ["safety.targetLufs", "solfeggio.hz"]
    page.click("#play")
    until(page, f"Math.abs(({HEARD_HZ})() - 741) < 1.4")
    loudest = f"() => Math.max(...({BINS})())"
    page.wait_for_timeout(1000)  # the analyser's window is 0.75 s long, and must be full of B
    b_db = page.evaluate(loudest)
    page.click("#deck-A")
    until(page, f"Math.abs(({HEARD_HZ})() - 528) < 1.4")
    page.wait_for_timeout(1000)  # and of A
    a_db = page.evaluate(loudest)
    assert a_db == pytest.approx(b_db, abs=1.0)
    picture(page, "studio-compare")


def test_a_whole_track_ends_with_its_receipt(opened, studio):
    page = opened()
    page.click("#render")
    page.wait_for_selector("#receipt:not([hidden])", timeout=120_000)
    assert "promises kept" in page.locator("#receipt").inner_text()
    assert page.locator("#receipt tbody tr").count() > 5
    with page.expect_download() as download:
        page.get_by_text("One page to send").click()
    assert "promises kept" in Path(download.value.path()).read_text()
    until(page, "document.querySelector('#receipt img').naturalWidth > 500")
    until(page, "document.querySelector('#receipt audio').duration > 59.9")
    page.locator("#receipt").evaluate("each => each.scrollIntoView()")
    picture(page, "studio-receipt")


def test_a_track_can_be_cancelled(opened, studio):
    page = opened()
    write_job(page, {"durationMin": 480, "solfeggio": {"hz": 528}})
    page.click("#render")
    until(page, "document.getElementById('progress').value > 0")
    page.click("#cancel")
    until(page, "document.getElementById('rendering').dataset.state === 'cancelled'")
    assert not list(studio.context.folder.path.glob("track-*"))


def test_a_dropped_recording_becomes_the_music(opened, studio):
    page = opened()
    write_job(page, {"durationMin": 1, "solfeggio": {"hz": 528}})
    page.set_input_files("#file", studio.context.folder.path / "recording.flac")
    page.wait_for_selector("dialog[open]")
    page.get_by_role("button", name="Music", exact=True).click()
    until(page, "studio.decks.get('A').plan.layers.some(({ name }) => name === 'music')")


def test_the_job_is_saved_and_copied_as_a_command(opened):
    page = opened()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.click("#copy-command")
    until(page, "document.getElementById('status').textContent.includes('clipboard')")
    command = page.evaluate("navigator.clipboard.readText()")
    assert "mindscript-worker render - -o first-track.mp3 <<'END_OF_JOB'\n{" in command
    with page.expect_download() as download:
        page.click("#save-job")
    assert json.loads(Path(download.value.path()).read_text()) == page.evaluate(JOB)


def test_a_session_keeps_the_words_and_the_music(opened):
    page = opened()
    page.locator("#session").select_option("fall-asleep")
    until(page, "studio.decks.get('A').plan?.seconds === 2700")
    job = page.evaluate(JOB)
    assert (job["session"], job["backgroundMusic"]) == ("fall-asleep", {"url": "demo-loop.flac"})
    assert page.locator("#field-binaural-beatHz").is_disabled()
    until(page, f"({SETTLED})()")
    picture(page, "studio-session")


def test_a_wrong_or_used_token_shows_no_studio(browser, studio, opened):
    opened()
    context = browser.new_context()
    page = context.new_page()
    for address in (studio.address, studio.address[:-3]):
        assert page.goto(address).status == 403
        assert "does not know this browser" in page.inner_text("body")
    context.close()


def test_another_origin_can_do_nothing(opened, studio):
    page = opened()
    evil = page.context.new_page()
    evil.route("http://evil.example/", lambda route: route.fulfill(body="<p>evil</p>", content_type="text/html"))
    evil.goto("http://evil.example/")
    url = f"http://127.0.0.1:{studio.port}/api/renders"
    read = "url => fetch(url, { credentials: 'include' }).then(() => 'read', () => 'refused')"
    assert evil.evaluate(read, url.replace("renders", "start")) == "refused"
    form = """url => {
      const form = document.createElement("form");
      Object.assign(form, { action: url, method: "POST", enctype: "text/plain" });
      document.body.append(form);
      form.submit();
    }"""
    with evil.expect_response(url) as answer:
        evil.evaluate(form, url)
    assert (answer.value.request.method, answer.value.status) == ("POST", 403)
    assert httpx.get(url.replace("renders", "start")).status_code == 401


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_axe_finds_nothing_serious(opened, width, scheme):
    page = opened(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.click("#deck-B")
    page.locator("details.json").evaluate("each => each.open = true")
    found = Axe().run(page).response["violations"]
    assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if scheme == "dark" or width == 390:
        picture(page, f"studio-{'phone' if width == 390 else 'wide'}-{scheme}")
