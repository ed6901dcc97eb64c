import type { ReactNode } from 'react';
import { Link } from 'react-router';
import type { Invocation, Page } from '../api/types';
import { ColdBadge, StatusBadge } from '../shell/Badges';
import { ago, bytes, clock, day, duration, memory, percent, shortDigest } from '../text/format';
import { visible } from '../text/visible';
import { parseInstant } from '../timeline/clock';
import { useNarrow } from '../shell/useNarrow';
import { CompletenessBadge } from './CompletenessBadge';
import { Copy } from './Copy';
import styles from './Facts.module.css';

/** What is known of the request and of the instance that served it. */
export function Facts({ page: { invocation: v, cold_start: cold, attempts, completeness }, now }: { page: Page; now: number }) {
  const narrow = useNarrow(); // a phone has no room above the waterfall
  const began = parseInstant(v.queued_at) ?? parseInstant(v.started_at);
  const last = parseInstant(v.last_line_at);
  const total = v.total_ms ?? (began !== undefined && v.status === 'running' ? Math.max(0, now - began) : undefined);
  const estimated = v.usage_shared ? ', shared with other requests' : '';
  return (
    <section className={`card ${styles.facts}`} aria-label="Facts">
      <div className={styles.top}>
        <div className={styles.who}>
          <h1 className={styles.title}>
            {v.namespace ? <span className={styles.soft}>{v.namespace}/</span> : null}
            {v.function}
            {v.version ? <span className={styles.version}>{v.version}</span> : null}
          </h1>
          <div className={styles.badges}>
            <StatusBadge invocation={v} />
            {v.cold ? <ColdBadge /> : null}
            {v.status === 'running' && completeness.state === 'unknown' ? null : <CompletenessBadge completeness={completeness} />}
            <span className={styles.id}>
              <span className="mono ellipsis">{v.request_id}</span>
              <Copy value={v.request_id} what="request ID" />
            </span>
          </div>
        </div>
        <div className={styles.figures}>
          <Figure label="total" value={duration(total)} />
          {v.cold ? <Figure label="waited for the start" value={duration(v.cold_wait_ms)} tone="wait" /> : null}
          <Figure label="handler" value={v.status === 'running' ? 'running' : duration(v.duration_ms)} tone="handler" />
        </div>
      </div>
      {v.error ? <pre className={styles.error}>{visible(v.error).map((p) => p.text).join('')}</pre> : null}
      <details className={styles.details} open={!narrow}>
        <summary hidden={!narrow}>Instance, image, resources</summary>
        <dl className={styles.list}>
          <Fact name={v.status === 'unknown' ? 'First line' : 'Received'}>{began === undefined ? '–' : `${day(began)}, ${clock(began)}`}</Fact>
          <Fact name="Last line">{last === undefined ? undefined : `${day(last)}, ${clock(last)}`}</Fact>
          <Fact name="Trigger">{v.trigger}</Fact>
          <Fact name="Ended by">{v.closed_by ? "its instance's end; nobody has told how it ended" : undefined}</Fact>
          <Fact name="Known by">{v.status === 'unknown' ? 'its lines alone; nobody has told when it began or how it ended' : undefined}</Fact>
          <Fact name="Instance" copy={v.instance}>
            <span className="mono">{v.instance}</span>
          </Fact>
          <Fact name="Host">{v.host ?? cold?.host}</Fact>
          <Fact name="Memory, peak">
            {v.memory_peak === undefined ? undefined : `${memory(v.memory_peak)}${cold?.memory_limit ? ` of ${memory(cold.memory_limit)} (${percent(v.memory_peak / cold.memory_limit)})` : ''}${estimated}`}
          </Fact>
          <Fact name="CPU time">{v.cpu_time_ms === undefined ? undefined : `${duration(v.cpu_time_ms)}${estimated}`}</Fact>
          <Fact name="In, out">{v.bytes_in === undefined && v.bytes_out === undefined ? undefined : `${bytes(v.bytes_in)}, ${bytes(v.bytes_out)}`}</Fact>
          {cold ? (
            <>
              <Fact name="Image" copy={cold.image}>
                {cold.image ? <span className="mono">{cold.image}</span> : undefined}
              </Fact>
              <Fact name="Digest" copy={cold.digest}>
                {cold.digest ? (
                  <span className="mono" title={cold.digest}>
                    sha256:{shortDigest(cold.digest)}…
                  </span>
                ) : undefined}
              </Fact>
              <Fact name="Image size">{cold.image_bytes === undefined ? undefined : bytes(cold.image_bytes)}</Fact>
              <Fact name="Registry">{cold.registry ? `${cold.registry}${cold.region ? ` (${cold.region})` : ''}` : undefined}</Fact>
              <Fact name="Initialization">{cold.initialization}</Fact>
              <Fact name="Started for">
                {cold.request_id === v.request_id ? 'this request' : cold.request_id ? <Link to={`/requests/${encodeURIComponent(cold.request_id)}`}>another request</Link> : undefined}
              </Fact>
              <Fact name="Why it started" sentence>
                {cold.cause ? [cold.cause.evidence, ...(cold.cause.besides ?? []).map((b) => b.evidence)].join(' ') : undefined}
              </Fact>
              <Fact name="Waited behind it">
                {cold.waiting?.count ? (
                  <>
                    {cold.waiting.count} {cold.waiting.count === 1 ? 'request' : 'requests'}:{' '}
                    {cold.waiting.request_ids.slice(0, 5).map((id, n) => (
                      <span key={id}>
                        {n > 0 ? ', ' : ''}
                        {id === v.request_id ? 'this one' : <Link to={`/requests/${encodeURIComponent(id)}`}>{id.slice(0, 8)}…</Link>}
                      </span>
                    ))}
                  </>
                ) : undefined}
              </Fact>
            </>
          ) : null}
        </dl>
      </details>
      {attempts?.length ? <Attempts attempts={attempts} now={now} /> : null}
    </section>
  );
}

function Figure({ label, value, tone }: { label: string; value: string; tone?: 'wait' | 'handler' }) {
  return (
    <div className={styles.figure} data-tone={tone}>
      <div className={`${styles.value} num`}>{value}</div>
      <div className={styles.label}>{label}</div>
    </div>
  );
}

function Fact({ name, children, copy, sentence }: { name: string; children: ReactNode; copy?: string | undefined; sentence?: boolean }) {
  if (children === undefined || children === '' || children === null) return null;
  return (
    <div className={styles.fact} data-sentence={sentence}>
      <dt>{name}</dt>
      <dd>
        <span className={sentence ? undefined : 'ellipsis'}>{children}</span>
        {copy ? <Copy value={copy} what={name.toLowerCase()} /> : null}
      </dd>
    </div>
  );
}

function Attempts({ attempts, now }: { attempts: Invocation[]; now: number }) {
  return (
    <div className={styles.attempts}>
      <b>
        {attempts[0]?.status === 'unknown' ? 'Other lines name this request, too' : `The platform sent this request ${attempts.length + 1} times`}; this is the newest attempt.
      </b>{' '}
      Earlier:
      <ul>
        {attempts.map((a) => (
          <li key={`${a.instance} ${a.started_at}`}>
            <StatusBadge invocation={a} /> {a.status === 'unknown' ? '' : `after ${duration(a.duration_ms)} `}on <span className="mono">{a.instance}</span>, {ago(parseInstant(a.started_at) ?? now, now)}
          </li>
        ))}
      </ul>
    </div>
  );
}
