import type { ColdStartStats, FunctionList, InvocationList, Page } from './types';

/** An answer that is an error, as problem+json (RFC 9457) tells it; status 0 if there was no answer at all. */
export class ApiError extends Error {
  override name = 'ApiError';

  constructor(
    readonly status: number,
    readonly title: string,
    readonly detail: string,
  ) {
    super(detail ? `${title}: ${detail}` : title);
  }
}

type Query = Record<string, string | number | boolean | undefined>;

async function get<T>(path: string, query: Query, signal: AbortSignal): Promise<T> {
  const params = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    if (value !== undefined && value !== '') params.set(key, String(value));
  }
  const search = params.toString();
  let response: Response;
  try {
    response = await fetch(search ? `${path}?${search}` : path, { signal, headers: { Accept: 'application/json' } });
  } catch (cause) {
    if (signal.aborted) throw cause;
    throw new ApiError(0, 'No answer', cause instanceof Error ? cause.message : '');
  }
  const json = await readJSON(response);
  if (!response.ok) {
    const problem = isRecord(json) ? json : {};
    throw new ApiError(response.status, text(problem.title) || response.statusText || 'Error', text(problem.detail));
  }
  if (!isRecord(json)) throw new ApiError(response.status, 'Unexpected answer', `${path} did not answer with a JSON object`);
  return json as T;
}

async function readJSON(response: Response): Promise<unknown> {
  if (!/\bjson\b/.test(response.headers.get('content-type') ?? '')) return undefined;
  try {
    return await response.json();
  } catch {
    return undefined; // told by the caller: cut off or not JSON
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

export const api = {
  requests: (query: Query, signal: AbortSignal) => get<InvocationList>('/api/v1/requests', query, signal),
  request: (id: string, signal: AbortSignal) => get<Page>(`/api/v1/requests/${encodeURIComponent(id)}`, {}, signal),
  coldStarts: (query: Query, signal: AbortSignal) => get<ColdStartStats>('/api/v1/coldstarts', query, signal),
  functions: (signal: AbortSignal) => get<FunctionList>('/api/v1/functions', {}, signal),
};
