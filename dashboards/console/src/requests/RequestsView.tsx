import { Button, SegmentedControl, Select, Skeleton, Switch, TextInput } from '@mantine/core';
import { useHotkeys } from '@mantine/hooks';
import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { useEffect, useMemo, useRef, useState } from 'react';
import { useNavigate, useSearchParams } from 'react-router';
import { api } from '../api/client';
import type { Status } from '../api/types';
import { Icon } from '../shell/Icon';
import { Failure, Message, Stale } from '../shell/Message';
import { useNow, useTitle } from '../shell/hooks';
import { lastList } from '../shell/place';
import { narrows, readFilters, statuses, writeFilters, type Filters, type Range } from './filters';
import { RequestList, type RequestListHandle } from './RequestList';
import { StartsStrip } from './StartsStrip';
import styles from './RequestsView.module.css';

const pageSize = 100;
const refreshMS = 5000;

const rangeNames: Record<Range, string> = { '15m': '15 min', '1h': '1 h', '24h': '24 h' };

/** The log module: requests newest first, narrowed by what the URL says. */
export function RequestsView() {
  useTitle('Requests');
  const [params, setParams] = useSearchParams();
  const filters = useMemo(() => readFilters(params), [params]);
  useEffect(() => {
    lastList.url = params.size > 0 ? `/?${params}` : '/';
  }, [params]);
  const change = (some: Partial<Filters>) => setParams(writeFilters({ ...filters, ...some }), { replace: true });

  const query = useRequests(filters);
  const requests = useMemo(() => {
    // New requests push older ones onto the next page while pages are read: show none twice.
    const seen = new Set<string>();
    return (query.data?.pages ?? [])
      .flatMap((p) => p.requests)
      .filter((r) => {
        const key = `${r.request_id} ${r.instance} ${r.started_at}`;
        return !seen.has(key) && seen.add(key);
      });
  }, [query.data]);
  const now = useNow(10_000);

  const list = useRef<RequestListHandle>(null);
  const search = useRef<HTMLInputElement>(null);
  useHotkeys([
    ['/', () => search.current?.focus()],
    ['j', () => list.current?.move(1)],
    ['k', () => list.current?.move(-1)],
    ['ArrowDown', () => list.current?.move(1)],
    ['ArrowUp', () => list.current?.move(-1)],
    ['g', () => list.current?.move(-Infinity)],
    ['shift+g', () => list.current?.move(Infinity)],
    ['Enter', () => list.current?.open(), { preventDefault: false }],
    ['Escape', () => list.current?.clear()],
    ['c', () => change({ cold: !filters.cold })],
  ]);

  return (
    <>
      <h1 className="hide">Requests</h1>
      <StartsStrip filters={filters} />
      <section className={`card ${styles.panel}`} aria-label="Requests">
        <FilterBar filters={filters} change={change} search={search} />
        {query.error && query.data ? <Stale error={query.error} retry={() => void query.refetch()} /> : null}
        {query.isPending ? (
          <Waiting />
        ) : query.error && !query.data ? (
          <Failure error={query.error} retry={() => void query.refetch()} />
        ) : requests.length === 0 ? (
          <Nothing filters={filters} change={change} />
        ) : (
          <RequestList
            ref={list}
            requests={requests}
            now={now}
            more={query.hasNextPage}
            loadingMore={query.isFetchingNextPage}
            loadMore={() => void query.fetchNextPage()}
          />
        )}
      </section>
    </>
  );
}

function useRequests(f: Filters) {
  return useInfiniteQuery({
    queryKey: ['requests', f.namespace, f.function, f.status, f.cold, f.range],
    queryFn: ({ pageParam, signal }) =>
      api.requests(
        {
          namespace: f.namespace,
          function: f.function,
          status: f.status,
          cold: f.cold || undefined,
          since: f.range,
          limit: pageSize,
          cursor: pageParam,
        },
        signal,
      ),
    initialPageParam: '',
    getNextPageParam: (last) => last.next_cursor || undefined,
    // A refresh reads every page that is open, so the more there are the rarer it gets.
    refetchInterval: (q) => f.live && refreshMS * Math.max(1, q.state.data?.pages.length ?? 1),
    placeholderData: (previous) => previous,
  });
}

interface FilterBarProps {
  filters: Filters;
  change: (some: Partial<Filters>) => void;
  search: React.RefObject<HTMLInputElement | null>;
}

function FilterBar({ filters, change, search }: FilterBarProps) {
  const functions = useQuery({ queryKey: ['functions'], queryFn: ({ signal }) => api.functions(signal), staleTime: 30_000 });
  const chosen = filters.function && `${filters.namespace}/${filters.function}`;
  const options = useMemo(() => {
    const names = new Set((functions.data?.functions ?? []).map((f) => `${f.namespace}/${f.function}`));
    if (chosen) names.add(chosen);
    return [...names].toSorted().map((value) => ({ value, label: value.startsWith('/') ? value.slice(1) : value }));
  }, [functions.data, chosen]);

  return (
    <div className={styles.bar} role="search">
      <IDSearch input={search} />
      <Select
        className={styles.function}
        aria-label="Function"
        placeholder="All functions"
        size="sm"
        clearable
        searchable={options.length > 8}
        data={options}
        value={chosen || null}
        onChange={(value) => {
          const slash = value?.lastIndexOf('/') ?? -1;
          change(value ? { namespace: value.slice(0, slash), function: value.slice(slash + 1) } : { namespace: '', function: '' });
        }}
        nothingFoundMessage="No function of that name"
      />
      <Select
        className={styles.status}
        aria-label="Status"
        placeholder="Any status"
        size="sm"
        clearable
        data={[...statuses]}
        value={filters.status || null}
        onChange={(value) => change({ status: (value ?? '') as Status | '' })}
      />
      <SegmentedControl
        className={styles.range}
        aria-label="Time range"
        size="sm"
        data={Object.entries(rangeNames).map(([value, label]) => ({ value, label }))}
        value={filters.range}
        onChange={(value) => change({ range: value as Range })}
      />
      <span className={styles.switches}>
        <Switch size="sm" label="Cold only" checked={filters.cold} onChange={(e) => change({ cold: e.currentTarget.checked })} />
        <Switch size="sm" label="Live" checked={filters.live} onChange={(e) => change({ live: e.currentTarget.checked })} />
      </span>
    </div>
  );
}

function IDSearch({ input }: { input: React.RefObject<HTMLInputElement | null> }) {
  const navigate = useNavigate();
  const [text, setText] = useState('');
  return (
    <form
      className={styles.search}
      onSubmit={(e) => {
        e.preventDefault();
        const id = text.trim();
        if (id) void navigate(`/requests/${encodeURIComponent(id)}`);
      }}
    >
      <TextInput
        ref={input}
        aria-label="Request ID"
        placeholder="Open a request by its ID"
        size="sm"
        value={text}
        onChange={(e) => setText(e.currentTarget.value)}
        onKeyDown={(e) => {
          if (e.key === 'Escape') e.currentTarget.blur();
        }}
        leftSection={<Icon name="search" size={16} />}
        rightSection={<kbd className={styles.kbd}>/</kbd>}
        spellCheck={false}
        autoComplete="off"
      />
    </form>
  );
}

function Nothing({ filters, change }: { filters: Filters; change: (some: Partial<Filters>) => void }) {
  const longer = filters.range !== '24h';
  return (
    <Message
      title={narrows(filters) ? 'No request matches' : `No request in the last ${rangeNames[filters.range]}`}
      action={
        <span className={styles.actions}>
          {narrows(filters) ? (
            <Button variant="default" size="xs" onClick={() => change({ namespace: '', function: '', status: '', cold: false })}>
              Clear filters
            </Button>
          ) : null}
          {longer ? (
            <Button variant="default" size="xs" onClick={() => change({ range: '24h' })}>
              Look at the last 24 h
            </Button>
          ) : null}
        </span>
      }
    >
      {narrows(filters) ? (
        'Requests appear here within two seconds of being handled.'
      ) : (
        <>
          Call a function whose host runs a collector, or start <code>coldscope demo</code> to see real cold starts on this machine.
        </>
      )}
    </Message>
  );
}

function Waiting() {
  // Nothing for a moment, so that a quick answer doesn't flash.
  const [late, setLate] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setLate(true), 150);
    return () => clearTimeout(timer);
  }, []);
  return (
    <div className={styles.waiting} role="status" aria-label="Loading">
      {late ? Array.from({ length: 14 }, (_, i) => <Skeleton key={i} height={14} mt={18} radius="sm" width={`${96 - ((i * 37) % 23)}%`} />) : null}
    </div>
  );
}
