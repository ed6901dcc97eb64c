import { position, type Interval } from './clock';

/** One mark on a lane of lines: all lines that would fall on the same few pixels. */
export interface Mark {
  bin: number;
  /** Index into the caller's lines of each line of the mark, in their order. */
  lines: number[];
}

/**
 * Gathers instants into at most `bins` marks over the domain, so that a lane
 * of thousands of lines stays a few hundred elements. Instants outside the
 * domain are left out; NaN (no time) too.
 */
export function marks(instants: readonly number[], domain: Interval, bins: number): Mark[] {
  const byBin = new Map<number, Mark>();
  instants.forEach((t, i) => {
    const at = position(domain, t);
    if (!(at >= 0 && at <= 1)) return;
    const bin = Math.min(bins - 1, Math.floor(at * bins));
    const mark = byBin.get(bin);
    if (mark) mark.lines.push(i);
    else byBin.set(bin, { bin, lines: [i] });
  });
  return [...byBin.values()].toSorted((a, b) => a.bin - b.bin);
}
