import type { Gap, Line } from '../api/types';
import { parseInstant, type Interval } from './clock';

/** When the lost lines were written: from the beginning of all if that is not known. */
export function gapInterval(gap: Gap): Interval | undefined {
  const end = parseInstant(gap.to);
  if (end === undefined) return undefined;
  return { start: Math.min(parseInstant(gap.from) ?? -Infinity, end), end };
}

/**
 * Where gaps lie among lines: by the index of the line behind each, which is
 * the number of lines for one at the end. A gap lies behind the last line that
 * is before it in its file; without one, behind all lines that are older.
 */
export function placeGaps(lines: readonly Line[], gaps: readonly Gap[]): Map<number, Gap[]> {
  const places = new Map<number, Gap[]>();
  for (const gap of gaps) {
    const last = gap.file_id ? lines.findLastIndex((l) => l.stream !== 'platform' && l.file_id === gap.file_id && l.offset < gap.offset) : -1;
    const at = last >= 0 ? last + 1 : behindOlder(lines, gap);
    const there = places.get(at);
    if (there) there.push(gap);
    else places.set(at, [gap]);
  }
  return places;
}

function behindOlder(lines: readonly Line[], gap: Gap): number {
  const from = parseInstant(gap.from) ?? -Infinity;
  const at = lines.findIndex((l) => (parseInstant(l.ts) ?? -Infinity) > from);
  return at < 0 ? lines.length : at;
}
