import { Tooltip } from '@mantine/core';
import { useMemo, useState } from 'react';
import type { Gap, Line, Stream } from '../api/types';
import { bytes, offset } from '../text/format';
import { visible } from '../text/visible';
import { clip, type Interval } from '../timeline/clock';
import { gapInterval } from '../timeline/gaps';
import { marks, type Mark } from '../timeline/marks';
import type { Plan } from '../timeline/plan';
import { gapReason } from './completeness';
import styles from './LineLanes.module.css';

const streams: Stream[] = ['stdout', 'stderr', 'platform'];
/** Pixels that one mark stands for. */
const markWidth = 4;

interface Props {
  plan: Plan;
  lines: Line[];
  gaps: Gap[];
  domain: Interval;
  width: number;
  selected: number | undefined;
  onLine: (index: number) => void;
}

interface Lane {
  stream: Stream;
  count: number;
  marks: Mark[];
}

/** When the container printed what: a lane a stream, on the waterfall's clock. */
export function LineLanes({ plan, lines, gaps, domain, width, selected, onLine }: Props) {
  const bins = Math.max(20, Math.floor(width / markWidth));
  const lanes = useMemo<Lane[]>(
    () =>
      streams.flatMap((stream) => {
        const of = lines.map((l, i) => (l.stream === stream ? (plan.instants[i] ?? Number.NaN) : Number.NaN));
        const count = lines.filter((l) => l.stream === stream).length;
        return count > 0 ? [{ stream, count, marks: marks(of, domain, bins) }] : [];
      }),
    [lines, plan.instants, domain, bins],
  );
  const [hovered, setHovered] = useState<{ stream: Stream; mark: Mark }>();
  if (lanes.length === 0 && gaps.length === 0) return null;
  return (
    <div className={styles.lanes} onPointerLeave={() => setHovered(undefined)}>
      {lanes.map((lane) => (
        <div key={lane.stream} className={styles.lane} data-lane={lane.stream}>
          <div className={styles.label}>
            {lane.stream} <span className="num">{lane.count}</span>
          </div>
          <div className={styles.track}>
            {lane.marks.map((mark) => (
              <button
                key={mark.bin}
                type="button"
                tabIndex={-1} // j and k walk through the lines
                aria-label={`${mark.lines.length} ${lane.stream} lines`}
                className={styles.mark}
                data-mark={lane.stream}
                data-selected={selected !== undefined && mark.lines.includes(selected)}
                style={{ left: `${(mark.bin / bins) * 100}%`, width: `max(${100 / bins}% - 1px, 3px)`, '--h': height(mark.lines.length) } as React.CSSProperties}
                onPointerEnter={() => setHovered({ stream: lane.stream, mark })}
                onClick={() => mark.lines[0] !== undefined && onLine(mark.lines[0])}
              />
            ))}
          </div>
        </div>
      ))}
      {gaps.length > 0 ? <GapLane gaps={gaps} domain={domain} /> : null}
      {hovered ? <Tip lines={lines} plan={plan} mark={hovered.mark} at={(hovered.mark.bin + 0.5) / bins} /> : null}
    </div>
  );
}

/** When lines were lost: as far as that is known, the stretch in which they were written. */
function GapLane({ gaps, domain }: { gaps: Gap[]; domain: Interval }) {
  return (
    <div className={styles.lane} data-lane="lost">
      <div className={styles.label}>
        lost <span className="num">{gaps.length}</span>
      </div>
      <div className={styles.track}>
        {gaps.map((gap, i) => {
          const interval = gapInterval(gap);
          const part = interval && clip(domain, { start: Math.max(interval.start, domain.start), end: interval.end });
          return part ? (
            // oxlint-disable-next-line react/no-array-index-key -- two gaps without a file may be alike
            <Tooltip key={i} label={`${gap.bytes > 0 ? `${bytes(gap.bytes)} lost` : 'lines lost'}: ${gapReason[gap.reason]}`} position="bottom" events={{ hover: true, focus: false, touch: true }}>
              <i className={styles.lost} style={{ left: `${part.left * 100}%`, width: `max(${part.width * 100}%, 6px)` }} />
            </Tooltip>
          ) : null;
        })}
      </div>
    </div>
  );
}

/** A mark of one line is half as high as a full one; a hundred lines fill it. */
function height(count: number): number {
  return Math.min(1, 0.5 + Math.log10(count) / 4);
}

function Tip({ lines, plan, mark, at }: { lines: Line[]; plan: Plan; mark: Mark; at: number }) {
  const shown = mark.lines.slice(0, 4);
  return (
    <div className={styles.tipTrack}>
      <div className={styles.tip} role="tooltip" style={{ left: `${at * 100}%`, transform: `translateX(${-at * 100}%)` }}>
        {shown.map((i) => {
          const line = lines[i];
          return line ? (
            <div key={i} className={styles.tipLine}>
              <span className="num">{offset((plan.instants[i] ?? 0) - plan.origin, plan.whole.end - plan.origin)}</span>
              <span className="mono ellipsis">
                {visible(line.body.slice(0, 200))
                  .map((p) => p.text)
                  .join('')}
              </span>
            </div>
          ) : null;
        })}
        {mark.lines.length > shown.length ? <div className={styles.tipMore}>and {mark.lines.length - shown.length} more</div> : null}
      </div>
    </div>
  );
}
