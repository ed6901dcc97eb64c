import { useHotkeys } from '@mantine/hooks';
import { useQuery } from '@tanstack/react-query';
import { useMemo, useRef, useState } from 'react';
import { Link, useNavigate, useParams } from 'react-router';
import { api, ApiError } from '../api/client';
import type { Page } from '../api/types';
import { Icon } from '../shell/Icon';
import { Failure, Message, Stale } from '../shell/Message';
import { useNow, useTitle } from '../shell/hooks';
import { lastList } from '../shell/place';
import { parseInstant, type Interval } from '../timeline/clock';
import { plan } from '../timeline/plan';
import { AdviceCards } from './AdviceCards';
import { Facts } from './Facts';
import { Lines, type LinesHandle } from './Lines';
import { Waterfall } from './Waterfall';
import styles from './RequestView.module.css';

/** How long after its end late lines of a request may still come in. */
const settleMS = 15_000;
/** How long after its end the account of its lines is waited for. */
const confirmMS = 180_000;
/** How long a request that is not there yet is looked for. */
const appearMS = 20_000;

/** The page of one request. */
export function RequestView() {
  const { id = '' } = useParams();
  useTitle(`Request ${id.slice(0, 8)}`);
  const [opened] = useState(Date.now);
  const query = useQuery({
    queryKey: ['request', id],
    queryFn: ({ signal }) => api.request(id, signal),
    refetchInterval: ({ state }) => {
      if (state.data) return again(state.data);
      return missing(state.error) && Date.now() - opened < appearMS && 2000;
    },
  });

  const now = useNow(query.data ? 0 : 1000);

  if (query.data) {
    return (
      <>
        {query.error ? <Stale error={query.error} retry={() => void query.refetch()} /> : null}
        {/* A new request is a new page: nothing of the last one's zoom, filter or selection stays. */}
        <Found key={id} page={query.data} />
      </>
    );
  }
  return (
    <div className={styles.empty}>
      {missing(query.error) ? (
        <Message title="No request with this ID" action={<Link to="/">All requests</Link>}>
          <p>
            <code>{id}</code>
          </p>
          {now - opened < appearMS
            ? 'What was just handled takes up to two seconds to get here: looking again.'
            : 'It may be older than the store keeps, belong to another tenant, or be mistyped.'}
        </Message>
      ) : query.error ? (
        <Failure error={query.error} retry={() => void query.refetch()} />
      ) : (
        <span className="hide" role="status">
          Loading
        </span>
      )}
    </div>
  );
}

function missing(error: Error | null): boolean {
  return error instanceof ApiError && error.status === 404;
}

/** In how many milliseconds the page may say more than now; false if it will not. */
function again({ invocation, completeness, lines }: Page): number | false {
  if (invocation.status === 'unknown') {
    const last = parseInstant(lines.at(-1)?.ts); // what is told of it may come behind its lines
    return last !== undefined && Date.now() - last < settleMS && 2000;
  }
  const ended = parseInstant(invocation.ended_at);
  if (ended === undefined) return invocation.status === 'running' && 2000;
  const since = Date.now() - ended;
  if (since < settleMS) return 2000;
  return completeness.state === 'unknown' && since < confirmMS && 10_000;
}

function Found({ page }: { page: Page }) {
  const running = page.invocation.status === 'running';
  const now = useNow(running ? 1000 : 0);
  const layout = useMemo(() => plan(page, now), [page, now]);
  const [zoom, setZoom] = useState<Interval>();
  const [selected, setSelected] = useState<number>();
  const lines = useRef<LinesHandle>(null);
  const navigate = useNavigate();

  useHotkeys([
    ['/', () => lines.current?.focusFilter()],
    ['j', () => lines.current?.move(1)],
    ['k', () => lines.current?.move(-1)],
    ['g', () => lines.current?.move(-Infinity)],
    ['shift+g', () => lines.current?.move(Infinity)],
    ['Enter', () => lines.current?.toggle(), { preventDefault: false }],
    ['0', () => setZoom(undefined)],
    [
      'Escape',
      () => {
        if (zoom) setZoom(undefined);
        else if (selected !== undefined) setSelected(undefined);
        else if (!document.querySelector('[role=dialog]')) void navigate(lastList.url);
      },
    ],
  ]);

  return (
    <div className={styles.page}>
      <Link to={lastList.url} className={styles.back}>
        <Icon name="back" size={15} /> Requests
      </Link>
      <Facts page={page} now={now} />
      <Waterfall
        plan={layout}
        lines={page.lines}
        gaps={page.completeness.gaps}
        failed={['error', 'timeout', 'oom'].includes(page.invocation.status)}
        zoom={zoom}
        setZoom={setZoom}
        selected={selected}
        onLine={(i) => lines.current?.show(i)}
      />
      <AdviceCards advice={page.advice} />
      <Lines ref={lines} lines={page.lines} gaps={page.completeness.gaps} plan={layout} truncated={page.lines_truncated ?? false} selected={selected} setSelected={setSelected} />
    </div>
  );
}
