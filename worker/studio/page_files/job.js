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

export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const tail = String(whole % 60).padStart(2, "0");
  const minutes = Math.floor(whole / 60);
  return minutes < 60 ? `${minutes}:${tail}` : `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${tail}`;
}

export function element(name, options = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(options)) {
    if (key === "class") made.className = value;
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}
