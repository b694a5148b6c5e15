// A whole track: how far it is, and its receipt.
import { follow } from "./api.js";
import { element } from "./elements.js";
import { post } from "./requests.js";

const VERDICTS = { kept: ["kept", "✓ kept"], look: ["look", "▲ look at this"], measured: ["", ""] };
const byId = (id) => document.getElementById(id);

export class Rendering {
  // `unpaid` is asked whether words may be paid for.
  constructor(unpaid) {
    this.unpaid = unpaid;
    this.id = null;
    byId("cancel").addEventListener("click", () => post(`api/renders/${this.id}/cancel`, {}));
  }

  async start(job, pay = false) {
    byId("render").disabled = true;
    try {
      const begun = await (await post("api/renders", { job, pay })).json();
      this.id = begun.id;
    } catch (error) {
      byId("render").disabled = false;
      throw error;
    }
    byId("receipt").hidden = true;
    byId("rendering").hidden = false;
    byId("cancel").hidden = false;
    follow(this.id, (now) => this.#told(now, job));
  }

  #told(now, job) {
    byId("progress").value = now.fraction;
    byId("rendering").dataset.state = now.state;
    byId("stage-words").textContent = now.state === "running" ? `${now.stage}, ${Math.floor(now.fraction * 100)} %` : now.state;
    if (["waiting", "running"].includes(now.state)) return;
    byId("render").disabled = false;
    byId("cancel").hidden = true;
    if (now.state === "done") {
      byId("rendering").hidden = true;
      showReceipt(now);
    } else if (now.state === "failed") {
      byId("stage-words").textContent = `It cannot be made: ${(now.lines ?? [now.error]).join(" ")}`;
    } else if (now.state === "unpaid") {
      byId("rendering").hidden = true;
      this.unpaid(now, () => this.start(job, true));
    }
  }
}

function showReceipt(made) {
  const rows = made.receipt.map((figure) => {
    const [kind, words] = VERDICTS[figure.verdict];
    const remark = figure.remark ? [element("span", { class: "remark" }, figure.remark)] : [];
    return element("tr", {},
      element("th", { scope: "row" }, figure.name), element("td", {}, figure.promised), element("td", {}, figure.measured, ...remark),
      element("td", { class: kind }, words));
  });
  const heads = ["Figure", "Promised", "Measured", "Verdict"].map((words) => element("th", { scope: "col" }, words));
  const file = (id) => `api/files/${id}`;
  const link = (id, words) => element("a", { href: `${file(id)}?download`, download: "" }, words);
  const { files } = made;
  const list = (title, lines) => (lines.length ? [element("h3", {}, title), element("ul", {}, ...lines.map((line) => element("li", {}, line)))] : []);
  const place = byId("receipt");
  place.replaceChildren(
    element("h2", { id: "receipt-title" }, `Receipt of ${made.name}`),
    element("p", { class: "quiet" }, `${made.facts}  ·  ${made.kept} of ${made.kept + made.to_look_at} promises kept  ·  made in ${made.seconds_to_make} s`),
    element("audio", { controls: true, preload: "metadata", src: file(files.track), "aria-label": "The finished track" }),
    element("p", { class: "downloads" },
      link(files.track, "The track"), ...(files.speakers ? [link(files.speakers, "The track for speakers")] : []),
      link(files.page, "One page to send"), link(files.report, "The report")),
    element("div", { class: "scroll" }, element("table", {}, element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...rows))),
    ...list("Notes", made.notes),
    ...list("Speech", made.speech.map(([name, value]) => `${name}: ${value}`)),
    ...(files.picture ? [element("img", { src: file(files.picture), alt: "Waveform, loudness and spectrum of the track" })] : []),
  );
  place.hidden = false;
  place.focus({ preventScroll: true });
  place.scrollIntoView({ block: "nearest" });
}
