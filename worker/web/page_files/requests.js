// How every page asks its server.

export class Refused extends Error {
  constructor(status, told) {
    super(told.error ?? `the server answered ${status}`);
    this.status = status;
    this.told = told;
  }
}

export async function answer(response) {
  if (response.ok) return response;
  const told = await response.json().catch(() => ({}));
  throw new Refused(response.status, told);
}

export async function get(path) {
  return (await answer(await fetch(path))).json();
}

export async function post(path, body, signal) {
  const options = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal };
  return answer(await fetch(path, options));
}
