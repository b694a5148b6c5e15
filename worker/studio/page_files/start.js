// What the page starts from: the server's job, or, for operators, the job that the address names.

import { element } from "./elements.js";
import { post } from "./requests.js";

// The start with the named job in it; `refused` says why there is none. The server logs that its words were asked for.
export async function startOf(start) {
  if (start.queue === null) return start;
  document.querySelector("header h1").before(element("a", { id: "to-queue", href: start.queue }, "← The queue"));
  addEventListener("hashchange", () => location.reload());
  const id = /^#job\/(.+)$/.exec(location.hash)?.[1];
  if (!id) return start;
  try {
    return { ...start, ...(await (await post(`api/jobs/${encodeURIComponent(id)}`, {})).json()) };
  } catch (error) {
    return { ...start, refused: `The job cannot be opened: ${error.message}` };
  }
}
