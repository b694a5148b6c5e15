// What the page asks the server for.

import { answer, post } from "./requests.js";

export async function upload(file) {
  const response = await fetch("api/uploads", { method: "POST", headers: { "Content-Type": "application/octet-stream" }, body: file });
  return (await answer(response)).json();
}

// A span of the track: `facts` of the answer, and both channels.
export async function hear(body, signal) {
  const response = await post("api/hear", body, signal);
  const bytes = await response.arrayBuffer();
  const samples = new Int16Array(bytes, 44);
  const frames = samples.length / 2;
  const channels = [new Float32Array(frames), new Float32Array(frames)];
  for (let n = 0; n < frames; n += 1) {
    channels[0][n] = samples[2 * n] / 32767;
    channels[1][n] = samples[2 * n + 1] / 32767;
  }
  return { ...JSON.parse(response.headers.get("X-Heard")), frames, channels };
}

export function follow(id, told) {
  const events = new EventSource(`api/renders/${id}/events`);
  events.onmessage = (event) => {
    const now = JSON.parse(event.data);
    if (!["waiting", "running"].includes(now.state)) events.close();
    told(now);
  };
}
