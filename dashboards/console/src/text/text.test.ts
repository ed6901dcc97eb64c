import { describe, expect, test } from 'vitest';
import { bytes, duration, memory, offset, percent, shortDigest, tick } from './format';
import { searchPattern, visible } from './visible';

test.each([
  [null, '–'],
  [0, '0 ms'],
  [0.25, '250 µs'],
  [4.236, '4.24 ms'],
  [42.36, '42.4 ms'],
  [423.6, '424 ms'],
  [999.7, '1.00 s'],
  [4123, '4.12 s'],
  [59_960, '1 min 00 s'],
  [3_720_000, '1 h 02 min'],
])('duration %s', (ms, want) => expect(duration(ms)).toBe(want));

test.each([
  [0, 100, '0'],
  [500, 500, '0.5 s'],
  [1250, 250, '1.3 s'],
  [20, 20, '20 ms'],
  [0.5, 0.1, '0.5 ms'],
  [2000, 1000, '2 s'],
  [120_000, 60_000, '2 min'],
])('tick %s by %s', (ms, step, want) => expect(tick(ms, step)).toBe(want));

test('offset, bytes, percent, digest', () => {
  expect(offset(1234.5, 5000)).toBe('+1.234 s');
  expect(offset(-3, 5000)).toBe('−0.003 s');
  expect(offset(6.1, 15)).toBe('+6.10 ms');
  expect(bytes(999)).toBe('999 B');
  expect(bytes(1500)).toBe('1.50 kB');
  expect(bytes(999_990)).toBe('1.00 MB');
  expect(memory(1023)).toBe('1023 B');
  expect(memory(73 * 1024 * 1024)).toBe('73.0 MiB');
  expect(bytes(undefined)).toBe('–');
  expect(percent(0.004)).toBe('<1 %');
  expect(percent(0.716)).toBe('72 %');
  expect(shortDigest('sha256:0123456789abcdef')).toBe('0123456789ab');
});

describe('visible', () => {
  test('keeps tabs, newlines and markup as text', () => {
    expect(visible('\tat <b>x</b>\n\tat y')).toEqual([{ kind: 'text', text: '\tat <b>x</b>\n\tat y' }]);
  });

  test('spells out what a screen hides or obeys', () => {
    expect(visible('\u001b[31mred\r\u202eevil\u0000\u007f')).toEqual([
      { kind: 'control', text: String.raw`\x1b` },
      { kind: 'text', text: '[31mred' },
      { kind: 'control', text: String.raw`\r\u202e` },
      { kind: 'text', text: 'evil' },
      { kind: 'control', text: String.raw`\x00\x7f` },
    ]);
  });

  test('marks what the search found, literally', () => {
    expect(visible('a.b aXb A.B', searchPattern(' a.b '))).toEqual([
      { kind: 'match', text: 'a.b' },
      { kind: 'text', text: ' aXb ' },
      { kind: 'match', text: 'A.B' },
    ]);
    expect(searchPattern('  ')).toBeUndefined();
  });
});
