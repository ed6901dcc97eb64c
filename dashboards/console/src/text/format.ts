/** A duration in milliseconds for people: three digits that matter, the unit that fits. */
export function duration(ms: number | null | undefined): string {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return '–';
  const size = Math.abs(ms);
  const sign = ms < 0 ? '−' : '';
  if (size === 0) return '0 ms';
  if (size < 0.9995) return `${sign}${Math.max(1, Math.round(size * 1000))} µs`;
  if (size < 9.995) return `${sign}${size.toFixed(2)} ms`;
  if (size < 99.95) return `${sign}${size.toFixed(1)} ms`;
  if (size < 999.5) return `${sign}${size.toFixed(0)} ms`;
  if (size < 9_995) return `${sign}${(size / 1000).toFixed(2)} s`;
  if (size < 59_950) return `${sign}${(size / 1000).toFixed(1)} s`;
  const seconds = Math.round(size / 1000);
  if (seconds < 3600) return `${sign}${Math.floor(seconds / 60)} min ${pad(seconds % 60)} s`;
  return `${sign}${Math.floor(seconds / 3600)} h ${pad(Math.floor(seconds / 60) % 60)} min`;
}

/** An offset on the clock of something that lasts `span` milliseconds: the same unit and digits all over it. */
export function offset(ms: number, span: number): string {
  if (!Number.isFinite(ms)) return '–';
  const size = Math.abs(ms);
  return `${ms < 0 ? '−' : '+'}${span < 1000 ? `${size.toFixed(span < 100 ? 2 : 1)} ms` : `${(size / 1000).toFixed(3)} s`}`;
}

/** A mark on the axis. `step` is the distance of marks in milliseconds and decides the digits. */
export function tick(ms: number, step: number): string {
  if (ms === 0) return '0';
  if (step >= 60_000) return duration(ms).replace(' 00 s', '');
  if (step >= 1000) return `${trim(ms / 1000, 0)} s`;
  if (Math.abs(ms) >= 1000 || step >= 100) return `${trim(ms / 1000, Math.max(0, Math.ceil(-Math.log10(step / 1000) - 1e-9)))} s`;
  return step >= 1 ? `${trim(ms, 0)} ms` : `${trim(ms, Math.min(3, Math.ceil(-Math.log10(step) - 1e-9)))} ms`;
}

function trim(n: number, digits: number): string {
  return n.toFixed(digits);
}

/** Bytes in powers of 1000, as registries and networks count. */
export function bytes(n: number | null | undefined): string {
  return size(n, 1000, ['kB', 'MB', 'GB', 'TB']);
}

/** Bytes in powers of 1024, as memory is sold. */
export function memory(n: number | null | undefined): string {
  return size(n, 1024, ['KiB', 'MiB', 'GiB', 'TiB']);
}

function size(n: number | null | undefined, base: number, units: string[]): string {
  if (n === null || n === undefined || n < 0) return '–';
  if (n < base) return `${n} B`;
  let value = n / base;
  let unit = 0;
  while (value >= base - 0.05 && unit < units.length - 1) {
    value /= base;
    unit++;
  }
  return `${value.toFixed(value < 9.995 ? 2 : value < 99.95 ? 1 : 0)} ${units[unit]}`;
}

/** A share from 0 to 1 in percent; what is there but rounds to nothing shows as "<1 %". */
export function percent(share: number): string {
  if (!Number.isFinite(share)) return '–';
  const p = share * 100;
  if (p > 0 && p < 1) return '<1 %';
  return `${p.toFixed(0)} %`;
}

/** "sha256:0123456789ab…" as "0123456789ab". */
export function shortDigest(digest: string): string {
  return digest.replace(/^sha256:/, '').slice(0, 12);
}

const clockFormat = new Intl.DateTimeFormat(undefined, {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  hourCycle: 'h23',
});
const dayFormat = new Intl.DateTimeFormat(undefined, { year: 'numeric', month: 'short', day: '2-digit' });

/** The time of day with milliseconds, in the viewer's zone. */
export function clock(t: number): string {
  return `${clockFormat.format(t)}.${String(Math.floor(((t % 1000) + 1000) % 1000)).padStart(3, '0')}`;
}

/** The day, in the viewer's zone. */
export function day(t: number): string {
  return dayFormat.format(t);
}

/** How long ago t was, coarse: for lists. */
export function ago(t: number, now: number): string {
  const s = Math.max(0, Math.round((now - t) / 1000));
  if (s < 60) return `${s} s ago`;
  if (s < 3600) return `${Math.floor(s / 60)} min ago`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ago`;
  return `${Math.floor(s / 86_400)} d ago`;
}

function pad(n: number): string {
  return String(n).padStart(2, '0');
}
