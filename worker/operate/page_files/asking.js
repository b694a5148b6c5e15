// What an operator does: asked first where it cannot be undone or concerns many, with the same as a command line.
import { post } from "./requests.js";

const PROGRAM = "mindscript-worker";
const byId = (id) => document.getElementById(id);

export const commandLine = (command) => `${PROGRAM} ${command}`;

export function say(words) {
  byId("said").textContent = words;
}

// Asks; gives the text (empty where none is asked for), or null.
export function ask(title, words, command, { yes, withText = false }) {
  byId("ask-title").textContent = title;
  byId("ask-words").textContent = words;
  byId("ask-command").textContent = command;
  byId("ask-yes").textContent = yes;
  byId("ask-line").hidden = !withText;
  byId("ask-text").value = "";
  const dialog = byId("ask");
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((settle) => {
    dialog.addEventListener("close", () => settle(dialog.returnValue === "yes" ? byId("ask-text").value : null), { once: true });
  });
}

async function sent(path, body) {
  try {
    return await (await post(path, body)).json();
  } catch (error) {
    say(`Refused: ${error.message}`);
    return null;
  }
}

const DONE = { retry: "waits again", cancel: "is cancelled", purge: "is purged" };
const SERIOUS = {
  cancel: ["Cancel this job?", "It stops within 5 s, and nothing is delivered. It can be retried from its beginning.", "Cancel the job"],
  purge: ["Purge this job?", "Its payload and its attempts are removed for good; it cannot be retried then. Its track stays.", "Purge it"],
};

// One job. Gives whether something was tried.
export async function change(verb, job, command) {
  const serious = SERIOUS[verb];
  if (serious && (await ask(serious[0], serious[1], commandLine(command), { yes: serious[2] })) === null) return false;
  const told = await sent("/studio/api/jobs", { verb, job });
  const [one] = told?.jobs ?? [];
  if (one) say(one.done ? `The job ${DONE[verb]} (it was ${one.was}). In a terminal: ${commandLine(told.command)}` : `Refused: ${one.reason}`);
  return true;
}

// All failed jobs, or those of one code.
export async function retryAll(choice, name) {
  const found = await sent("/studio/api/jobs", { verb: "retry", ...choice, dry_run: true });
  if (!found) return;
  const many = found.has_more ? `the newest ${found.jobs}` : `${found.jobs}`;
  const words = `Fix the cause first. They become waiting again, with five fresh attempts.`;
  if ((await ask(`Retry ${many} jobs that failed${name}?`, words, commandLine(found.command), { yes: "Retry them" })) === null) return;
  const told = await sent("/studio/api/jobs", { verb: "retry", ...choice });
  if (told) say(`${told.jobs.filter((each) => each.done).length} of ${told.jobs.length} jobs wait again. In a terminal: ${commandLine(told.command)}`);
}

export async function pause() {
  const words = "No worker is handed a job meanwhile; those that run finish, new ones wait.";
  const reason = await ask("Pause the queue?", words, commandLine("queue pause --reason TEXT"), { yes: "Pause the queue", withText: true });
  if (reason === null) return;
  if (await sent("/studio/api/queue", { action: "pause", reason })) say(`The queue is paused. In a terminal: ${commandLine("queue resume")} ends it.`);
}

export async function resume() {
  if (await sent("/studio/api/queue", { action: "resume" })) say(`The queue goes on. In a terminal: ${commandLine("queue resume")}`);
}
