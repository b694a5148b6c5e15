// The session as lanes over time, on a canvas.
import { clock } from "./elements.js";

// Of the layers of a job's own fields; those of its list have names that their writer gave them.
const LABELS = { voice: "Voice", music: "Music", solfeggio: "Tone", binaural: "Beat", noise: "Noise" };
const LONGEST_LABEL = 8;
const STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200];
const AXIS = 22;
const GUTTER = 58;
const LEAST_SHOWN_S = 10;
const FAINTEST = 0.25; // of a line that is spoken within a fade
const WEIGHTS = { speech: 1.2, music: 1.4, recording: 1.4, tone: 0.8, binaural: 1.4, noise: 0.6 };

export class Lanes {
  constructor(canvas) {
    this.canvas = canvas;
    this.plan = null;
    this.shown = [0, 1];
    this.position = 0;
    this.heard = null;
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  show(plan) {
    const isNew = !this.plan || this.plan.seconds !== plan.seconds;
    this.plan = plan;
    if (isNew) this.shown = [0, plan.seconds];
    this.draw();
  }

  zoom(factor) {
    if (!this.plan) return;
    const width = Math.min(this.plan.seconds, Math.max(LEAST_SHOWN_S, (this.shown[1] - this.shown[0]) * factor));
    this.#around(this.position, width);
    this.draw();
  }

  #around(at, width) {
    const first = Math.max(0, Math.min(at - width / 3, this.plan.seconds - width));
    this.shown = [first, first + width];
  }

  move(position, heard) {
    this.position = position;
    this.heard = heard;
    const [first, last] = this.shown;
    if (this.plan && (position < first || position > last)) this.#around(position, last - first);
    this.draw();
  }

  at(x) {
    const [first, last] = this.shown;
    const share = (x - GUTTER) / (this.canvas.clientWidth - GUTTER);
    return first + Math.max(0, Math.min(1, share)) * (last - first);
  }

  spoken(at) {
    return this.plan?.voice.find(([start, stop]) => start <= at && at < stop);
  }

  // All but the playhead changes seldom: it is drawn once, and copied from then on.
  draw() {
    const { canvas, plan } = this;
    const [wide, high] = [canvas.clientWidth, canvas.clientHeight];
    if (!wide || !plan) return;
    const dense = devicePixelRatio || 1;
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const key = [wide, high, dense, dark, ...this.shown, this.spoken(this.position)?.[0]].join();
    if (this.drawn?.key !== key || this.drawn.plan !== plan) this.drawn = { key, plan, picture: this.#picture(wide, high, dense) };
    canvas.width = wide * dense;
    canvas.height = high * dense;
    const pen = canvas.getContext("2d");
    pen.drawImage(this.drawn.picture, 0, 0);
    pen.scale(dense, dense);
    const [first, last] = this.shown;
    const x = (s) => Math.max(GUTTER, GUTTER + ((s - first) / (last - first)) * (wide - GUTTER));
    pen.fillStyle = colour("head");
    if (this.heard) {
      const [start, stop] = this.heard.map(x);
      pen.globalAlpha = 0.07;
      pen.fillRect(start, 0, stop - start, high);
      pen.globalAlpha = 1;
    }
    pen.fillRect(x(this.position) - 1, 0, 2, high);
  }

  #picture(wide, high, dense) {
    const { plan } = this;
    const picture = document.createElement("canvas");
    picture.width = wide * dense;
    picture.height = high * dense;
    const pen = picture.getContext("2d");
    pen.scale(dense, dense);
    pen.font = "12px system-ui, sans-serif";
    pen.textBaseline = "middle";
    const [first, last] = this.shown;
    const x = (s) => GUTTER + ((s - first) / (last - first)) * (wide - GUTTER);
    const draw = { pen, x, plan, wide, first, last, now: this.position };
    const whole = plan.layers.reduce((sum, layer) => sum + WEIGHTS[layer.kind], 0) || 1;
    axis(draw, high);
    let top = AXIS;
    for (const layer of plan.layers) {
      const height = ((high - AXIS) * WEIGHTS[layer.kind]) / whole;
      pen.fillStyle = colour("line");
      pen.fillRect(0, Math.round(top), wide, 1);
      pen.save();
      pen.beginPath();
      pen.rect(GUTTER, top, wide - GUTTER, height);
      pen.clip();
      PAINTERS[layer.kind]({ ...draw, layer, top: top + 6, height: height - 12 });
      pen.restore();
      pen.fillStyle = colour("ink");
      pen.textAlign = "left";
      pen.fillText(label(layer.name), 10, top + height / 2);
      top += height;
    }
    return picture;
  }
}

const label = (name) => LABELS[name] ?? (name.length > LONGEST_LABEL ? `${name.slice(0, LONGEST_LABEL - 1)}…` : name);
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

function axis({ pen, x, wide, first, last }, high) {
  const step = STEPS_S.find((each) => ((wide - GUTTER) * each) / (last - first) >= 64) ?? 14400;
  pen.textAlign = "left";
  for (let s = Math.ceil(first / step) * step; s < last; s += step) {
    pen.fillStyle = colour("hollow");
    pen.fillRect(Math.round(x(s)), AXIS, 1, high);
    pen.fillStyle = colour("soft");
    if (x(s) < wide - 34) pen.fillText(clock(s), x(s) + 3, AXIS / 2);
  }
}

// How high a level is drawn: -40 dB and less is nothing.
const share = (db) => Math.max(0.06, Math.min(1, (db + 40) / 46));

function level(layer, plan, s) {
  const values = layer.levels_db;
  if (values.length === 1) return values[0];
  const place = (s / plan.seconds) * (values.length - 1);
  const before = Math.min(values.length - 2, Math.floor(place));
  return values[before] + (values[before + 1] - values[before]) * (place - before);
}

// Between 0 and 1 from one time to another, where a fade-in and a fade-out take so many seconds.
function within(s, start, stop, fadeIn, fadeOut) {
  if (s < start || s > stop) return 0;
  const rise = fadeIn ? Math.min(1, (s - start) / fadeIn) : 1;
  const fall = fadeOut ? Math.min(1, (stop - s) / fadeOut) : 1;
  return Math.max(0, Math.min(rise, fall));
}

// How far a layer is faded in: by its own fades in the span of its times, and by the track's.
function faded(plan, layer, s) {
  const span = layer.spans.find(([start, stop]) => start <= s && s <= stop);
  return span ? within(s, ...span) * within(s, 0, plan.seconds, plan.fade.in_s, plan.fade.out_s) : 0;
}

// Calls with each pixel of the lane and its second.
function across({ first, last, wide }, step, each) {
  for (let pixel = GUTTER; pixel <= wide; pixel += step) each(pixel, first + ((pixel - GUTTER) / (wide - GUTTER)) * (last - first));
}

function words({ pen, top, height, wide }, text, at = GUTTER + 8) {
  const width = pen.measureText(text).width;
  pen.fillStyle = colour("card");
  pen.globalAlpha = 0.85;
  pen.fillRect(at - 4, top + height / 2 - 9, Math.min(width + 8, wide), 18);
  pen.globalAlpha = 1;
  pen.fillStyle = colour("ink");
  pen.textAlign = "left";
  pen.fillText(text, at, top + height / 2);
}

const db = (value) => `${value < 0 ? "−" : ""}${Math.abs(Math.round(value * 10) / 10)} dB`;
const hz = (value) => `${Math.round(value * 100) / 100} Hz`;

function speech({ pen, x, plan, layer, top, height, first, last, now }) {
  const [fill, ink, lit] = ["voice", "ink", "on-wave"].map(colour);
  for (const [start, stop, line, speaker] of plan.voice) {
    if (plan.voices[speaker] !== layer.name || stop < first || start > last) continue;
    const [left, width] = [x(start), Math.max(1.5, x(stop) - x(start))];
    const sounds = start <= now && now < stop;
    pen.fillStyle = fill;
    pen.globalAlpha = (sounds ? 1 : 0.4) * Math.max(FAINTEST, faded(plan, layer, (start + stop) / 2));
    pen.beginPath();
    pen.roundRect(left, top, width, height, 5);
    pen.fill();
    pen.globalAlpha = 1;
    if (width < 70) continue;
    pen.save();
    pen.beginPath();
    pen.rect(left, top, width - 6, height);
    pen.clip();
    pen.fillStyle = sounds ? lit : ink;
    pen.textAlign = "left";
    pen.fillText(plan.lines[line], left + 8, top + height / 2);
    pen.restore();
  }
}

function music(draw) {
  const { pen, x, plan, layer, top, height, first, last } = draw;
  const ducking = layer.ducked_by.length ? plan.ducking : null;
  const near = ducking ? plan.voice.filter(([start, stop, , speaker]) => layer.ducked_by.includes(speaker) && stop + ducking.hold_s + ducking.release_s >= first && start - ducking.attack_s <= last) : [];
  let passed = 0; // spans that are over: the times that are asked for only grow
  const ducked = (s) => {
    let down = 0;
    while (passed < near.length && near[passed][1] + ducking.hold_s + ducking.release_s < s) passed += 1;
    for (const [start, stop] of near.slice(passed, passed + 8)) {
      if (s < start - ducking.attack_s) break;
      const before = 1 - (start - s) / Math.max(ducking.attack_s, 0.001);
      const after = 1 - (s - stop - ducking.hold_s) / Math.max(ducking.release_s, 0.001);
      down = Math.max(down, Math.min(1, before, after));
    }
    return down * (ducking?.depth_db ?? 0);
  };
  pen.fillStyle = colour("wave");
  pen.globalAlpha = 0.45;
  pen.beginPath();
  pen.moveTo(GUTTER, top + height);
  across(draw, 1, (pixel, s) => {
    pen.lineTo(pixel, top + height * (1 - share(level(layer, plan, s) - ducked(s)) * faded(plan, layer, s)));
  });
  pen.lineTo(draw.wide, top + height);
  pen.fill();
  pen.globalAlpha = 1;
  pen.fillStyle = colour("wave");
  for (const [start, stop] of layer.seams) {
    if (stop >= first && start <= last) pen.fillRect(x((start + stop) / 2) - 0.75, top, 1.5, height);
  }
  const seams = layer.seams.length;
  words(draw, `${db(layer.levels_db[0])}${seams ? `, ${seams} seam${seams > 1 ? "s" : ""}` : ""}${ducking ? `, ducked by ${db(ducking.depth_db)}` : ""}`);
}

function tone(draw) {
  const { pen, x, plan, layer, top, height } = draw;
  pen.fillStyle = colour("tone");
  across(draw, 1, (pixel, s) => {
    const tall = 3 * faded(plan, layer, s);
    pen.fillRect(pixel, top + (height - tall) / 2, 1, tall);
  });
  for (const each of plan.tones.filter((one) => one.layer === layer.name)) {
    words(draw, `${hz(each.course[0][1])}, ${db(layer.levels_db[0])}`, Math.max(GUTTER + 8, x(each.from_s) + 8));
  }
}

function beat(draw) {
  const { pen, plan, layer, top, height } = draw;
  for (const each of plan.beats.filter((one) => one.layer === layer.name)) {
    const most = Math.max(...each.beat.map((point) => point[1])) * 1.15;
    pen.fillStyle = colour("tone");
    let next = 0; // the first point that is still to come: the times only grow
    across(draw, 1, (pixel, s) => {
      while (next < each.beat.length && each.beat[next][0] <= s) next += 1;
      const [before, after] = [each.beat[Math.max(0, next - 1)], each.beat[Math.min(next, each.beat.length - 1)]];
      const way = after[0] > before[0] ? (s - before[0]) / (after[0] - before[0]) : 0;
      const tall = (height * (before[1] + (after[1] - before[1]) * way)) / most;
      const loud = faded(plan, layer, s);
      pen.globalAlpha = loud;
      pen.fillRect(pixel, top + height - tall - 1, 1, 2);
      pen.globalAlpha = 0.14 * loud;
      pen.fillRect(pixel, top + height - tall, 1, tall);
    });
    pen.globalAlpha = 1;
    const [start, end] = [each.beat[0][1], each.beat.at(-1)[1]];
    words(draw, `${start === end ? hz(start) : `${hz(start)} → ${hz(end)}`} at ${hz(each.carrier[0][1])}, ${each.mode}, ${db(layer.levels_db[0])}`);
  }
}

function noise(draw) {
  const { pen, plan, layer, top, height } = draw;
  pen.fillStyle = colour("noise");
  pen.globalAlpha = 0.4;
  across(draw, 3, (pixel, s) => {
    const tall = height * faded(plan, layer, s) * (0.35 + 0.3 * (((pixel * 7919) % 101) / 101));
    pen.fillRect(pixel, top + (height - tall) / 2, 2, tall);
  });
  pen.globalAlpha = 1;
  words(draw, db(layer.levels_db[0]));
}

const PAINTERS = { speech, music, recording: music, tone, binaural: beat, noise };

// The waveform of the span that is at hand.
export function drawWave(canvas, span, position) {
  const [wide, high] = [canvas.clientWidth, canvas.clientHeight];
  if (!wide) return;
  const dense = devicePixelRatio || 1;
  canvas.width = wide * dense;
  canvas.height = high * dense;
  if (!span) return;
  const pen = canvas.getContext("2d");
  pen.scale(dense, dense);
  pen.fillStyle = colour("wave");
  span.peaks ??= peaksOf(span, 600);
  const { peaks } = span;
  const largest = Math.max(0.05, ...peaks);
  const step = wide / peaks.length;
  peaks.forEach((peak, n) => {
    const tall = Math.max(1, (peak / largest) * high * 0.9);
    pen.fillRect(n * step, (high - tall) / 2, Math.max(0.6, step - 0.4), tall);
  });
  const share = ((position - span.start_s) * 44100) / span.frames;
  if (share >= 0 && share <= 1) {
    pen.fillStyle = colour("head");
    pen.fillRect(share * wide - 1, 0, 2, high);
  }
}

function peaksOf({ channels, frames }, count) {
  const size = Math.max(1, Math.ceil(frames / count));
  const peaks = [];
  for (let first = 0; first < frames; first += size) {
    let most = 0;
    for (let n = first; n < Math.min(frames, first + size); n += 4) most = Math.max(most, Math.abs(channels[0][n]), Math.abs(channels[1][n]));
    peaks.push(most);
  }
  return peaks;
}
