// Quantities as people read them. Integers that are too large for a number come as strings.

const number = (value) => value === null || value === undefined ? NaN : Number(value);
const digits = (value) => Math.abs(value) < 99.95 ? value.toFixed(1) : value.toFixed(0);
const missing = '–';

function prefixed(value, prefixes = ['', 'k', 'M', 'G', 'T', 'P', 'E']) {
  let n = 0;
  while (Math.abs(value) >= 999.5 && n < prefixes.length - 1) {
    value /= 1000;
    n += 1;
  }
  return `${digits(value)} ${prefixes[n]}`.trim();
}

const count = (value) => {
  const n = number(value);
  return Number.isFinite(n) ? (n < 10000 ? String(n) : prefixed(n)) : missing;
};
/** Every digit, in groups. */
const exact = (value) => String(value ?? missing).replace(/\B(?=(\d{3})+$)/g, '\u202f');
const rate = (value) => {
  const n = number(value);
  return Number.isFinite(n) && n >= 0 ? (n === 0 ? '0' : n < 10 ? n.toFixed(1) : n < 9999.5 ? n.toFixed(0) : prefixed(n)) : missing;
};
const seconds = (value) => {
  const s = number(value);
  if (!Number.isFinite(s)) return missing;
  return s < 1 ? nanoseconds(s * 1e9) : s < 600 ? `${s.toFixed(1)} s` : `${digits(s / 60)} min`;
};
function nanoseconds(value) {
  const ns = number(value);
  if (!Number.isFinite(ns)) return missing;
  if (ns === 0) return '0';
  const size = Math.abs(ns);
  if (size < 1) return `${ns.toFixed(2)} ns`;
  if (size < 999.5) return `${size < 9.95 ? ns.toFixed(1) : ns.toFixed(0)} ns`;
  if (size < 999500) return `${digits(ns / 1e3)} µs`;
  return size < 999.5e6 ? `${digits(ns / 1e6)} ms` : `${(ns / 1e9).toFixed(1)} s`;
}
const microseconds = (value) => nanoseconds(number(value) * 1000);
const percent = (share) => Number.isFinite(share) ? `${share === 0 || share === 1 ? share * 100 : share < 0.001 ? '<0.1' : share > 0.999 ? '>99.9' : (share * 100).toFixed(1)} %` : missing;
const bytes = (value) => {
  let n = number(value);
  if (!Number.isFinite(n)) return missing;
  let unit = 0;
  while (n >= 1024 && unit < 4) {
    n /= 1024;
    unit += 1;
  }
  return `${Number.isInteger(n) ? n : n.toFixed(1)} ${['bytes', 'KiB', 'MiB', 'GiB', 'TiB'][unit]}`;
};
const hex = (value) => {
  try {
    return `0x${BigInt(value).toString(16)}`;
  } catch {
    return String(value);
  }
};
const plural = (one) => one.endsWith('y') ? `${one.slice(0, -1)}ies` : `${one}s`;
const many = (n, one) => n === 1 ? `1 ${one}` : `${n} ${plural(one)}`;

/** About `wanted` round values between two ends. */
function ticks(from, to, wanted) {
  const raw = (to - from) / Math.max(1, wanted);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((n) => n * power).find((size) => size >= raw * 0.999) ?? raw;
  const found = [];
  for (let n = Math.ceil(from / step - 1e-9); n * step <= to + step * 1e-9 && found.length < 50; n += 1) found.push(n * step);
  return { values: found, step };
}
