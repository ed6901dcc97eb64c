import type { Status } from '../api/types';

/** The time ranges, back from now, as the API's `since` takes them. */
export const ranges = ['15m', '1h', '24h'] as const;
export type Range = (typeof ranges)[number];

export const statuses: readonly Status[] = ['ok', 'error', 'timeout', 'oom', 'cancelled', 'running'];

/** What the list shows. Every field is in the URL, except where it has its default. */
export interface Filters {
  namespace: string;
  function: string;
  status: Status | '';
  cold: boolean;
  range: Range;
  live: boolean;
}

/** Reads the filters from a URL; what it doesn't know it takes as not given. */
export function readFilters(params: URLSearchParams): Filters {
  const status = params.get('status') ?? '';
  return {
    namespace: params.get('namespace') ?? '',
    function: params.get('function') ?? '',
    status: statuses.find((s) => s === status) ?? '',
    cold: params.get('cold') === 'true',
    range: ranges.find((r) => r === params.get('range')) ?? '1h',
    live: params.get('live') !== 'off',
  };
}

/** The shortest URL parameters that readFilters reads back to the same filters. */
export function writeFilters(f: Filters): URLSearchParams {
  const params = new URLSearchParams();
  if (f.namespace) params.set('namespace', f.namespace);
  if (f.function) params.set('function', f.function);
  if (f.status) params.set('status', f.status);
  if (f.cold) params.set('cold', 'true');
  if (f.range !== '1h') params.set('range', f.range);
  if (!f.live) params.set('live', 'off');
  return params;
}

/** Whether anything but the time range narrows the list. */
export function narrows(f: Filters): boolean {
  return f.function !== '' || f.namespace !== '' || f.status !== '' || f.cold;
}
