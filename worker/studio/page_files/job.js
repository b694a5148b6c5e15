// A job as plain JSON: fields by their dotted names.

export function read(job, path) {
  return path.split(".").reduce((inner, key) => (inner !== null && typeof inner === "object" ? inner[key] : undefined), job);
}

// A copy with one field changed; undefined takes it away.
export function changed(job, path, value) {
  const copy = structuredClone(job);
  const keys = path.split(".");
  const last = keys.pop();
  let inner = copy;
  for (const key of keys) {
    if (inner[key] === null || typeof inner[key] !== "object") inner[key] = {};
    inner = inner[key];
  }
  if (value === undefined) delete inner[last];
  else inner[last] = value;
  return copy;
}

// A job that states its seed. Where it does not, the seed follows from all that sounds: each change would make other noise,
// which takes long to make, and other shuffles and jitters, which are not what was changed.
export function withSeed(job) {
  const [seed] = crypto.getRandomValues(new Uint32Array(1));
  return job.seed === undefined || job.seed === null ? { ...job, seed } : job;
}

function leaves(value, prefix = "") {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return [[prefix, JSON.stringify(value)]];
  return Object.entries(value).flatMap(([key, inner]) => leaves(inner, prefix ? `${prefix}.${key}` : key));
}

// Rows of field, value here, value there.
export function differences(one, other) {
  const [here, there] = [new Map(leaves(one)), new Map(leaves(other))];
  const names = [...new Set([...here.keys(), ...there.keys()])].sort();
  return names.filter((name) => here.get(name) !== there.get(name)).map((name) => [name, here.get(name) ?? "–", there.get(name) ?? "–"]);
}
