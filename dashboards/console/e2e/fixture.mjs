// A server with made-up data in the API's shapes, for working on the console
// without the rest: `npm run fixture`, then `npm run dev` or the built console
// on this server's own address. The real thing is `coldscope demo`.
import { createServer } from 'node:http';
import { existsSync, readFileSync } from 'node:fs';
import { extname, join, normalize } from 'node:path';

const dist = join(import.meta.dirname, '..', 'dist');
// The same policy as the Go handler's, so that what breaks it breaks here too.
const policy = /contentSecurityPolicy = "([^"]+)"/.exec(readFileSync(join(import.meta.dirname, '..', 'handler.go'), 'utf8'))?.[1];

export const ids = { cold: '4f7c2a91-6d0e-4b7b-9d35-1f8e8a6b20c4', warm: 'b81d3f02-55aa-4c1e-8f0b-7a9d2c3e4f51', boom: 'e7a90c34-0b1d-4f6e-a2c8-93d4b5f60718', many: '00005000-aaaa-4bbb-8ccc-ddddeeeeffff' };

let seed = 42;
const random = () => {
  seed = (seed * 1103515245 + 12345) & 0x7fffffff;
  return seed / 0x7fffffff;
};
const hex = (n) => Array.from({ length: n }, () => '0123456789abcdef'[Math.floor(random() * 16)]).join('');
const iso = (ms) => `${new Date(Math.floor(ms)).toISOString().slice(0, -1)}${String(Math.floor((ms % 1) * 1e6)).padStart(6, '0')}Z`;

function startOf(t0, requestID) {
  const layers = [
    ['hit', 29_150_000, null],
    ['miss', 3_410_221, [0.19, 0.92, 0.92, 0.99]],
    ['miss', 18_220_114, [0.19, 1.74, 1.74, 2.02]],
    ['miss', 74_448_109, [0.19, 3.98, 3.98, 4.41]],
    ['miss', 41_200_000, [0.2, 3.02, 3.02, 3.3]],
    ['miss', 1_024, [0.92, 0.97, 4.41, 4.42]],
  ].map(([cache, size, t]) => ({
    digest: `sha256:${hex(64)}`,
    bytes: size,
    cache,
    ...(t && { download_start: iso(t0 + t[0] * 1000), download_end: iso(t0 + t[1] * 1000), unpack_start: iso(t0 + t[2] * 1000), unpack_end: iso(t0 + t[3] * 1000) }),
  }));
  const phase = (name, from, to, critical, attributes) => ({ name, start: iso(t0 + from), end: iso(t0 + to), duration_ms: to - from, critical_ms: critical, ...(attributes && { attributes }) });
  const seg = (name, from, to) => ({ name, start: iso(t0 + from), end: iso(t0 + to) });
  return {
    namespace: 'demo', function: 'inference', version: 'v3', instance: 'inference-v3-7d9f4c', host: 'host-a', initialization: 'on-demand', request_id: requestID,
    demanded_at: iso(t0), ready_at: iso(t0 + 6130), image: 'registry.local:5000/demo/inference:v3', digest: `sha256:${hex(64)}`, image_bytes: 166_429_468, registry: 'registry.local:5000', region: 'eu-central', memory_limit: 536_870_912,
    total_ms: 6130, other_ms: 12.5,
    phases: [
      phase('queue', 0, 24.2, 24.2),
      phase('schedule', 24.2, 31.9, 7.7),
      phase('credentials', 31.9, 118.4, 86.5, { token_ttl: '5m0s' }),
      phase('resolve', 118.4, 189.8, 71.4, { tag: 'v3' }),
      phase('pull', 190, 3980, 3790.2, { bytes: '137279468', layers: '5' }),
      phase('unpack', 920, 4420, 440),
      phase('create', 4420, 4488, 68),
      phase('start', 4488, 4531, 43),
      phase('init', 4543.5, 6130, 1586.5),
    ],
    layers,
    critical_path: [seg('queue', 0, 24.2), seg('schedule', 24.2, 31.9), seg('credentials', 31.9, 118.4), seg('resolve', 118.4, 189.8), seg('pull', 189.8, 3980), seg('unpack', 3980, 4420), seg('create', 4420, 4488), seg('start', 4488, 4531), seg('other', 4531, 4543.5), seg('init', 4543.5, 6130)],
  };
}

const trace = ['Traceback (most recent call last):', '  File "/app/server.py", line 88, in handle', '    result = predict(payload["instances"])', '  File "/app/model.py", line 41, in predict', '\treturn [w * float(x) + b for x in instances]', 'ValueError: could not convert string to float: \'<img src=x onerror=alert(1)>\''];

function linesOf(t0, requestID, ended) {
  let offset = 0;
  const line = (at, stream, body, attribution, more = {}) => {
    const l = { ts: iso(t0 + at), stream, body, attribution, file_id: '9c1185a5c5e9fc54', offset, ...(attribution !== 'none' && attribution !== 'ambiguous' && { request_id: requestID }), ...more };
    offset += body.length + 40;
    return l;
  };
  const out = [line(4560, 'stderr', 'I1123 23:59:12.004311       1 main.cc:31] inference starting, 2 threads n=1 r=-', 'init')];
  for (let i = 0; i < 22; i++) out.push(line(4600 + i * 66, 'stderr', `I1123 23:59:1${2 + Math.floor(i / 15)}.${String(i * 41003).padStart(6, '0')}       1 loader.cc:${40 + i}] mapped shard ${i + 1}/22 of half_plus_two (${(3.1 * (i + 1)).toFixed(1)} MB) n=${i + 2} r=-`, 'init'));
  out.push(line(6125, 'stdout', '\u001b[32mlistening on :9000\u001b[0m  n=24 r=-', 'init'));
  out.push(line(6139, 'stdout', `POST /v1/models/half_plus_two:predict from 10.0.3.7 n=25 r=${requestID.slice(0, 8)}`, 'window'));
  out.push(line(6150, 'stdout', `{"level":"info","request_id":"${requestID}","msg":"predict","instances":[1,2,5]}`, 'explicit'));
  trace.forEach((body, i) => out.push(line(6170 + i * 0.05, 'stderr', body, 'window')));
  out.push(line(6190, 'stdout', 'progress 10%\rprogress 55%\rprogress 100%', 'window'));
  out.push(line(6200, 'stdout', 'right-to-left: \u202Egnp.exe\u202C, nul: \u0000, <script>alert("hostile")</script> & <b>bold</b>', 'window'));
  out.push(line(6210, 'stdout', 'heartbeat of a background thread', 'ambiguous', { candidates: [ids.warm, ids.boom] }));
  out.push(line(6230, 'stdout', `a very long line: ${'abcdefghij'.repeat(900)}`, 'window', { truncated: 1_500_000 }));
  out.push(line(ended - 4, 'stdout', `200 in ${ended - 6138} ms n=31 r=${requestID.slice(0, 8)}`, 'window'));
  out.push(line(ended + 8, 'stdout', 'flushed 1 metric batch', 'late'));
  out.push(line(ended + 9, 'platform', `invocation.ended status=ok http_status=200`, 'explicit'));
  out.push(line(ended + 30, 'stdout', 'gc: swept 14 objects', 'none'));
  return out;
}

const complete = { state: 'complete', gaps: [], truncated_lines: 0, refused_lines: 0, lost_bytes: 0, late_lines: 0 };
const unknown = { ...complete, state: 'unknown' };

/** A cold request's page has a gap behind its progress, and a line that was cut. */
function partial(t0, lines) {
  const behind = lines.find((l) => l.body.startsWith('progress'));
  const gap = { file_id: '9c1185a5c5e9fc54', offset: behind.offset + 1, host: 'host-a', from: behind.ts, to: iso(t0 + 6222), bytes: 4_212, reason: 'pinned' };
  return { ...complete, state: 'partial', gaps: [gap], lost_bytes: 4_212, truncated_lines: 1, late_lines: 12 };
}

const advice = [
  { kind: 'layer-cache', title: 'Have the layers on the host before they are needed, or load them lazily', evidence: '5 of 6 layers (137.3 MB of 166.4 MB) were not on host-a; the start waited 4.23 s for pull and unpack.', saves_ms: 4230.2 },
  { kind: 'registry-bandwidth', title: 'Pull from a registry in the same region, over the private network', evidence: 'The registry registry.local:5000 in eu-central gave 137.3 MB in 3.79 s, 36.2 MB/s. At 100.0 MB/s, usual inside a region, the pull would have taken 1.37 s instead of 3.79 s.', saves_ms: 2418 },
  { kind: 'init', title: 'Load less before the port opens', evidence: 'From its start the process needed 1.59 s until its port accepted a connection, 26 % of this start. What it loads in that time (a model, a framework, connections) can be loaded on first use or beside the listener.', saves_ms: 1586.5 },
];

function invocation(t0, over = {}) {
  const v = { request_id: '', namespace: 'demo', function: 'webapp', version: 'v1', instance: 'webapp-v1-51c0aa', host: 'host-a', trigger: 'http', status: 'ok', http_status: 200, cold: false, cold_wait_ms: 0, memory_peak: 61_440_000, cpu_time_ms: 8.4, bytes_in: 312, bytes_out: 4096, wait: 1.2, run: 14.5, ...over };
  const { wait, run, ...rest } = v;
  const running = rest.status === 'running';
  return { ...rest, queued_at: iso(t0), started_at: iso(t0 + wait), ...(!running && { ended_at: iso(t0 + wait + run), duration_ms: run, total_ms: wait + run }) };
}

const born = Date.now();
const coldAt = born - 95_000.377;
const cold = { request_id: ids.cold, function: 'inference', version: 'v3', instance: 'inference-v3-7d9f4c', trigger: 'event', cold: true, cold_wait_ms: 6130, wait: 6138, run: 148.3, memory_peak: 301_989_888, cpu_time_ms: 1710 };

const all = [];
for (let i = 0; i < 430; i++) {
  const t = born - 2000 - i * 3100;
  const kind = random();
  if (kind < 0.08) all.push(invocation(t, { ...cold, request_id: `${hex(8)}-${hex(4)}-4${hex(3)}-8${hex(3)}-${hex(12)}`, cold_wait_ms: 2000 + random() * 4000, wait: 6010, run: 60 + random() * 300 }));
  else if (kind < 0.14) all.push(invocation(t, { request_id: `${hex(8)}-${hex(4)}-4${hex(3)}-8${hex(3)}-${hex(12)}`, status: ['error', 'timeout', 'oom', 'cancelled'][Math.floor(random() * 4)], http_status: 500, run: 30 + random() * 900, error: 'handler failed' }));
  else all.push(invocation(t, { request_id: `${hex(8)}-${hex(4)}-4${hex(3)}-8${hex(3)}-${hex(12)}`, function: random() < 0.6 ? 'webapp' : 'transcode', run: 5 + random() * 400 }));
}
all.unshift(invocation(born - 900, { request_id: hex(32), status: 'running', http_status: undefined }));
all.splice(4, 0, invocation(coldAt, cold));
all.splice(2, 0, invocation(born - 6000, { request_id: ids.boom, status: 'error', http_status: 500, error: 'handler answered 500: division by zero', usage_shared: true }));
all.sort((a, b) => (a.queued_at < b.queued_at ? 1 : -1));

const coldStart = startOf(coldAt, ids.cold);

function page(id) {
  const v = all.find((r) => r.request_id === id);
  if (id === ids.many) {
    const t0 = born - 60_000;
    const lines = Array.from({ length: 5000 }, (_, i) => ({ ts: iso(t0 + 2 + i * 0.8), stream: i % 7 === 0 ? 'stderr' : 'stdout', body: `${i % 50 === 0 ? trace.join('\n') : `frame=${i} fps=29 q=28.0 size=${i * 12}kB time=00:00:${(i / 100).toFixed(2)} bitrate=1024.0kbits/s speed=1.02x`} n=${i + 1}`, attribution: 'window', request_id: id, file_id: 'ffffffffffffffff', offset: i * 100 }));
    const gap = { file_id: '', offset: 0, to: iso(t0 + 9_000_000), bytes: 0, reason: 'spool' };
    return { invocation: invocation(t0, { request_id: id, function: 'transcode', run: 4010 }), cold_start: null, lines, advice: [], lines_truncated: true, completeness: { ...complete, state: 'partial', gaps: [gap], refused_lines: 3 } };
  }
  if (!v) return null;
  const t0 = Date.parse(v.queued_at);
  if (id === ids.cold) {
    const lines = linesOf(coldAt, id, 6286.3);
    return { invocation: v, cold_start: coldStart, lines, advice, completeness: partial(coldAt, lines) };
  }
  const lines = [{ ts: iso(t0 + 3), stream: 'stdout', body: `10.0.3.7 - - "GET /orders/17 HTTP/1.1" 200 4096`, attribution: 'window', request_id: id, file_id: '1', offset: 0 }];
  if (v.status === 'error') trace.forEach((body, i) => lines.push({ ts: iso(t0 + 6 + i * 0.1), stream: 'stderr', body, attribution: 'window', request_id: id, file_id: '1', offset: 100 + i * 80 }));
  const completeness = v.status === 'ok' ? complete : unknown;
  return { invocation: v, cold_start: null, lines, advice: [], completeness, ...(id === ids.boom && { attempts: [{ ...v, status: 'timeout', duration_ms: 3000, started_at: iso(t0 - 3100) }] }) };
}

const row = (phase, p50, share) => ({ phase, count: 31, p50_ms: p50, p90_ms: p50 * 1.4, p95_ms: p50 * 1.6, p99_ms: p50 * 1.9, max_ms: p50 * 2, share });

function coldStarts() {
  return { count: 31, unfinished: 1, total: row('total', 4610, 1), other: row('other', 11, 0.004), phases: [row('queue', 24, 0.006), row('schedule', 8, 0.002), row('credentials', 84, 0.018), row('resolve', 66, 0.015), row('pull', 2890, 0.58), row('unpack', 390, 0.075), row('create', 66, 0.014), row('start', 42, 0.01), row('init', 1240, 0.276)], slowest: [], recent: [] };
}

function answer(url) {
  const q = url.searchParams;
  const id = /^\/api\/v1\/requests\/([^/]+)$/.exec(url.pathname)?.[1];
  if (id) return page(decodeURIComponent(id)) ?? { problem: 404, title: 'Not Found', detail: `no request ${id}` };
  if (url.pathname === '/api/v1/functions') return { functions: ['inference', 'transcode', 'webapp'].map((f) => ({ namespace: 'demo', function: f, invocations: 1, cold: 0, cold_ratio: 0, errors: 0, last_seen: iso(born) })) };
  if (url.pathname === '/api/v1/coldstarts') return coldStarts();
  if (url.pathname === '/api/v1/requests') {
    if (q.get('status') === 'oom' && q.get('cold')) return { problem: 503, title: 'Service Unavailable', detail: 'the engine is starting' };
    const found = all.filter((r) => (!q.get('function') || r.function === q.get('function')) && (!q.get('status') || r.status === q.get('status')) && (!q.get('cold') || String(r.cold) === q.get('cold')));
    const from = Number(q.get('cursor') ?? 0);
    const to = from + Number(q.get('limit') ?? 50);
    return { requests: found.slice(from, to), ...(to < found.length && { next_cursor: String(to) }) };
  }
  return { problem: 404, title: 'Not Found', detail: url.pathname };
}

const types = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };

/** Starts the server; port 0 picks one. */
export function startFixture(port = 0) {
  const server = createServer((req, res) => {
    const url = new URL(req.url ?? '/', 'http://localhost');
    if (url.pathname.startsWith('/api/')) {
      const { problem, ...body } = answer(url);
      res.writeHead(problem ?? 200, { 'Content-Type': problem ? 'application/problem+json' : 'application/json' });
      res.end(JSON.stringify(problem ? { status: problem, ...body } : body));
      return;
    }
    const path = join(dist, normalize(url.pathname));
    const file = extname(path) && existsSync(path) ? path : join(dist, 'index.html');
    res.writeHead(200, { 'Content-Type': types[extname(file)] ?? 'application/octet-stream', 'Content-Security-Policy': policy });
    res.end(readFileSync(file));
  });
  return new Promise((resolve) => {
    server.listen(port, '127.0.0.1', () => resolve({ url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() }));
  });
}

if (process.argv[1] === import.meta.filename) {
  const { url } = await startFixture(Number(process.env.PORT ?? 9481));
  console.log(`${url}/requests/${ids.cold}`);
}
