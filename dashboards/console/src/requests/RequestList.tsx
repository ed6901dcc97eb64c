import { Button } from '@mantine/core';
import { useWindowVirtualizer } from '@tanstack/react-virtual';
import { useEffect, useImperativeHandle, useLayoutEffect, useMemo, useRef, useState, type Ref } from 'react';
import { Link, useNavigate } from 'react-router';
import type { Invocation } from '../api/types';
import { ColdBadge, StatusBadge } from '../shell/Badges';
import { ago, clock, day, duration } from '../text/format';
import { parseInstant } from '../timeline/clock';
import { lastList } from '../shell/place';
import { useNarrow } from '../shell/useNarrow';
import styles from './RequestList.module.css';

/** What the keyboard does with the list. */
export interface RequestListHandle {
  /** Moves the selection by so many rows; an infinity goes to the end. */
  move: (by: number) => void;
  open: () => void;
  clear: () => void;
}

interface Props {
  requests: Invocation[];
  now: number;
  more: boolean;
  loadingMore: boolean;
  loadMore: () => void;
  ref: Ref<RequestListHandle>;
}

const rowID = (r: Invocation) => `${r.request_id} ${r.started_at}`;

/** The rows, of which only those near the window exist. */
export function RequestList({ requests, now, more, loadingMore, loadMore, ref }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  useLayoutEffect(() => {
    const measure = () => setTop(box.current ? box.current.getBoundingClientRect().top + window.scrollY : 0);
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(document.body);
    return () => observer.disconnect();
  }, []);
  const narrow = useNarrow();
  const virtual = useWindowVirtualizer({
    count: requests.length,
    estimateSize: () => (narrow ? 64 : 40),
    overscan: 12,
    scrollMargin: top,
    scrollPaddingStart: 100,
    scrollPaddingEnd: 24,
    getItemKey: (i) => {
      const r = requests[i];
      return r ? rowID(r) : i;
    },
  });
  useEffect(() => virtual.measure(), [narrow, virtual]);

  const navigate = useNavigate();
  // By ID and not by index: new requests come in above.
  const [selected, setSelected] = useState(lastList.row);
  useImperativeHandle(
    ref,
    () => ({
      move: (by) => {
        const at = requests.findIndex((r) => rowID(r) === selected);
        const to = Math.max(0, Math.min(requests.length - 1, at < 0 ? (by > 0 && Number.isFinite(by) ? 0 : by) : at + by));
        const request = requests[to];
        if (!request) return;
        setSelected(rowID(request));
        virtual.scrollToIndex(to, { align: 'auto' });
      },
      open: () => {
        const request = requests.find((r) => rowID(r) === selected);
        // A focused link or button keeps its own Enter.
        if (request && (document.activeElement === document.body || document.activeElement?.id === 'main')) {
          lastList.row = selected;
          void navigate(`/requests/${encodeURIComponent(request.request_id)}`);
        }
      },
      clear: () => {
        lastList.row = '';
        setSelected('');
      },
    }),
    [requests, selected, virtual, navigate],
  );

  const longest = useMemo(() => Math.max(1, ...requests.map((r) => r.total_ms ?? 0)), [requests]);
  return (
    <div className={styles.list} role="table" aria-rowcount={requests.length + 1} aria-label="Requests, newest first">
      <div className={styles.head} role="row">
        <span role="columnheader">Started</span>
        <span role="columnheader">Status</span>
        <span role="columnheader">Function</span>
        <span role="columnheader">Request</span>
        <span role="columnheader" className={styles.headDuration}>
          Duration
          <span className={styles.legend} aria-hidden="true">
            <i data-kind="wait" /> waited for a start <i data-kind="handler" /> handler
          </span>
        </span>
      </div>
      <div ref={box} role="rowgroup" className={styles.rows} style={{ height: virtual.getTotalSize() }}>
        {virtual.getVirtualItems().map((item) => {
          const request = requests[item.index];
          if (!request) return null;
          return (
            <Row
              key={item.key}
              request={request}
              index={item.index}
              now={now}
              longest={longest}
              selected={rowID(request) === selected}
              top={item.start - top}
              height={item.size}
            />
          );
        })}
      </div>
      <div className={styles.foot}>
        <span className="num">
          {requests.length} {requests.length === 1 ? 'request' : 'requests'}
          {more ? '' : ', all there is'}
        </span>
        {more ? (
          <Button variant="default" size="xs" loading={loadingMore} onClick={loadMore}>
            Older requests
          </Button>
        ) : null}
      </div>
    </div>
  );
}

interface RowProps {
  request: Invocation;
  index: number;
  now: number;
  longest: number;
  selected: boolean;
  top: number;
  height: number;
}

function Row({ request: r, index, now, longest, selected, top, height }: RowProps) {
  // The list's order is that of the starts, so that is the time it shows.
  const started = parseInstant(r.started_at) ?? now;
  const received = parseInstant(r.queued_at) ?? started;
  const running = r.status === 'running';
  const total = r.total_ms ?? (running ? Math.max(0, now - received) : null);
  const wait = Math.min(r.cold ? (r.cold_wait_ms ?? 0) : 0, total ?? 0);
  const handler = Math.min(r.duration_ms ?? Infinity, (total ?? 0) - wait);
  return (
    <Link
      to={`/requests/${encodeURIComponent(r.request_id)}`}
      className={styles.row}
      role="row"
      aria-rowindex={index + 2}
      aria-selected={selected}
      onClick={() => (lastList.row = rowID(r))}
      data-cold={r.cold}
      data-request={r.request_id}
      style={{ transform: `translateY(${top}px)`, height }}
    >
      <span role="cell" className={styles.time} title={`${day(started)}, ${ago(started, now)}; received ${clock(received)}`}>
        <span className="num">{clock(started)}</span>
      </span>
      <span role="cell" className={styles.state}>
        <StatusBadge invocation={r} />
      </span>
      <span role="cell" className={styles.fn}>
        <span className="ellipsis" title={`${r.namespace}/${r.function}`}>
          {r.namespace ? <span className={styles.soft}>{r.namespace}/</span> : null}
          {r.function}
        </span>
        {r.version ? <span className={styles.version}>{r.version}</span> : null}
      </span>
      <span role="cell" className={`${styles.id} mono ellipsis`} title={r.request_id}>
        {r.request_id}
      </span>
      <span role="cell" className={styles.mark}>
        {r.cold ? <ColdBadge /> : null}
      </span>
      <span role="cell" className={styles.duration}>
        <span className={styles.meter} aria-hidden="true">
          <i data-kind="wait" style={{ width: `${(100 * wait) / longest}%` }} />
          <i data-kind="queue" style={{ width: `${(100 * ((total ?? 0) - wait - handler)) / longest}%` }} />
          <i data-kind="handler" data-status={r.status} style={{ width: `${(100 * handler) / longest}%` }} />
        </span>
        <span className={`${styles.total} num`}>{duration(total)}</span>
      </span>
    </Link>
  );
}
