// Times as people read them, by the database's clock.
import { element } from "./elements.js";

const UNITS = [["d", 86400], ["h", 3600], ["min", 60]];
let ahead_ms = 0; // of this machine's clock

export function setClock(now) {
  ahead_ms = Date.now() - Date.parse(now);
}

export function duration(seconds) {
  const whole = Math.max(0, seconds);
  for (const [unit, size] of UNITS) if (whole >= size) return `${Math.round(whole / size)} ${unit}`;
  return `${Math.round(whole)} s`;
}

const sinceThen = (at) => duration((Date.now() - ahead_ms - Date.parse(at)) / 1000);

// How long ago something was; `tick` keeps it true.
export function since(at, before = "", after = "") {
  const made = element("time", { datetime: at, title: `${at.slice(0, 19).replace("T", " ")} UTC` }, `${before}${sinceThen(at)}${after}`);
  Object.assign(made.dataset, { at, before, after });
  return made;
}

export function tick() {
  for (const each of document.querySelectorAll("time[data-at]")) {
    const words = `${each.dataset.before}${sinceThen(each.dataset.at)}${each.dataset.after}`;
    if (each.textContent !== words) each.textContent = words;
  }
}

export const moment = (at) => (at ? `${at.slice(0, 19).replace("T", " ")} UTC` : null);
