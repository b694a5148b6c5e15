// The whole queue: figures, what waits for the operator, and the jobs by group.
import { commandLine, pause, resume, retryAll } from "./asking.js";
import { clock, element } from "./elements.js";
import { duration, setClock, since } from "./times.js";

const byId = (id) => document.getElementById(id);
const facts = (...parts) => element("span", { class: "facts" }, ...parts.filter(Boolean).map((part) => (typeof part === "string" ? element("span", {}, part) : part)));
const jobLink = (id, words) => element("a", { href: `#job/${id}`, "data-key": `job-${id}` }, words);
const shown = new Map(); // by the place: what it shows, as JSON

// Draw a place anew if what it shows has changed; who had the focus in it keeps it.
function draw(place, of, make) {
  const text = JSON.stringify(of);
  if (shown.get(place) === text) return;
  shown.set(place, text);
  const key = place.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  place.replaceChildren(...make());
  if (key) place.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus();
}

function title(job) {
  const name = jobLink(job.id, job.title ?? "without a title");
  return element("span", { class: "what" }, name, " ", element("span", { class: "id" }, job.id.slice(0, 8)));
}

const attempt = (job) => (job.attempt > 1 ? `attempt ${job.attempt}` : null);
const ROWS = {
  running: (job) => [
    title(job), element("progress", { max: 100, value: job.progress, "aria-label": "How much is done" }),
    facts(`${job.progress} %`, job.stage, job.left_s === null ? null : `about ${duration(job.left_s)} left`, attempt(job), job.worker,
      job.started_at && since(job.started_at, "for "))],
  failed: (job) => [title(job), facts(job.error_code && element("span", { class: "fault" }, job.error_code), job.error, attempt(job), job.completed_at && since(job.completed_at, "", " ago"))],
  waiting: (job) => [title(job), facts(job.length_s && clock(job.length_s), attempt(job), job.error_code, job.priority ? `priority ${job.priority}` : null, job.created_at && since(job.created_at, "for "))],
  parked: (job) => [title(job), facts(job.parked_cause, job.created_at && since(job.created_at, "for "))],
  done: (job) => [title(job), facts(job.length_s && clock(job.length_s), job.cents === null ? null : `${job.cents.toFixed(1)} ¢`, job.completed_at && since(job.completed_at, "", " ago"))],
  cancelled: (job) => [title(job), facts(job.created_at && since(job.created_at, "inserted ", " ago"))],
};

function figure(name, number, more, alarm = false) {
  return element("div", alarm ? { class: "alarm" } : {}, element("dt", {}, name), element("dd", { class: "number" }, String(number)), element("dd", { class: "quiet" }, more ?? "\u00a0"));
}

function figures(queue) {
  const { counts, completed } = queue;
  return [
    figure("Waiting", counts.waiting, queue.oldest_waiting_at && since(queue.oldest_waiting_at, "the oldest for ")),
    figure("Running", counts.running, `${queue.workers.length} ${queue.workers.length === 1 ? "worker" : "workers"}`),
    figure("Failed", counts.failed, null, counts.failed > 0),
    figure("Waiting for you", counts.parked, queue.mode === "plain" ? "this worker's alone" : null, counts.parked + queue.own_causes.length > 0),
    figure("Done in the last hour", completed.hour, `${completed.day} in the last day`),
  ];
}

function cause(each, own) {
  return element("li", {},
    element("span", { class: "what" }, element("strong", {}, each.message)),
    facts(element("span", { class: "fault" }, each.cause), own ? "this worker claims nothing until it is fixed" : `${each.jobs} ${each.jobs === 1 ? "job waits" : "jobs wait"}`, since(each.since, "for ")));
}

function failureGroup(group) {
  const retry = group.command && element("button", {
    type: "button", "data-key": `retry-${group.code}`, title: commandLine(group.command), onclick: () => retryAll({ code: group.code }, ` of ${group.code}`),
  }, "Retry these");
  return element("li", {},
    element("span", { class: "what" }, element("strong", { class: "fault" }, group.code ?? "no code"), ` ${group.jobs} ${group.jobs === 1 ? "job" : "jobs"}`),
    facts(group.error, jobLink(group.newest, "the newest"), group.newest_at && since(group.newest_at, "", " ago")), ...(retry ? [retry] : []));
}

function worker(each) {
  const jobs = each.running ? `${each.running} ${each.running === 1 ? "job" : "jobs"}` : "no job";
  return element("li", {}, element("span", { class: "what" }, each.worker), facts(jobs, each.here ? "this page's worker, alive" : since(each.seen_at, "last seen ", " ago")));
}

// A list that is hidden while it is empty, or says so.
function list(id, of, make, empty = null) {
  byId(id).hidden = of.length === 0 && empty === null;
  draw(byId(id).querySelector("ul"), of, () => (of.length ? of.map(make) : [element("li", { class: "quiet" }, empty ?? "")]));
}

function failures(queue) {
  const { groups, at_most } = queue.failures;
  list("failures", groups, failureGroup);
  const looked = groups.reduce((sum, each) => sum + each.jobs, 0);
  draw(byId("failures").querySelector("p"), [looked, at_most], () => [
    looked >= at_most ? `Of the newest ${at_most} alone. ` : "",
    element("button", { type: "button", "data-key": "retry-all", onclick: () => retryAll({ failed: true }, "") }, "Retry all failed"),
  ]);
}

export function show(queue) {
  setClock(queue.now);
  byId("where").textContent = `${queue.mode} mode, ${queue.transport}`;
  const pausing = byId("pause");
  pausing.hidden = queue.mode === "plain" || queue.paused !== null;
  pausing.onclick = pause;
  byId("paused").hidden = queue.paused === null;
  if (queue.paused) {
    draw(byId("paused"), queue.paused, () => [
      element("p", {}, element("strong", {}, "The queue is paused"), " by ", queue.paused.by ?? "somebody", ", ", since(queue.paused.since, "for "), `: ${queue.paused.reason ?? ""}`),
      element("button", { type: "button", class: "main", "data-key": "resume", title: commandLine("queue resume"), onclick: resume }, "Resume"),
    ]);
  }
  const { counts, completed, oldest_waiting_at, own_causes, workers } = queue;
  draw(byId("figures"), [counts, completed, oldest_waiting_at, own_causes, workers.length], () => figures(queue));
  list("causes", [...own_causes.map((each) => [each, true]), ...queue.causes.map((each) => [each, false])], ([each, own]) => cause(each, own));
  failures(queue);
  for (const [group, row] of Object.entries(ROWS)) {
    const jobs = queue.jobs[group] ?? [];
    list(group, jobs, (job) => element("li", {}, ...row(job)), group === "running" ? "Nothing runs." : null);
    const heading = byId(`${group}-title`);
    heading.dataset.words ??= heading.textContent;
    heading.textContent = counts[group] > jobs.length ? `${heading.dataset.words}, ${jobs.length} of ${counts[group]}` : heading.dataset.words;
  }
  list("workers", workers, worker);
  byId("workers").querySelector("p").textContent = queue.unknown ?? "A worker that has had no job lately is not known to the database.";
}
