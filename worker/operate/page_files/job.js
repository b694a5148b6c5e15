// One job: what became of it, what it delivered, and what can be done.
import { change, commandLine, say } from "./asking.js";
import { clock, element } from "./elements.js";
import { get, post } from "./requests.js";
import { duration, moment } from "./times.js";

const WORDS = { retry: "Retry", cancel: "Cancel", purge: "Purge" };
const card = (title, ...children) => element("section", { class: "card", "aria-label": title }, element("h3", {}, title), ...children);

function factsOf(job) {
  const known = {
    Job: job.id, Status: job.status === "running" ? `running, ${job.progress} %` : job.status, Stage: job.stage, Track: job.track_id, Customer: job.user_id,
    Length: job.length_s && clock(job.length_s), Attempt: job.attempt, Worker: job.worker, Priority: job.priority || null,
    Ordered: moment(job.created_at), Started: moment(job.started_at), Ended: moment(job.completed_at),
    "Next attempt": job.status === "waiting" ? moment(job.run_after) : null, "Waits for": job.parked_cause, Code: job.error_code,
    "The customer reads": job.error, Purged: moment(job.purged_at), Characters: job.characters, Cost: job.cents === null ? null : `${job.cents.toFixed(2)} ¢`,
  };
  const pairs = Object.entries(known).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return element("dl", { class: "facts-list" }, ...pairs.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, String(value))]));
}

function attemptRow(each) {
  const took = each.started_at ? duration((Date.parse(each.ended_at) - Date.parse(each.started_at)) / 1000) : "";
  const stages = Object.entries(each.stages ?? {}).map(([name, seconds]) => `${name} ${seconds} s`).join(", ");
  return element("li", {},
    element("span", { class: "what" }, element("strong", {}, `${each.number}. ${each.outcome}`), each.code ? element("span", { class: "fault" }, ` ${each.code}`) : ""),
    element("span", { class: "facts" }, ...[moment(each.started_at), took && `took ${took}`, each.worker, stages].filter(Boolean).map((words) => element("span", {}, words))),
    each.error ? element("span", { class: "remark" }, each.error) : "");
}

function attempts(job) {
  if (job.attempts === null) return card("Attempts", element("p", { class: "quiet" }, "Plain mode keeps none: the workers' log is all there is. Search it for the job's id."));
  return job.attempts.length ? card("Attempts", element("ul", { class: "rows" }, ...job.attempts.map(attemptRow))) : "";
}

function delivered(job) {
  if (job.status !== "done") return "";
  const player = job.link ? element("audio", { controls: true, preload: "none", src: job.link, "aria-label": "The finished track" }) : element("p", { class: "quiet" }, `No player: ${job.why_no_link ?? "there is no such file any more"}.`);
  const rows = job.receipt.map((line) => element("tr", {}, element("th", { scope: "row" }, line.name), element("td", {}, line.promised), element("td", {}, line.measured)));
  const heads = ["Figure", "Promised", "Measured"].map((words) => element("th", { scope: "col" }, words));
  const receipt = rows.length ? element("table", {}, element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...rows)) : element("p", { class: "quiet" }, "The row has no figures of it.");
  return card("Delivered", player, receipt);
}

function payload(job) {
  const text = element("pre", {}, JSON.stringify(job.payload, null, 2) ?? "");
  const show = element("button", { type: "button", id: "show-script", title: commandLine(`jobs show ${job.id} --script`), onclick: async () => {
    try {
      text.textContent = JSON.stringify((await (await post(`/studio/api/jobs/${job.id}/script`, {})).json()).payload, null, 2);
      show.remove();
      say("The customer's words are shown; that is in the log.");
    } catch (error) {
      say(`Refused: ${error.message}`);
    }
  } }, "Show the customer's words");
  const open = element("a", { href: `/studio/edit/#job/${job.id}`, id: "open-editor" }, "Open in the editor, with the customer's words");
  const note = element("p", { class: "quiet" }, "That they were asked for is logged, with this session and this job.");
  const asking = element("p", { class: "actions" }, show, open);
  return element("details", { class: "card" }, element("summary", {}, "Payload"), ...(job.purged_at ? [] : [asking, note]), text);
}

function deeds(job, again) {
  if (!job.actions.length) return "";
  const rows = job.actions.map(({ verb, command }) => element("li", {},
    element("button", { type: "button", id: `do-${verb}`, onclick: async () => { if (await change(verb, job.id, command)) again(); } }, WORDS[verb]),
    element("code", {}, commandLine(command))));
  return card("What you can do", element("ul", { class: "deeds" }, ...rows));
}

function story(job) {
  const cause = job.cause ? [element("p", {}, job.cause.message)] : [];
  const notes = job.notes.length ? [element("h4", {}, "Notes"), element("ul", {}, ...job.notes.map((note) => element("li", {}, note)))] : [];
  return card("Story", factsOf(job), ...cause, ...notes);
}

// Draw the job into a place, unless another one was opened meanwhile; throws what the server refuses. Who had the focus
// in it keeps it; where that button is gone, the heading has it.
export async function drawJob(place, id, { again, isOpen }) {
  const job = await get(`/studio/api/jobs/${encodeURIComponent(id)}`);
  if (!isOpen()) return;
  const had = place.contains(document.activeElement) ? document.activeElement.id : null;
  const wasOpen = place.dataset.job === job.id && Boolean(place.querySelector("details")?.open);
  const heading = element("h2", { id: "job-title", tabindex: "-1" }, job.title ?? `Job ${job.id.slice(0, 8)}`);
  place.replaceChildren(element("p", {}, element("a", { href: "#", id: "to-queue" }, "← The queue")), heading, story(job), deeds(job, again), delivered(job), attempts(job), payload(job));
  place.querySelector("details").open = wasOpen;
  place.dataset.job = job.id;
  if (had !== null) ((had && document.getElementById(had)) || heading).focus();
}
