import type { Completeness, Gap } from '../api/types';
import { bytes } from '../text/format';

/** Why lines were lost, for people who have to keep it from happening again. */
export const gapReason: Record<Gap['reason'], string> = {
  vanished: 'the log file was deleted while no collector ran',
  pinned: 'deleted log files held more than their limit',
  truncated: 'the log file was truncated before it was read',
  spool: 'what was saved became too much or too old',
};

/** What is known to be missing, one sentence each. */
export function missing(c: Completeness): string[] {
  return [
    ...(c.gaps.length > 0 ? [`${count(c.gaps.length, 'gap')} in its log files${c.lost_bytes > 0 ? `, ${bytes(c.lost_bytes)} lost` : ''}`] : []),
    ...(c.truncated_lines > 0 ? [`${count(c.truncated_lines, 'line')} cut off at the end`] : []),
    ...(c.refused_lines > 0 ? [`${count(c.refused_lines, 'line')} of its log files refused; a collector kept them in its dead-letter file`] : []),
  ];
}

function count(n: number, one: string): string {
  return `${n.toLocaleString()} ${one}${n === 1 ? '' : 's'}`;
}
