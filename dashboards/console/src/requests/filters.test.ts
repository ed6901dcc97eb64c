import { expect, test } from 'vitest';
import { narrows, readFilters, writeFilters } from './filters';

test('an empty URL is the default and the default an empty URL', () => {
  const f = readFilters(new URLSearchParams());
  expect(f).toEqual({ namespace: '', function: '', status: '', cold: false, range: '1h', live: true });
  expect(writeFilters(f).toString()).toBe('');
  expect(narrows(f)).toBe(false);
});

test('every filter survives the URL', () => {
  const url = 'namespace=demo&function=webapp&status=error&cold=true&range=24h&live=off';
  expect(writeFilters(readFilters(new URLSearchParams(url))).toString()).toBe(url);
});

test('what it does not know it ignores', () => {
  const f = readFilters(new URLSearchParams('status=fine&range=toString&cold=yes'));
  expect(f).toMatchObject({ status: '', range: '1h', cold: false });
});
