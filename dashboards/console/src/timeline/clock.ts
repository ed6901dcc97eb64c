/** Instants are milliseconds since 1970 as floats: a double holds them to a quarter of a microsecond. */

const instant = /^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(\.\d+)?(Z|[+-]\d{2}:\d{2})$/;

/**
 * Reads an RFC 3339 time without losing what lies below a millisecond, which
 * Date.parse drops. Undefined for a missing, zero or malformed time.
 */
export function parseInstant(text: string | null | undefined): number | undefined {
  const m = text ? instant.exec(text) : null;
  if (!m) return undefined;
  const seconds = Date.parse(`${m[1]}${m[3]}`);
  if (Number.isNaN(seconds) || m[1]?.startsWith('0001-')) return undefined; // Go's zero time
  return seconds + (m[2] ? Number(m[2]) * 1000 : 0);
}

/** A stretch of time, start included, end not before start. */
export interface Interval {
  start: number;
  end: number;
}

/** Where t lies in the domain: 0 at its start, 1 at its end, outside for what lies outside. */
export function position(domain: Interval, t: number): number {
  const length = domain.end - domain.start;
  return length > 0 ? (t - domain.start) / length : 0;
}

/** The visible part of an interval as fractions of the domain; undefined if none of it is visible. */
export function clip(domain: Interval, interval: Interval): { left: number; width: number } | undefined {
  if (interval.end < domain.start || interval.start > domain.end) return undefined;
  const left = Math.max(0, position(domain, interval.start));
  const right = Math.min(1, position(domain, interval.end));
  return { left, width: Math.max(0, right - left) };
}

/**
 * Round marks on the axis, as offsets from origin in milliseconds: at most
 * `most` of them, at 1, 2 or 5 times a power of ten, and above a second at
 * what people count minutes by.
 */
export function ticks(domain: Interval, origin: number, most: number): number[] {
  const length = domain.end - domain.start;
  if (!(length > 0) || most < 1) return [];
  const step = tickStep(length / most);
  const first = Math.ceil((domain.start - origin) / step - 1e-9);
  const last = Math.floor((domain.end - origin) / step + 1e-9);
  const out: number[] = [];
  for (let i = first; i <= last && out.length < 100; i++) out.push(Number((i * step).toPrecision(12)));
  return out;
}

const longSteps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400].map((s) => s * 1000);

function tickStep(least: number): number {
  if (least > 1000) {
    const step = longSteps.find((s) => s >= least);
    if (step) return step;
  }
  const power = 10 ** Math.floor(Math.log10(least));
  const factor = [1, 2, 5, 10].find((f) => f * power >= least * (1 - 1e-9)) ?? 10;
  return factor * power;
}

/** A zoom that shows the interval with a little air, never less than a microsecond of it. */
export function around(interval: Interval, whole: Interval): Interval {
  const length = Math.max(interval.end - interval.start, 1e-3);
  const air = length * 0.04;
  return { start: Math.max(whole.start, interval.start - air), end: Math.min(whole.end, interval.start + length + air) };
}
