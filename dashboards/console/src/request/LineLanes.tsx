import { useMemo, useState } from 'react';
import type { Line, Stream } from '../api/types';
import { offset } from '../text/format';
import { visible } from '../text/visible';
import type { Interval } from '../timeline/clock';
import { marks, type Mark } from '../timeline/marks';
import type { Plan } from '../timeline/plan';
import styles from './LineLanes.module.css';

const streams: Stream[] = ['stdout', 'stderr', 'platform'];
/** Pixels that one mark stands for. */
const markWidth = 4;

interface Props {
  plan: Plan;
  lines: Line[];
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
export function LineLanes({ plan, lines, domain, width, selected, onLine }: Props) {
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
  if (lanes.length === 0) return null;
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
      {hovered ? <Tip lines={lines} plan={plan} mark={hovered.mark} at={(hovered.mark.bin + 0.5) / bins} /> : null}
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
