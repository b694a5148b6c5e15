// The page: one job in at most two versions, seen as fields and as JSON, heard wherever the playhead is.
import { hear } from "./api.js";
import { ask } from "./dialog.js";
import { Fields } from "./fields.js";
import { commandOf, receiveFiles, saveJob } from "./files.js";
import { clock, element } from "./elements.js";
import { changed, differences, withSeed } from "./job.js";
import { Lanes, drawWave } from "./lanes.js";
import { Player } from "./player.js";
import { Rendering } from "./render.js";
import { Refused, get, post } from "./requests.js";
import { startOf } from "./start.js";

const SPAN_S = 15;
const NEXT_BEFORE_S = 8;
const DRAW_MS = 250;
const STILL_MS = 1000;
const PAGE = [...crypto.getRandomValues(new Uint32Array(4))].join("-"); // randomUUID is not there without https
const byId = (id) => document.getElementById(id);
const start = await startOf(await get("api/start"));
const player = new Player();
const lanes = new Lanes(byId("lanes-canvas"));
// By name: the job, its last answers, and what is on its way.
const decks = new Map([["A", newDeck(start.job)]]);
let numbers = 0;
let paying = null;

function newDeck(job) {
  return { job, version: 0, plan: null, span: null, facts: null, asking: null, waits: false, next: false, measuring: null, errors: [], effective: null, timers: [] };
}

const deck = () => decks.get(player.active);
const trackSeconds = () => deck().facts?.track_s ?? deck().plan?.seconds ?? 0;

// ---- hearing ----

const request = (name, one, more = {}) => ({
  deck: `${PAGE}-${name}`, number: (numbers += 1), version: one.version, job: one.job, pay: paying === one.job, ...more,
});

// Ask for the span at the playhead; while one is on its way, the newest job waits for it.
async function refresh(name, { anew = false } = {}) {
  const one = decks.get(name);
  if (one.asking && !anew) {
    one.waits = true;
    return;
  }
  one.asking?.abort();
  const control = new AbortController();
  one.asking = control;
  one.waits = false;
  const at = Math.max(0, player.position);
  const { version } = one;
  try {
    const span = await hear(request(name, one, { at_s: at, seconds: SPAN_S }), control.signal);
    one.span = span;
    one.facts = span;
    one.following = null;
    one.heardVersion = version;
    player.replace(name, span);
    say("");
    balance();
    show();
  } catch (error) {
    failed(error, one);
  } finally {
    if (one.asking === control) {
      one.asking = null;
      if (one.waits) refresh(name);
    }
  }
}

async function follow(name) {
  const one = decks.get(name);
  const end = player.end(name);
  if (one.next || one.asking || !end || end - player.position > NEXT_BEFORE_S || end >= trackSeconds() - 0.01) return;
  one.next = true;
  try {
    const { version } = one;
    const span = await hear(request(name, one, { at_s: end, seconds: SPAN_S }));
    if (one.version === version && player.end(name) === end) {
      player.append(name, span);
      one.span = one.following ?? one.span;
      one.following = span;
    }
  } catch (error) {
    failed(error, one);
  } finally {
    one.next = false;
  }
}

async function play() {
  const end = trackSeconds();
  if (end && player.position >= end - 0.05) player.position = 0;
  const at = player.position;
  player.context.resume();
  byId("play").setAttribute("aria-pressed", "true");
  say("…");
  try {
    const spans = await Promise.all([...decks].map(async ([name, one]) => {
      const holds = one.span && one.heardVersion === one.version && at >= one.span.start_s && at < one.span.start_s + one.span.frames / 44100 - 1;
      one.asking?.abort();
      if (!holds) {
        one.following = null;
        one.span = one.facts = await hear(request(name, one, { at_s: at, seconds: SPAN_S }));
        one.heardVersion = one.version;
      }
      return [name, one.span];
    }));
    await player.start(at, spans);
    balance();
    say("");
  } catch (error) {
    failed(error, deck());
  }
  show();
}

function stop() {
  player.stop();
  show();
}

function seek(seconds) {
  const to = Math.max(0, Math.min(seconds, Math.max(0, trackSeconds() - 0.1)));
  const wasPlaying = player.playing;
  if (wasPlaying) player.stop();
  player.position = to;
  if (wasPlaying) play();
  else for (const name of decks.keys()) refresh(name, { anew: true });
  show();
}

// Two versions are heard at the loudness of the quieter one.
function balance() {
  const loud = [...decks].map(([name, one]) => [name, one.facts?.lufs ?? null]);
  const known = loud.map(([, lufs]) => lufs).filter((lufs) => lufs !== null);
  const least = known.length ? Math.min(...known) : 0;
  player.balance(player.active, loud.map(([name, lufs]) => [name, lufs === null ? 1 : 10 ** ((least - lufs) / 20)]));
}

// Once nothing has changed for a while, the whole is measured, and what is heard then is exact.
async function measure(name) {
  const one = decks.get(name);
  if (one.asking) {
    one.timers.push(setTimeout(() => measure(name), STILL_MS));
    return;
  }
  if (!one.facts?.estimated || one.errors.length || one.heardVersion !== one.version) return;
  const { version } = one;
  one.measuring = version;
  show();
  try {
    const facts = await (await post("api/measure", request(name, one))).json();
    if (one.version === version) {
      one.facts = { ...one.facts, ...facts, start_s: one.facts.start_s };
      refresh(name);
    }
  } catch (error) {
    failed(error, one);
  } finally {
    if (one.measuring === version) one.measuring = null;
    show();
  }
}

async function draw(name) {
  const one = decks.get(name);
  const { version } = one;
  try {
    const plan = await (await post("api/lanes", request(name, one))).json();
    if (one.version !== version) return;
    one.plan = plan;
    if (decks.get(player.active) === one) lanes.show(plan);
    show();
  } catch (error) {
    failed(error, one);
  }
}

function failed(error, one) {
  if (error.name === "AbortError" || error.status === 410) return;
  if (player.playing === false) byId("play").setAttribute("aria-pressed", "false");
  if (error instanceof Refused && error.status === 409) {
    unpaid(error.told, () => {
      paying = one.job;
      for (const name of decks.keys()) refresh(name, { anew: true });
      draw(player.active);
    });
  } else if (!error.told?.errors) say((error.told?.lines ?? [error.message]).join(" "));
}

let asked = null;
function unpaid(told, pay) {
  const { script, layers } = deck().job;
  const scripts = JSON.stringify([script, (Array.isArray(layers) ? layers : []).map((layer) => layer?.script)]);
  if (asked === scripts && told.characters) {
    say(`These words are not spoken yet: ${told.characters} characters.`);
    return;
  }
  asked = scripts;
  const price = told.cents === null || told.cents === undefined ? "" : `, about ${told.cents.toFixed(1)} ¢`;
  ask("Have these words spoken?", `They are not spoken yet: ${told.characters} characters${price}. What is spoken is kept.`, ["Have them spoken", pay], ["Not now"]);
}

const rendering = new Rendering(unpaid);

// ---- changing ----

function change(make, { from = null } = {}) {
  const one = deck();
  one.job = make(one.job);
  if (from !== "load" && from !== "json") one.job = withSeed(one.job);
  one.version += 1;
  one.measuring = null;
  if (asked !== one.job.script) asked = null;
  showJob(from);
  check(player.active);
  refresh(player.active);
  const name = player.active;
  for (const timer of one.timers) clearTimeout(timer);
  one.timers = [setTimeout(() => draw(name), from === "load" ? 0 : DRAW_MS), setTimeout(() => measure(name), STILL_MS)];
}

async function check(name) {
  const one = decks.get(name);
  const { version } = one;
  let found;
  try {
    found = await (await post("api/check", { job: one.job })).json();
  } catch (error) {
    failed(error, one);
    return;
  }
  if (one.version !== version) return;
  one.errors = found.errors;
  one.warnings = found.warnings;
  if (found.effective) one.effective = found.effective;
  showFields();
}

const fields = new Fields(byId("groups"), start, change);

function showFields() {
  const one = deck();
  const left = fields.show(one.effective, one.errors);
  const script = one.errors.filter(({ field }) => field === "script").map(({ message }) => message);
  byId("script-error").textContent = script.join(" ");
  byId("script").setAttribute("aria-invalid", String(script.length > 0));
  byId("errors").replaceChildren(...[...left.map(({ message }) => message), ...(one.warnings ?? [])].map((words) => element("p", {}, words)));
}

function showJob(from) {
  const { job } = deck();
  if (from !== "json") {
    byId("json").value = JSON.stringify(job, null, 2);
    byId("json-error").textContent = "";
    byId("json").setAttribute("aria-invalid", "false");
  }
  if (from !== "script") byId("script").value = job.script ?? "";
  byId("session").value = job.session ?? "";
  const other = decks.get("B");
  byId("differences").hidden = !other;
  if (!other) return;
  const rows = differences(decks.get("A").job, other.job);
  const shown = rows.length ? rows : [["nothing yet", "", ""]];
  byId("differences").querySelector("tbody").replaceChildren(...shown.map(([name, here, there]) => element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, here), element("td", {}, there))));
}

byId("script").addEventListener("input", () => change((job) => changed(job, "script", byId("script").value), { from: "script" }));
byId("json").addEventListener("input", () => {
  const text = byId("json").value;
  try {
    const job = JSON.parse(text);
    if (job === null || typeof job !== "object" || Array.isArray(job)) throw new SyntaxError("a job is an object: { … }");
    byId("json-error").textContent = "";
    byId("json").setAttribute("aria-invalid", "false");
    change(() => job, { from: "json" });
  } catch (error) {
    byId("json-error").textContent = `${error.message}. The last good job is kept.`;
    byId("json").setAttribute("aria-invalid", "true");
  }
});
byId("session").append(...start.sessions.map(({ name, summary, minutes }) => element("option", { value: name, title: summary }, `${name}, ${minutes} min`)));
byId("session").addEventListener("change", () => {
  const session = start.sessions.find(({ name }) => name === byId("session").value);
  change((job) => {
    const { binaural, carrierType, carrierGainDb, fade, session: before, ...rest } = job;
    return session ? { ...rest, session: session.name, durationMin: session.minutes } : start.job;
  });
  say(session ? session.summary : "");
});

function choose(name) {
  if (!decks.has(name)) {
    if (withSeed(deck().job) !== deck().job) change((job) => job); // both have one seed
    const other = deck();
    decks.set(name, { ...newDeck(structuredClone(other.job)), plan: other.plan, effective: other.effective, span: other.span, facts: other.facts, heardVersion: other.heardVersion === other.version ? 0 : -1 });
    if (player.playing) refresh(name);
  }
  player.active = name;
  balance();
  for (const each of ["A", "B"]) byId(`deck-${each}`).setAttribute("aria-pressed", String(each === name));
  if (deck().plan) lanes.show(deck().plan);
  showJob(null);
  showFields();
  show();
  if (deck().span === null || deck().heardVersion !== deck().version) refresh(name);
}

// ---- files and commands ----

function received(taken, file) {
  start.sounds = taken.sounds;
  fields.build(start);
  showFields();
  const asMusic = () => change((job) => changed(job, "backgroundMusic", { ...(job.backgroundMusic ?? {}), url: taken.name }));
  const asVoice = () => change((job) => changed(job, "voice", { provider: "uploaded", url: taken.name }));
  say(`${file.name}: ${clock(taken.seconds)}`);
  if (!deck().effective?.backgroundMusic && taken.seconds >= 60) asMusic();
  else ask("What is it?", `${file.name}, ${clock(taken.seconds)}`, ["The voice", asVoice], ["Music", asMusic]);
}

receiveFiles({ input: byId("file"), drop: byId("drop"), say, received });
byId("copy-command").addEventListener("click", async () => {
  await navigator.clipboard.writeText(commandOf(deck().job, deck().effective?.output.format ?? "mp3", start));
  say("The command is in the clipboard: it makes this track in a terminal.");
});
byId("save-job").addEventListener("click", () => saveJob(deck().job, start.name));
byId("render").addEventListener("click", () => rendering.start(deck().job).catch((error) => say((error.told?.errors ?? []).map(({ message }) => message).join(" ") || error.message)));

// ---- showing ----

function say(words) {
  if (byId("status").textContent !== words) byId("status").textContent = words;
}

function show() {
  const one = deck();
  const at = player.position;
  const seconds = trackSeconds();
  byId("now").textContent = clock(at);
  byId("length").textContent = clock(seconds);
  byId("play").setAttribute("aria-pressed", String(player.playing));
  byId("play").setAttribute("aria-label", player.playing ? "Stop" : "Play");
  const place = byId("lanes");
  place.setAttribute("aria-valuemax", String(Math.max(1, Math.floor(seconds))));
  place.setAttribute("aria-valuenow", String(Math.floor(at)));
  place.setAttribute("aria-valuetext", `${clock(at)} of ${clock(seconds)}`);
  const within = one.following && at >= one.following.start_s ? one.following : one.span;
  lanes.move(at, within ? [within.start_s, within.start_s + within.frames / 44100] : null);
  drawWave(byId("wave"), within, at);
  const spoken = lanes.spoken(at);
  byId("line").textContent = spoken ? lanes.plan.lines[spoken[2]] : "";
  const { facts } = one;
  const level = byId("level");
  level.classList.toggle("exact", Boolean(facts && !facts.estimated));
  const words = !facts ? "" : `${facts.lufs === null ? "" : `${facts.lufs.toFixed(1).replace("-", "−")} LUFS, `}${facts.estimated ? (one.measuring === null ? "level estimated" : "level estimated, measuring …") : "level exact"}`;
  if (level.textContent !== words) level.textContent = words;
}

function tick() {
  if (player.playing) {
    if (player.position >= trackSeconds()) {
      stop();
      player.position = 0;
    } else for (const name of decks.keys()) follow(name);
    show();
  }
  requestAnimationFrame(tick);
}

byId("play").addEventListener("click", () => (player.playing ? stop() : play()));
byId("deck-A").addEventListener("click", () => choose("A"));
byId("deck-B").addEventListener("click", () => choose("B"));
byId("zoom-in").addEventListener("click", () => lanes.zoom(0.5));
byId("zoom-out").addEventListener("click", () => lanes.zoom(2));
byId("lanes").addEventListener("click", (event) => seek(lanes.at(event.clientX - byId("lanes").getBoundingClientRect().left)));
document.addEventListener("keydown", (event) => {
  const inField = event.target.closest("input, textarea, select, dialog, audio");
  if (inField || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === " " && event.target.closest("button, a, summary")) return;
  const steps = { ArrowLeft: -5, ArrowRight: 5, PageUp: -60, PageDown: 60 };
  if (event.key === " ") player.playing ? stop() : play();
  else if (event.key in steps) seek(player.position + steps[event.key]);
  else if (event.key === "Home") seek(0);
  else return;
  event.preventDefault();
});
addEventListener("resize", show);

byId("job-name").textContent = start.name;
byId("copy-command").hidden = start.folder === null;
byId("json").closest("details").open = matchMedia("(min-width: 60rem)").matches;
globalThis.studio = { player, decks, lanes }; // for the browser's console
change((job) => job, { from: "load" });
if (start.refused) byId("opening").textContent = start.refused;
requestAnimationFrame(tick);
