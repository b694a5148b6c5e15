// The job's fields as sliders, choices and switches. Each shows what counts (`effective`), and changes the job's own key.
import { element } from "./elements.js";
import { changed, read } from "./job.js";

const level = (path, label = "Level") => ({ kind: "range", path, label, min: -60, max: 10, step: 0.5, unit: "dB" });
const choice = (path, label, options, more = {}) => ({ kind: "choice", path, label, options, ...more });

function groupsOf(start) {
  const files = [["", "none"], ...start.sounds.map((name) => [name, name])];
  const providers = start.voices.map((voice) => [voice.provider, `${voice.provider}${voice.usable ? "" : " (not set up)"}`]);
  return [
    {
      title: "Voice",
      rows: [
        choice("voice.provider", "Who speaks", providers),
        choice("voice.url", "Recording", [["", "none"], ...start.sounds.map((name) => [name, name])], { only: (job) => job?.voice?.provider === "uploaded" }),
        level("gains.voiceDb"),
        { kind: "range", path: "voice.speed", label: "Speed", min: 0.5, max: 1.5, step: 0.05, unit: "×" },
        { kind: "range", path: "startDelaySec", label: "Starts after", min: 0, max: 60, step: 0.5, unit: "s" },
        { kind: "range", path: "pauseSec", label: "Pause between", min: 0, max: 60, step: 0.5, unit: "s" },
      ],
    },
    {
      title: "Music",
      rows: [
        choice("backgroundMusic.url", "File", files, { set: (job, name) => changed(job, "backgroundMusic", name ? { ...(job.backgroundMusic ?? {}), url: name } : null) }),
        level("gains.musicDb"),
        choice("ducking.enabled", "Ducking", [["", "off"], ["true", "while the voice speaks"]], {
          shown: (job) => (job?.ducking ? "true" : ""),
          set: (job, on) => changed(job, "ducking", on ? { ...(job.ducking ?? {}), enabled: true } : null),
        }),
        { kind: "range", path: "ducking.depthDb", label: "Depth", min: 0, max: 24, step: 0.5, unit: "dB", only: (job) => job?.ducking },
      ],
    },
    {
      title: "Solfeggio tone",
      section: "solfeggio",
      first: { hz: 528 },
      rows: [
        choice("solfeggio.hz", "Tone", start.solfeggio_hz.map((hz) => [String(hz), `${hz} Hz`]), { number: true, remark: (job) => (job?.solfeggio?.sequence?.length ? "A sequence of tones: see the JSON." : "") }),
        level("gains.solfeggioDb"),
      ],
    },
    {
      title: "Beat",
      section: "binaural",
      first: { band: "theta" },
      rows: [
        choice("binaural.mode", "Kind", [["binaural", "binaural, for headphones"], ["monaural", "monaural"], ["isochronic", "isochronic"]]),
        choice("binaural.band", "Band", [["", "its own"], ...Object.entries(start.bands_hz).map(([name, hz]) => [name, `${name}, ${hz} Hz`])], {
          set: (job, band) => changed(changed(changed(job, "binaural.band", band || undefined), "binaural.beatHz", band ? undefined : read(job, "binaural.beatHz")), "binaural.timeline", undefined),
        }),
        { kind: "range", path: "binaural.beatHz", label: "Beat", min: 0.5, max: 40, step: 0.1, unit: "Hz", held: (job) => job?.binaural?.timeline?.length, heldWords: "It moves over time: see the lanes and the JSON." },
        { kind: "range", path: "binaural.carrierHz", label: "Carrier", min: 50, max: 500, step: 1, unit: "Hz", held: (job) => job?.binaural?.timeline?.some((point) => point.carrierHz) },
        level("gains.binauralDb"),
      ],
    },
    {
      title: "Noise",
      rows: [
        choice("carrierType", "Colour", [["none", "none"], ["pink", "pink"], ["brown", "brown"], ["white", "white"]]),
        { kind: "range", path: "carrierGainDb", label: "Level", min: -60, max: 0, step: 0.5, unit: "dB", only: (job) => job && job.carrierType !== "none" },
      ],
    },
    {
      title: "Track",
      rows: [
        { kind: "range", path: "durationMin", label: "Length", min: 0.5, max: 120, step: 0.5, unit: "min" },
        { kind: "range", path: "fade.inMs", label: "Fade-in", min: 0, max: 30, step: 0.1, unit: "s", scale: 1000 },
        { kind: "range", path: "fade.outMs", label: "Fade-out", min: 0, max: 30, step: 0.1, unit: "s", scale: 1000 },
        { kind: "range", path: "safety.targetLufs", label: "Loudness", min: -30, max: -6, step: 0.5, unit: "LUFS" },
        choice("output.format", "Format", start.formats.map((name) => [name, name]), { set: (job, name) => changed(changed(job, "output.format", undefined), "outputFormat", name) }),
        choice("output.quality", "Quality", start.qualities.map((name) => [name, name])),
      ],
    },
  ];
}

export class Fields {
  // `change` gets a function that makes a new job of the present one.
  constructor(place, start, change) {
    this.place = place;
    this.change = change;
    this.build(start);
  }

  build(start) {
    this.rows = [];
    this.groups = [];
    this.place.replaceChildren(...groupsOf(start).map((group) => this.#group(group)));
  }

  #group(group) {
    const head = element("div", { class: "group-head" }, element("h2", {}, group.title));
    const card = element("div", { class: "card", role: "group", "aria-label": group.title }, head);
    if (group.section) {
      const input = element("input", {
        type: "checkbox", "aria-label": group.title,
        onchange: () => this.change((job) => (input.checked
          ? changed(job, group.section, { ...group.first, ...(job[group.section] ?? {}), enabled: true })
          : changed(job, group.section, { ...(job[group.section] ?? {}), enabled: false }))),
      });
      head.append(input);
      this.groups.push({ ...group, card, input });
    }
    card.append(...group.rows.map((row) => this.#row(row, group)));
    return card;
  }

  #row(row, group) {
    const id = `field-${row.path.replaceAll(".", "-")}`;
    const error = element("p", { class: "error", id: `${id}-error` });
    const note = element("p", { class: "note" });
    const label = element("label", { for: id }, row.label);
    const made = { ...row, error, note };
    if (row.kind === "range") {
      const limits = { min: row.min, max: row.max, step: row.step };
      const scale = row.scale ?? 1;
      const take = (input) => {
        const value = Number(input.value);
        if (input.value !== "" && Number.isFinite(value)) this.change((job) => changed(job, row.path, Math.round(value * scale * 1e4) / 1e4));
      };
      made.input = element("input", { type: "range", id, ...limits, "aria-describedby": error.id, oninput: () => take(made.input) });
      made.exact = element("input", { type: "number", step: "any", "aria-label": `${group.title}, ${row.label}, in ${row.unit}`, onchange: () => take(made.exact) });
      made.box = element("div", { class: "row" }, label, made.input, element("span", { class: "unit" }, made.exact, row.unit), note, error);
    } else {
      const set = row.set ?? ((job, value) => changed(job, row.path, row.number ? Number(value) : value));
      made.input = element("select", { id, "aria-describedby": error.id, onchange: () => this.change((job) => set(job, made.input.value)) },
        ...row.options.map(([value, words]) => element("option", { value }, words)));
      made.box = element("div", { class: "row wide" }, label, made.input, note, error);
    }
    this.rows.push(made);
    return made.box;
  }

  // Show the values that count; `errors` are shown at the field that each names.
  show(effective, errors) {
    for (const group of this.groups) {
      const on = Boolean(effective?.[group.section]);
      if (effective) {
        group.input.checked = on;
        group.card.classList.toggle("off", !on);
      }
    }
    for (const row of this.rows) {
      const found = errors.filter(({ field }) => field === row.path || field.endsWith(`.${row.path}`) || (row.path === "output.format" && field === "outputFormat"));
      row.error.textContent = found.map(({ message }) => message).join(" ");
      row.input.setAttribute("aria-invalid", String(found.length > 0));
      if (!effective) continue;
      if (row.only) row.box.hidden = !row.only(effective);
      const value = row.shown ? row.shown(effective) : read(effective, row.path);
      const isHeld = Boolean(row.held?.(effective));
      row.note.textContent = (isHeld && row.heldWords) || row.remark?.(effective) || "";
      row.note.hidden = !row.note.textContent;
      if (row.kind === "range") this.#showRange(row, value, isHeld);
      else this.#showChoice(row, value);
    }
    return errors.filter(({ field }) => field !== "script" && !this.rows.some((row) => row.error.textContent && (field === row.path || field.endsWith(`.${row.path}`) || field === "outputFormat")));
  }

  #showRange(row, value, isHeld) {
    row.input.disabled = row.exact.disabled = isHeld || value === undefined || value === null;
    if (value === undefined || value === null) return;
    const shown = value / (row.scale ?? 1);
    if (document.activeElement !== row.input) row.input.value = String(shown);
    if (document.activeElement !== row.exact) row.exact.value = String(Math.round(shown * 100) / 100);
    const part = (Math.max(row.min, Math.min(row.max, shown)) - row.min) / (row.max - row.min);
    row.input.style.setProperty("--part", `${part * 100}%`);
    row.input.setAttribute("aria-valuetext", `${Math.round(shown * 100) / 100} ${row.unit}`);
  }

  #showChoice(row, value) {
    const text = value === null || value === undefined ? "" : String(value);
    if (![...row.input.options].some((option) => option.value === text)) row.input.append(element("option", { value: text }, text || "–"));
    row.input.value = text;
  }
}
