// The page: the queue as it changes, or one job of it.
import { drawJob } from "./job.js";
import { show } from "./queue.js";
import { tick } from "./times.js";

const TICK_MS = 1000;
const AGAIN_MS = 5000;
const byId = (id) => document.getElementById(id);
let latest = null; // the queue as it came last
let seen = null; // what it said of the job that is open

const openJob = () => /^#job\/(.+)$/.exec(location.hash)?.[1] ?? null;

// What a change of is worth drawing the job anew; null where the queue does not list it.
function lineOf(id) {
  const job = Object.values(latest?.jobs ?? {}).flat().find((each) => each.id === id);
  return job ? JSON.stringify([job.status, job.stage, job.attempt]) : null;
}

async function drawOpen({ focus = false } = {}) {
  const id = openJob();
  byId("queue").hidden = id !== null;
  byId("job").hidden = id === null;
  if (id === null) return;
  seen = lineOf(id);
  try {
    await drawJob(byId("job"), id, { again: drawOpen, isOpen: () => openJob() === id });
    if (focus) byId("job-title")?.focus();
    byId("trouble").textContent = "";
  } catch (error) {
    byId("job").replaceChildren();
    byId("trouble").textContent = error.message;
  }
}

function live(words, on) {
  const place = byId("live");
  if (place.textContent !== words) place.textContent = words;
  place.classList.toggle("on", on);
}

function told(event) {
  const queue = JSON.parse(event.data);
  if (queue.failed) {
    live("the queue does not answer", false);
    byId("trouble").textContent = queue.failed;
    return;
  }
  if (latest === null || byId("live").textContent !== "live") byId("trouble").textContent = "";
  latest = queue;
  live("live", true);
  show(queue);
  const line = openJob() === null ? null : lineOf(openJob());
  if (line !== null && line !== seen) drawOpen();
}

async function listen() {
  const source = new EventSource("/studio/api/events");
  source.onmessage = told;
  source.onerror = async () => {
    live("not connected", false);
    if (source.readyState !== EventSource.CLOSED) return; // it tries again by itself
    const answer = await fetch("/studio/page/main.js").catch(() => null);
    if (answer?.status === 401) location.reload(); // to the login
    else setTimeout(listen, AGAIN_MS);
  };
}

addEventListener("hashchange", () => drawOpen({ focus: true }));
setInterval(tick, TICK_MS);
listen();
drawOpen();
