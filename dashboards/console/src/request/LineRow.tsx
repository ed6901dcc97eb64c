import { useState } from 'react';
import { Link } from 'react-router';
import type { Line } from '../api/types';
import { bytes, offset } from '../text/format';
import { visible } from '../text/visible';
import type { Plan } from '../timeline/plan';
import { Copy } from './Copy';
import styles from './LineRow.module.css';

/** Longer bodies are cut on the screen until someone asks for all of them. */
const mostShown = 4000;

const evidence: Record<Line['attribution'], string> = {
  explicit: 'the line carries the request ID itself',
  window: 'exactly one request was open on the instance',
  init: 'printed while the instance started for this request',
  late: 'printed shortly after the request ended',
  ambiguous: 'several requests were open on the instance',
  none: 'from this instance and time; nothing says that it is this request’s',
};

interface Props {
  line: Line;
  index: number;
  /** Instant of the line, NaN if not known. */
  at: number;
  plan: Plan;
  search: RegExp | undefined;
  selected: boolean;
  open: boolean;
  toggle: (index: number) => void;
}

/** One line, as it was printed: text only, whitespace kept, what is hidden made visible. */
export function LineRow({ line, index, at, plan, search, selected, open, toggle }: Props) {
  const [all, setAll] = useState(false);
  const long = line.body.length > mostShown && !all;
  const pieces = visible(long ? line.body.slice(0, mostShown) : line.body, search);
  const time = offset(at - plan.origin, plan.whole.end - plan.origin);
  const during = plan.rows.findLast((r) => (r.name === 'handler' || r.name === 'init') && at >= r.interval.start && at <= r.interval.end);
  return (
    <div className={styles.line} data-line={index} data-stream={line.stream} data-selected={selected} data-during={during?.name} data-ours={line.attribution !== 'none' && line.attribution !== 'ambiguous'}>
      <button type="button" className={`${styles.time} num`} aria-expanded={open} aria-label={`Details of the line at ${time}`} onClick={() => toggle(index)}>
        {time}
      </button>
      <span className={styles.stream}>{line.stream}</span>
      <span className={styles.attribution} data-attribution={line.attribution} title={evidence[line.attribution]}>
        {line.attribution === 'none' ? 'unattributed' : line.attribution}
      </span>
      <pre className={styles.body}>
        {pieces.map((p, i) =>
          p.kind === 'text' ? (
            p.text
          ) : p.kind === 'match' ? (
            // oxlint-disable-next-line react/no-array-index-key -- pieces have no identity but their place
            <mark key={i}>{p.text}</mark>
          ) : (
            // oxlint-disable-next-line react/no-array-index-key -- as above
            <span key={i} className={styles.control} title="Control characters, written out">
              {p.text}
            </span>
          ),
        )}
        {long ? (
          <button type="button" className={styles.more} onClick={() => setAll(true)}>
            … show all {line.body.length.toLocaleString()} characters
          </button>
        ) : null}
        {line.truncated ? <span className={styles.cut}>… {bytes(line.truncated)} were cut off when the line was read</span> : null}
      </pre>
      {open ? <Details line={line} /> : null}
    </div>
  );
}

function Details({ line }: { line: Line }) {
  return (
    <dl className={styles.details}>
      <div>
        <dt>time</dt>
        <dd className="mono">{line.ts}</dd>
      </div>
      <div>
        <dt>attribution</dt>
        <dd>
          {line.attribution}: {evidence[line.attribution]}
        </dd>
      </div>
      {line.candidates?.length ? (
        <div>
          <dt>candidates</dt>
          <dd className="mono">
            {line.candidates.map((id) => (
              <Link key={id} to={`/requests/${encodeURIComponent(id)}`}>
                {id}
              </Link>
            ))}
          </dd>
        </div>
      ) : null}
      <div>
        <dt>file, offset</dt>
        <dd className="mono">
          {line.file_id}, {line.offset}
        </dd>
      </div>
      <div>
        <dt>text</dt>
        <dd>
          {line.body.length.toLocaleString()} characters <Copy value={line.body} what="the line" />
        </dd>
      </div>
    </dl>
  );
}
