import { Chip, TextInput } from '@mantine/core';
import { useWindowVirtualizer } from '@tanstack/react-virtual';
import { useDeferredValue, useEffect, useImperativeHandle, useLayoutEffect, useMemo, useRef, useState, type Ref } from 'react';
import { useSearchParams } from 'react-router';
import type { Gap, Line, Stream } from '../api/types';
import { Icon } from '../shell/Icon';
import { useNarrow } from '../shell/useNarrow';
import { searchPattern } from '../text/visible';
import { placeGaps } from '../timeline/gaps';
import type { Plan } from '../timeline/plan';
import { GapRow } from './GapRow';
import { LineRow } from './LineRow';
import styles from './Lines.module.css';

const streams: Stream[] = ['stdout', 'stderr', 'platform'];

/** What the keyboard and the waterfall do with the lines. */
export interface LinesHandle {
  focusFilter: () => void;
  /** Moves the selection by so many lines; an infinity goes to the end. */
  move: (by: number) => void;
  /** Opens or closes the selected line's details. */
  toggle: () => void;
  /** Selects a line and scrolls to it, whatever the filter hides. */
  show: (index: number) => void;
}

interface Props {
  lines: Line[];
  gaps: Gap[];
  plan: Plan;
  truncated: boolean;
  selected: number | undefined;
  setSelected: (index: number | undefined) => void;
  ref: Ref<LinesHandle>;
}

/** All that was printed for the request, streams merged in the order of time. */
export function Lines({ lines, gaps, plan, truncated, selected, setSelected, ref }: Props) {
  const filter = useLineFilter();
  const text = useDeferredValue(filter.text);
  const search = useMemo(() => searchPattern(text), [text]);
  const shown = useMemo(() => {
    const needle = text.trim().toLowerCase();
    return lines.flatMap((l, i) => (filter.hidden.has(l.stream) || (needle && !l.body.toLowerCase().includes(needle)) ? [] : [i]));
  }, [lines, filter.hidden, text]);
  // What the list shows: lines by their index, and gaps between them unless a word is looked for.
  const rows = useMemo<(number | Gap)[]>(() => {
    if (gaps.length === 0 || text.trim()) return shown;
    const places = placeGaps(lines, gaps);
    const out: (number | Gap)[] = [];
    let next = 0;
    for (const i of [...shown, lines.length]) {
      for (; next <= i; next++) out.push(...(places.get(next) ?? []));
      if (i < lines.length) out.push(i);
    }
    return out;
  }, [lines, gaps, shown, text]);
  const rowOf = useMemo(() => new Map(rows.map((r, i) => [r, i])), [rows]);
  const [open, setOpen] = useState<ReadonlySet<number>>(new Set());
  const toggle = (i: number) => {
    const next = new Set(open);
    if (!next.delete(i)) next.add(i);
    setOpen(next);
    setSelected(i);
  };

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
    count: rows.length,
    estimateSize: () => (narrow ? 48 : 23),
    overscan: 20,
    scrollMargin: top,
    scrollPaddingStart: 150,
    scrollPaddingEnd: 40,
    getItemKey: (i) => (typeof rows[i] === 'number' ? rows[i] : `gap ${i}`),
  });

  // A line that the filter hides can be scrolled to only after the filter is gone.
  const wanted = useRef<number>(undefined);
  useEffect(() => {
    if (wanted.current === undefined) return;
    const at = rowOf.get(wanted.current);
    if (at === undefined) return;
    wanted.current = undefined;
    virtual.scrollToIndex(at, { align: 'center' });
  });

  const input = useRef<HTMLInputElement>(null);
  useImperativeHandle(
    ref,
    () => ({
      focusFilter: () => {
        input.current?.scrollIntoView({ block: 'nearest' });
        input.current?.focus();
      },
      move: (by) => {
        const at = selected === undefined ? -1 : shown.indexOf(selected);
        const to = Math.max(0, Math.min(shown.length - 1, at < 0 && Number.isFinite(by) ? 0 : at + by));
        if (shown[to] === undefined) return;
        setSelected(shown[to]);
        virtual.scrollToIndex(rowOf.get(shown[to]) ?? to, { align: 'auto' });
      },
      toggle: () => {
        if (selected !== undefined && !(document.activeElement instanceof HTMLButtonElement)) toggle(selected);
      },
      show: (i) => {
        const line = lines[i];
        if (!line) return;
        if (!shown.includes(i)) filter.clear();
        setSelected(i);
        wanted.current = i;
      },
    }),
  );

  return (
    <section className={`card ${styles.card}`} aria-labelledby="lines">
      <div className={styles.bar}>
        <h2 id="lines" className="section">
          Lines
        </h2>
        <span className={`${styles.count} num`} role="status">
          {shown.length === lines.length ? lines.length : `${shown.length} of ${lines.length}`}
        </span>
        <span className={styles.streams}>
          {streams.map((stream) => (
            <Chip
              key={stream}
              size="xs"
              variant="outline"
              checked={!filter.hidden.has(stream)}
              disabled={!lines.some((l) => l.stream === stream)}
              onChange={() => filter.toggleStream(stream)}
            >
              {stream}
            </Chip>
          ))}
        </span>
        <TextInput
          ref={input}
          className={styles.text}
          size="xs"
          aria-label="Show only lines that contain"
          placeholder="Show only lines that contain… ( / )"
          leftSection={<Icon name="search" size={14} />}
          value={filter.text}
          onChange={(e) => filter.setText(e.currentTarget.value)}
          onKeyDown={(e) => {
            if (e.key !== 'Escape') return;
            if (filter.text) filter.setText('');
            else e.currentTarget.blur();
          }}
          spellCheck={false}
          autoComplete="off"
        />
      </div>
      {shown.length === 0 ? (
        <p className={styles.none}>
          {lines.length === 0 ? (
            'The container printed nothing for this request.'
          ) : (
            <>
              No line matches.{' '}
              <button type="button" onClick={filter.clear}>
                Show all {lines.length}
              </button>
            </>
          )}
        </p>
      ) : null}
      <div ref={box} className={styles.rows} role="list" aria-label="Log lines" style={{ height: virtual.getTotalSize() }}>
        {virtual.getVirtualItems().map((item) => {
          const row = rows[item.index];
          const line = typeof row === 'number' ? lines[row] : undefined;
          if (row === undefined || (typeof row === 'number' && !line)) return null;
          return (
            <div key={item.key} ref={virtual.measureElement} data-index={item.index} role="listitem" className={styles.slot} style={{ transform: `translateY(${item.start - top}px)` }}>
              {typeof row !== 'number' ? (
                <GapRow gap={row} plan={plan} />
              ) : line ? (
                <LineRow line={line} index={row} at={plan.instants[row] ?? Number.NaN} plan={plan} search={search} selected={selected === row} open={open.has(row)} toggle={toggle} />
              ) : null}
            </div>
          );
        })}
      </div>
      {truncated ? <p className={styles.none}>There are more lines than one page holds. These are the first {lines.length}.</p> : null}
    </section>
  );
}

/** The filter, kept in the URL so that a link shows the same lines. */
function useLineFilter() {
  const [params, setParams] = useSearchParams();
  const [text, setText] = useState(params.get('q') ?? '');
  const hide = params.get('hide') ?? '';
  const hidden = useMemo<ReadonlySet<string>>(() => new Set(hide.split(',').filter(Boolean)), [hide]);

  // Browsers limit how often the URL may change: not with every key.
  useEffect(() => {
    const timer = setTimeout(() => {
      setParams(
        (old) => {
          if ((old.get('q') ?? '') === text) return old;
          const next = new URLSearchParams(old);
          if (text) next.set('q', text);
          else next.delete('q');
          return next;
        },
        { replace: true, preventScrollReset: true },
      );
    }, 250);
    return () => clearTimeout(timer);
    // oxlint-disable-next-line react-hooks/exhaustive-deps -- setParams is new with every URL: only the text counts
  }, [text]);

  const setHidden = (streams: string[]) =>
    setParams(
      (old) => {
        const next = new URLSearchParams(old);
        if (streams.length > 0) next.set('hide', streams.join(','));
        else next.delete('hide');
        return next;
      },
      { replace: true, preventScrollReset: true },
    );
  return {
    text,
    setText,
    hidden,
    toggleStream: (stream: Stream) => setHidden(hidden.has(stream) ? [...hidden].filter((s) => s !== stream) : [...hidden, stream]),
    clear: () => {
      setText('');
      setHidden([]);
    },
  };
}
