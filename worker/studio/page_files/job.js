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
