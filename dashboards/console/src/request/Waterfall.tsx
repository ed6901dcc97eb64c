import { Button, Tooltip } from '@mantine/core';
import { useElementSize, useMergedRef } from '@mantine/hooks';
import { useMemo, useRef, useState, type PointerEvent, type ReactNode, type RefObject } from 'react';
import type { Gap, Line } from '../api/types';
import { bytes, duration, offset, percent, shortDigest, tick } from '../text/format';
import { around, clip, position, ticks, type Interval } from '../timeline/clock';
import { phaseMeaning, type LayerRow, type Plan, type Row, type Share } from '../timeline/plan';
import { LineLanes } from './LineLanes';
import styles from './Waterfall.module.css';

interface Props {
  plan: Plan;
  lines: Line[];
  gaps: Gap[];
  failed: boolean;
  zoom: Interval | undefined;
  setZoom: (zoom: Interval | undefined) => void;
  selected: number | undefined;
  onLine: (index: number) => void;
}

/** The phases, the handler and the lines on one clock. */
export function Waterfall({ plan, lines, gaps, failed, zoom, setZoom, selected, onLine }: Props) {
  const domain = zoom ?? plan.whole;
  const { ref: scale, width } = useElementSize();
  const [showLayers, setShowLayers] = useState(true);
  const marks = useMemo(() => ticks(domain, plan.origin, Math.max(2, Math.floor(width / 80))), [domain, plan.origin, width]);
  const step = (marks[1] ?? 1) - (marks[0] ?? 0);
  const chart = useRef<HTMLDivElement>(null);
  const line = useRef<HTMLElement>(null);
  const { band, handlers } = useCursor(chart, line, domain, plan.origin, setZoom);
  const measured = useMergedRef(scale, chart);
  const layersUnder = lastIndex(plan.rows, 'pull') ?? lastIndex(plan.rows, 'unpack') ?? -1;
  const chosen = selected === undefined ? Number.NaN : position(domain, plan.instants[selected] ?? Number.NaN);

  return (
    <section className={`card ${styles.card}`} aria-labelledby="timeline">
      <div className={styles.head}>
        <h2 id="timeline" className="section">
          Timeline
        </h2>
        <Button className={zoom ? undefined : styles.noZoom} variant="default" size="compact-xs" onClick={() => setZoom(undefined)}>
          Show all
        </Button>
        <span className={styles.hint}>{zoom ? `${offset(zoom.start - plan.origin, zoom.end - zoom.start)} to ${offset(zoom.end - plan.origin, zoom.end - zoom.start)}` : 'drag to zoom, or choose a row'}</span>
      </div>
      {plan.shares.length > 0 ? <Shares shares={plan.shares} /> : null}
      <div className={styles.chart} {...handlers}>
        <div className={styles.scale} ref={measured} aria-hidden="true">
          {marks.map((t) => {
            const at = position(domain, plan.origin + t);
            return (
              <i key={t} style={{ left: `${at * 100}%` }} data-edge={at > 0.95 ? 'end' : at < 0.02 ? 'start' : undefined}>
                <span className="num">{tick(t, step)}</span>
              </i>
            );
          })}
          {chosen >= 0 && chosen <= 1 ? <b className={styles.chosen} style={{ left: `${chosen * 100}%` }} /> : null}
          {band ? <b className={styles.band} style={{ left: `${band.left * 100}%`, width: `${band.width * 100}%` }} /> : null}
          <b ref={line} className={styles.cursor} hidden>
            <span className="num" />
          </b>
        </div>
        <div className={styles.axis} aria-hidden="true">
          <span>took</span>
          {plan.shares.length > 0 ? <span>the start waited for it</span> : null}
        </div>
        <ul className={styles.rows} aria-label="Phases">
          {plan.rows.map((row, i) => (
            <PhaseRow key={row.key} row={row} plan={plan} domain={domain} failed={failed} setZoom={setZoom}>
              {i === layersUnder && plan.layers.length > 0 ? (
                <button type="button" className={styles.fold} aria-expanded={showLayers} onClick={() => setShowLayers(!showLayers)}>
                  {plan.layers.length} {plan.layers.length === 1 ? 'layer' : 'layers'}
                </button>
              ) : null}
            </PhaseRow>
          )).flatMap((element, i) => (i === layersUnder && showLayers ? [element, <Layers key="layers" plan={plan} domain={domain} />] : [element]))}
          {layersUnder < 0 && plan.layers.length > 0 ? <Layers plan={plan} domain={domain} /> : null}
        </ul>
        <LineLanes plan={plan} lines={lines} gaps={gaps} domain={domain} width={width} selected={selected} onLine={onLine} />
      </div>
    </section>
  );
}

function lastIndex(rows: Row[], name: string): number | undefined {
  const i = rows.findLastIndex((r) => r.name === name);
  return i < 0 ? undefined : i;
}

/** What the start waited for, piece by piece; the pieces are the whole. */
function Shares({ shares }: { shares: Share[] }) {
  const total = shares.reduce((sum, s) => sum + s.ms, 0);
  return (
    <div className={styles.shares}>
      <span className={styles.sharesName}>
        The start waited <b className="num">{duration(total)}</b>
      </span>
      <span className={styles.stack}>
        {shares.map((s) => (
          <Tooltip key={s.name} label={`${s.name}: ${duration(s.ms)}, ${percent(s.share)} of the start`}>
            <i style={{ flexGrow: s.share, background: `var(--cs-${s.name})` }} data-share={s.name} />
          </Tooltip>
        ))}
      </span>
    </div>
  );
}

interface RowProps {
  row: Row;
  plan: Plan;
  domain: Interval;
  failed: boolean;
  setZoom: (zoom: Interval) => void;
  children?: ReactNode;
}

function PhaseRow({ row, plan, domain, failed, setZoom, children }: RowProps) {
  const length = row.interval.end - row.interval.start;
  const share = plan.shares.find((s) => s.name === row.name);
  const parts = row.name === 'other' ? [] : [row.interval];
  return (
    <li className={styles.row} data-row={row.name} data-failed={row.error !== undefined || (failed && row.name === 'handler')}>
      <div className={styles.label}>
        <i className={styles.swatch} style={{ background: `var(--cs-${row.name === 'queue' && row.critical === undefined ? 'waited' : row.name})` }} />
        <button type="button" className={styles.name} title={`${phaseMeaning[row.name] ?? row.name}: zoom to it`} onClick={() => setZoom(around(row.interval, plan.whole))}>
          {row.name}
        </button>
        {children}
        <span className={`${styles.length} num`}>{row.open ? 'running' : duration(row.name === 'other' ? row.critical : length)}</span>
      </div>
      <div className={styles.track}>
        <Tooltip label={<RowTip row={row} plan={plan} />} position="bottom-start" multiline>
          <span className={styles.bars}>
            {parts.map((part) => (
              <Bar key="whole" domain={domain} interval={part} kind={row.waits.length > 0 || row.critical === 0 ? 'pale' : 'full'} name={row.name} open={row.open} plain={row.critical === undefined} />
            ))}
            {row.waits.map((wait) => (
              <Bar key={wait.start} domain={domain} interval={wait} kind="full" name={row.name} />
            ))}
          </span>
        </Tooltip>
      </div>
      <div className={`${styles.critical} num`}>
        {row.critical === undefined ? null : row.critical > 0 ? (
          <span title="What the start waited for it, and its share of the start">
            <span className={styles.criticalTime}>{duration(row.critical)}</span> <b>{share ? percent(row.critical / (share.ms / share.share)) : ''}</b>
          </span>
        ) : (
          <span className={styles.hidden} title="Something else took longer at the same time">
            not waited for
          </span>
        )}
      </div>
    </li>
  );
}

interface BarProps {
  domain: Interval;
  interval: Interval;
  name: string;
  kind: 'full' | 'pale' | 'download' | 'unpack';
  open?: boolean;
  plain?: boolean;
}

function Bar({ domain, interval, name, kind, open = false, plain = false }: BarProps) {
  const part = clip(domain, interval);
  if (!part) return null;
  const colour = name === 'queue' && plain ? 'waited' : name;
  return (
    <i
      className={styles.bar}
      data-bar={kind}
      data-open={open}
      data-name={colour}
      style={{ left: `${part.left * 100}%`, width: `${part.width * 100}%`, '--c': `var(--cs-${colour})` } as React.CSSProperties}
    />
  );
}

function RowTip({ row, plan: { origin, whole } }: { row: Row; plan: Plan }) {
  const span = whole.end - whole.start;
  return (
    <span className={styles.tip}>
      <b>{row.name}</b> {phaseMeaning[row.name] ?? ''}
      <br />
      <span className="num">
        {offset(row.interval.start - origin, span)} to {row.open ? 'now' : offset(row.interval.end - origin, span)}, {duration(row.interval.end - row.interval.start)}
      </span>
      {row.attributes.map(([key, value]) => (
        <span key={key} className={styles.attribute}>
          {key} <span className="mono">{key === 'bytes' && /^\d+$/.test(value) ? bytes(Number(value)) : value}</span>
        </span>
      ))}
      {row.error ? <span className={styles.tipError}>{row.error}</span> : null}
    </span>
  );
}

function Layers({ plan, domain }: { plan: Plan; domain: Interval }) {
  const moved = plan.layers.filter((l) => l.download ?? l.unpack);
  const still = plan.layers.filter((l) => !(l.download ?? l.unpack));
  return (
    <>
      {moved.map((row) => (
        <Layer key={row.layer.digest} row={row} domain={domain} />
      ))}
      {still.length > 0 ? (
        <li className={styles.row} data-layer="cached">
          <div className={styles.label}>
            <span className={styles.digest}>
              {still.length} {still.length === 1 ? 'layer' : 'layers'} {still.every((l) => l.layer.cache === 'hit') ? 'cached' : 'without times'}
            </span>
            <span className={`${styles.length} num`}>{bytes(still.reduce((sum, l) => sum + l.layer.bytes, 0))}</span>
          </div>
          <div className={styles.track} />
          <div className={styles.critical} />
        </li>
      ) : null}
    </>
  );
}

function Layer({ row: { layer, download, unpack }, domain }: { row: LayerRow; domain: Interval }) {
  const times = [
    download ? `download ${duration(download.end - download.start)}` : '',
    unpack ? `unpack ${duration(unpack.end - unpack.start)}` : '',
  ].filter(Boolean);
  return (
    <li className={styles.row} data-layer={layer.digest}>
      <div className={styles.label}>
        <span className={`${styles.digest} mono`} title={layer.digest}>
          {shortDigest(layer.digest)}
        </span>
        <span className={`${styles.length} num`}>{bytes(layer.bytes)}</span>
      </div>
      <div className={styles.track}>
        <Tooltip label={`${layer.digest.slice(0, 26)}…: ${times.join(', ')}`} position="bottom-start">
          <span className={styles.bars}>
            {download ? <Bar domain={domain} interval={download} kind="download" name="pull" /> : null}
            {unpack ? <Bar domain={domain} interval={unpack} kind="unpack" name="unpack" /> : null}
          </span>
        </Tooltip>
      </div>
      <div className={styles.critical}>{layer.cache && layer.cache !== 'miss' ? <span className={styles.cache}>{layer.cache}</span> : null}</div>
    </li>
  );
}

/** Puts the line under the mouse where it is, as a fraction of the scale; undefined hides it. */
function moveCursor(line: HTMLElement | null, x: number | undefined, text: string): void {
  if (!line) return;
  line.hidden = x === undefined;
  if (x === undefined) return;
  line.style.left = `${x * 100}%`;
  line.dataset.edge = x > 0.9 ? 'end' : '';
  if (line.firstElementChild) line.firstElementChild.textContent = text;
}

/**
 * The line under the mouse and the band while dragging. The line moves without
 * React, since it follows every mouse event.
 */
function useCursor(
  chart: RefObject<HTMLDivElement | null>,
  line: RefObject<HTMLElement | null>,
  domain: Interval,
  origin: number,
  setZoom: (zoom: Interval) => void,
) {
  const from = useRef<number>(undefined);
  const [band, setBand] = useState<{ left: number; width: number }>();

  const at = (e: PointerEvent): number => {
    const box = chart.current?.getBoundingClientRect();
    return box && box.width > 0 ? (e.clientX - box.left) / box.width : -1;
  };
  return {
    band,
    handlers: {
      onPointerDown: (e: PointerEvent) => {
        const x = at(e);
        if (e.pointerType !== 'mouse' || e.button !== 0 || x < 0 || x > 1 || (e.target as Element).closest('button')) return;
        from.current = x;
        e.currentTarget.setPointerCapture(e.pointerId);
        e.preventDefault(); // no text selection
      },
      onPointerMove: (e: PointerEvent) => {
        const x = at(e);
        const inside = x >= 0 && x <= 1 && e.pointerType === 'mouse';
        const length = domain.end - domain.start;
        moveCursor(line.current, inside ? x : undefined, offset(domain.start + x * length - origin, length));
        if (from.current !== undefined) {
          const to = Math.max(0, Math.min(1, x));
          setBand({ left: Math.min(from.current, to), width: Math.abs(to - from.current) });
        }
      },
      onPointerUp: () => {
        if (from.current !== undefined && band && band.width > 0.008) {
          const length = domain.end - domain.start;
          const start = domain.start + band.left * length;
          setZoom({ start, end: Math.max(start + 1e-3, start + band.width * length) });
        }
        from.current = undefined;
        setBand(undefined);
      },
      onPointerCancel: () => {
        from.current = undefined;
        setBand(undefined);
      },
      onPointerLeave: () => moveCursor(line.current, undefined, ''),
    },
  };
}
