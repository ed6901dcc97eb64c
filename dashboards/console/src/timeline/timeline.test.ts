import { describe, expect, test } from 'vitest';
import type { Gap, Line, Page } from '../api/types';
import { around, clip, parseInstant, position, ticks } from './clock';
import { gapInterval, placeGaps } from './gaps';
import { marks } from './marks';
import { plan } from './plan';

describe('parseInstant', () => {
  test.each([
    ['2026-01-02T03:04:05Z', Date.UTC(2026, 0, 2, 3, 4, 5)],
    ['2026-01-02T03:04:05.5+02:00', Date.UTC(2026, 0, 2, 1, 4, 5) + 500],
    ['0001-01-01T00:00:00Z', undefined],
    ['yesterday', undefined],
    ['', undefined],
    [null, undefined],
  ])('%s', (text, want) => expect(parseInstant(text)).toBe(want));

  test('keeps microseconds', () => {
    const a = parseInstant('2026-01-02T03:04:05.123456789Z') ?? 0;
    expect((a % 1000) - 123.456789).toBeCloseTo(0, 3);
  });
});

test('position and clip', () => {
  const domain = { start: 100, end: 200 };
  expect(position(domain, 150)).toBe(0.5);
  expect(position({ start: 1, end: 1 }, 5)).toBe(0);
  expect(clip(domain, { start: 50, end: 150 })).toEqual({ left: 0, width: 0.5 });
  expect(clip(domain, { start: 120, end: 120 })).toEqual({ left: 0.2, width: 0 });
  expect(clip(domain, { start: 201, end: 300 })).toBeUndefined();
});

describe('ticks', () => {
  test.each([
    [{ start: 0, end: 1000 }, 5, [0, 200, 400, 600, 800, 1000]],
    [{ start: 0, end: 4600 }, 6, [0, 1000, 2000, 3000, 4000]],
    [{ start: 0, end: 0.5 }, 5, [0, 0.1, 0.2, 0.3, 0.4, 0.5]],
    [{ start: 990, end: 1010 }, 4, [990, 995, 1000, 1005, 1010]],
    [{ start: 0, end: 180_000 }, 4, [0, 60_000, 120_000, 180_000]],
    [{ start: 5, end: 5 }, 4, []],
  ])('%o at most about %i', (domain, most, want) => expect(ticks(domain, 0, most)).toEqual(want));

  test('never floods', () => {
    for (let p = -3; p < 9; p += 0.37) {
      const got = ticks({ start: 7, end: 7 + 10 ** p }, 0, 8);
      expect(got.length).toBeLessThanOrEqual(9);
    }
  });
});

test('around stays inside and never collapses', () => {
  const whole = { start: 0, end: 100 };
  expect(around({ start: 0, end: 50 }, whole)).toEqual({ start: 0, end: 52 });
  const point = around({ start: 10, end: 10 }, whole);
  expect(point.end).toBeGreaterThan(point.start);
});

test('marks gather what falls together', () => {
  const got = marks([0, 1, 50, 100, 101, Number.NaN], { start: 0, end: 100 }, 10);
  expect(got).toEqual([
    { bin: 0, lines: [0, 1] },
    { bin: 5, lines: [2] },
    { bin: 9, lines: [3] },
  ]);
});

const at = (ms: number) => new Date(Date.UTC(2026, 0, 1) + ms).toISOString();

describe('gaps', () => {
  const line = (ms: number, offset: number, file_id = 'a', stream: Line['stream'] = 'stdout'): Line => ({ ts: at(ms), stream, body: '', attribution: 'window', file_id, offset });
  const gap = (over: Partial<Gap>): Gap => ({ file_id: '', offset: 0, to: at(1000), bytes: 0, reason: 'spool', ...over });
  const lines = [line(0, 0), line(10, 100), line(12, 900, 'a', 'platform'), line(20, 40, 'b'), line(30, 300)];

  test.each([
    ['in its file', gap({ file_id: 'a', offset: 150, from: at(10) }), 2],
    ['at its file’s end', gap({ file_id: 'a', offset: 350, from: at(30) }), 5],
    ['before the first line of its file on the page: by time', gap({ file_id: 'b', offset: 0, from: at(15) }), 3],
    ['of a file that no line is from', gap({ file_id: 'c', offset: 7, from: at(10) }), 2],
    ['behind all lines', gap({ from: at(30) }), 5],
    ['from any time', gap({}), 0],
  ])('%s', (_, g, want) => expect([...placeGaps(lines, [g]).keys()]).toEqual([want]));

  test('two in one place, and no lines at all', () => {
    const g = [gap({ from: at(10) }), gap({ from: at(11) })];
    expect(placeGaps(lines, g).get(2)).toEqual(g);
    expect([...placeGaps([], g).keys()]).toEqual([0]);
  });

  test('their time', () => {
    expect(gapInterval(gap({}))).toEqual({ start: -Infinity, end: Date.UTC(2026, 0, 1) + 1000 });
    expect(gapInterval(gap({ from: at(5) }))?.start).toBe(Date.UTC(2026, 0, 1) + 5);
    expect(gapInterval(gap({ to: '' }))).toBeUndefined();
  });
});

describe('plan', () => {
  const warm: Page = {
    invocation: { request_id: 'r', namespace: 'n', function: 'f', version: '', cold: false, instance: 'i', status: 'ok', queued_at: at(0), started_at: at(10), ended_at: at(110) },
    cold_start: null,
    lines: [
      { ts: at(50), stream: 'stdout', body: 'x', attribution: 'window', file_id: '0', offset: 0 },
      { ts: at(120), stream: 'stdout', body: 'late', attribution: 'late', file_id: '0', offset: 0 },
      { ts: at(9000), stream: 'stdout', body: 'straggler', attribution: 'late', file_id: '0', offset: 0 },
    ],
    neighbours: [],
    advice: [],
    completeness: { state: 'complete', gaps: [], truncated_lines: 0, refused_lines: 0, lost_bytes: 0, late_lines: 0 },
  };

  test('a warm request is queue and handler', () => {
    const got = plan(warm, 0);
    expect(got.rows.map((r) => r.name)).toEqual(['queue', 'handler']);
    expect(got.whole.end - got.whole.start).toBe(120);
    expect(got.shares).toEqual([]);
  });

  test('a cold start is ordered by time and its shares add up', () => {
    const got = plan(
      {
        ...warm,
        cold_start: {
          namespace: 'n',
          function: 'f',
          version: '',
          instance: 'i',
          demanded_at: at(-1000),
          ready_at: at(5),
          total_ms: 1005,
          other_ms: 5,
          phases: [
            { name: 'init', start: at(-200), end: at(5), duration_ms: 205, critical_ms: 200 },
            { name: 'pull', start: at(-1000), end: at(-200), duration_ms: 800, critical_ms: 800 },
          ],
          critical_path: [
            { name: 'pull', start: at(-1000), end: at(-200) },
            { name: 'init', start: at(-195), end: at(5) },
          ],
          layers: [
            { digest: 'sha256:b', cache: 'hit', bytes: 5 },
            { digest: 'sha256:a', bytes: 9, download_start: at(-1000), download_end: at(-300) },
          ],
        },
      },
      0,
    );
    expect(got.rows.map((r) => r.name)).toEqual(['pull', 'init', 'waited', 'handler']);
    expect(got.origin).toBe(Date.UTC(2026, 0, 1) - 1000);
    expect(got.shares.map((s) => s.name)).toEqual(['pull', 'init', 'other']);
    expect(got.shares.reduce((sum, s) => sum + s.ms, 0)).toBe(1005);
    expect(got.rows[1]?.waits).toEqual([{ start: got.origin + 805, end: got.origin + 1005 }]);
    expect(got.layers.map((l) => l.layer.digest)).toEqual(['sha256:a', 'sha256:b']);
  });

  test('a running request ends now', () => {
    const { ended_at: _, ...rest } = warm.invocation;
    const now = Date.UTC(2026, 0, 1) + 700;
    const got = plan({ ...warm, lines: [], invocation: { ...rest, status: 'running' } }, now);
    expect(got.rows.at(-1)).toMatchObject({ name: 'handler', open: true, interval: { end: now } });
  });

  test('a request that only its lines name is as long as they are', () => {
    const { queued_at: _, ended_at: __, ...rest } = warm.invocation;
    const got = plan({ ...warm, invocation: { ...rest, started_at: at(50), status: 'unknown' } }, 0);
    expect(got.rows).toEqual([]);
    expect(got.whole).toEqual({ start: Date.UTC(2026, 0, 1) + 50, end: Date.UTC(2026, 0, 1) + 9000 });
  });

  test('nothing known draws nothing and does not fail', () => {
    const { queued_at: _, ...rest } = warm.invocation;
    const got = plan({ ...warm, lines: [], invocation: { ...rest, started_at: '' } }, 5);
    expect(got.rows).toEqual([]);
  });
});
