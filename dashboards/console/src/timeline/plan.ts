import type { Invocation, Layer, Page, Phase } from '../api/types';
import { parseInstant, type Interval } from './clock';

/** The phases in the order in which a start goes through them. */
export const phaseOrder: readonly string[] = ['queue', 'schedule', 'credentials', 'resolve', 'pull', 'unpack', 'create', 'start', 'init'];

/** What each phase is, for people who see it for the first time. */
export const phaseMeaning: Record<string, string> = {
  queue: 'the demand waits for the platform',
  schedule: 'a host is chosen',
  credentials: "the registry's pull token is fetched",
  resolve: 'the tag is resolved to a digest',
  pull: 'layers are downloaded',
  unpack: 'layers are written out as a file system',
  create: 'the container is created',
  start: 'its process is started',
  init: 'your code, from the process’s start until its port accepts',
  waited: 'this request, from its arrival until it was handed over',
  handler: 'your code handles the request',
  other: 'between the phases: no phase explains this time',
};

/** One bar of the waterfall with its label. */
export interface Row {
  key: string;
  /** A phase's name, or `waited` or `handler` for the request itself. */
  name: string;
  interval: Interval;
  /** Still going on: the end is now. */
  open: boolean;
  /** The parts of the interval that the start waited for. */
  waits: Interval[];
  /** Milliseconds on the cold start's critical path; undefined for what is no phase. */
  critical?: number;
  error?: string;
  attributes: [string, string][];
}

/** A layer's intervals; none if it was cached or not reported. */
export interface LayerRow {
  layer: Layer;
  download?: Interval;
  unpack?: Interval;
}

/** A piece of the critical path; all of them add up to the cold start's total. */
export interface Share {
  name: string;
  ms: number;
  share: number;
}

/** Everything the waterfall draws, on one clock. */
export interface Plan {
  /** Zero of the clock: the first thing that happened. */
  origin: number;
  whole: Interval;
  rows: Row[];
  layers: LayerRow[];
  shares: Share[];
  /** Instant of each of the request's lines, NaN where it has none. */
  instants: number[];
}

/** Lays out one request. `now` ends what has not ended yet. */
export function plan(detail: Page, now: number): Plan {
  const { invocation } = detail;
  const cold = detail.cold_start;
  const path = (cold?.critical_path ?? []).flatMap((s) => {
    const span = interval(s.start, s.end);
    return span ? [{ name: s.name, ...span }] : [];
  });
  const phases = (cold?.phases ?? []).flatMap((p, i) => phaseRow(p, i, path) ?? []).toSorted(byStart);
  const other = otherRow(path, cold?.other_ms ?? 0);
  const rows = [...phases, ...(other ? [other] : []), ...requestRows(invocation, now, cold !== null)];
  const instants = detail.lines.map((l) => parseInstant(l.ts) ?? Number.NaN);

  const bounds = rows.flatMap((r) => [r.interval.start, r.interval.end]);
  for (const t of [cold?.demanded_at, cold?.ready_at]) bounds.push(parseInstant(t) ?? Number.NaN);
  if (invocation.status === 'unknown') bounds.push(...span(instants)); // nothing else says how long it took
  const known = bounds.filter((t) => !Number.isNaN(t));
  if (known.length === 0) known.push(now);
  const origin = Math.min(...known);
  let end = Math.max(...known);
  // Late lines widen the picture a little; a straggler doesn't squeeze it.
  const most = end + Math.max((end - origin) * 0.15, 1);
  for (const t of instants) if (t > end && t <= most) end = t;

  return { origin, whole: { start: origin, end: Math.max(end, origin + 1e-3) }, rows, layers: layerRows(cold?.layers ?? []), shares: shares(detail), instants };
}

function phaseRow(p: Phase, i: number, path: (Interval & { name: string })[]): Row | undefined {
  const start = parseInstant(p.start);
  const end = parseInstant(p.end);
  if (start === undefined || end === undefined) return undefined;
  return {
    key: `${p.name}-${i}`,
    name: p.name,
    interval: { start, end: Math.max(start, end) },
    open: false,
    critical: p.critical_ms,
    waits: path.filter((s) => s.name === p.name && s.end > start && s.start < end).map((s) => ({ start: Math.max(s.start, start), end: Math.min(s.end, end) })),
    ...(p.error ? { error: p.error } : {}),
    attributes: Object.entries(p.attributes ?? {}).toSorted(([a], [b]) => a.localeCompare(b)),
  };
}

function otherRow(path: (Interval & { name: string })[], critical: number): Row | undefined {
  const waits = path.filter((s) => s.name === 'other').map(({ start, end }) => ({ start, end }));
  const [head] = waits;
  const tail = waits.at(-1);
  if (!head || !tail || critical <= 0) return undefined;
  return { key: 'other', name: 'other', interval: { start: head.start, end: tail.end }, open: false, waits, critical, attributes: [] };
}

function byStart(a: Row, b: Row): number {
  return a.interval.start - b.interval.start || phaseOrder.indexOf(a.name) - phaseOrder.indexOf(b.name);
}

function requestRows(invocation: Invocation, now: number, cold: boolean): Row[] {
  const queued = parseInstant(invocation.queued_at);
  const started = parseInstant(invocation.started_at);
  const ended = parseInstant(invocation.ended_at);
  const rows: Row[] = [];
  if (queued !== undefined && started !== undefined && started >= queued) {
    rows.push({ key: 'waited', name: cold ? 'waited' : 'queue', interval: { start: queued, end: started }, open: false, waits: [], attributes: [] });
  }
  if (started !== undefined && invocation.status !== 'unknown') {
    const open = ended === undefined && invocation.status === 'running';
    const end = ended ?? (open ? now : started + (invocation.duration_ms ?? 0));
    rows.push({
      key: 'handler',
      name: 'handler',
      interval: { start: started, end: Math.max(started, end) },
      open,
      waits: [],
      attributes: [],
      ...(invocation.error ? { error: invocation.error } : {}),
    });
  }
  return rows;
}

function layerRows(layers: readonly Layer[]): LayerRow[] {
  return layers
    .map((layer) => {
      const download = interval(layer.download_start, layer.download_end);
      const unpack = interval(layer.unpack_start, layer.unpack_end);
      return { layer, ...(download ? { download } : {}), ...(unpack ? { unpack } : {}) };
    })
    .toSorted((a, b) => first(a) - first(b) || b.layer.bytes - a.layer.bytes);
}

/** The first and the last of some instants; nothing if there are none. */
function span(instants: readonly number[]): number[] {
  const known = instants.filter((t) => !Number.isNaN(t)).toSorted((a, b) => a - b);
  return known.length > 0 ? [known[0] ?? Number.NaN, known.at(-1) ?? Number.NaN] : [];
}

function first(row: LayerRow): number {
  return row.download?.start ?? row.unpack?.start ?? Number.MAX_VALUE;
}

function interval(from: string | null | undefined, to: string | null | undefined): Interval | undefined {
  const start = parseInstant(from);
  const end = parseInstant(to);
  return start !== undefined && end !== undefined && end >= start ? { start, end } : undefined;
}

function shares({ cold_start: cold }: Page): Share[] {
  if (!cold) return [];
  const pieces = new Map<string, number>();
  for (const p of cold.phases) pieces.set(p.name, (pieces.get(p.name) ?? 0) + p.critical_ms);
  const named = [...pieces].filter(([, ms]) => ms > 0).toSorted(([a], [b]) => phaseOrder.indexOf(a) - phaseOrder.indexOf(b));
  if (cold.other_ms > 0) named.push(['other', cold.other_ms]);
  const total = named.reduce((sum, [, ms]) => sum + ms, 0);
  return named.map(([name, ms]) => ({ name, ms, share: total > 0 ? ms / total : 0 }));
}
