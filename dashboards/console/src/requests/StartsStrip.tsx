import { useQuery } from '@tanstack/react-query';
import { api } from '../api/client';
import type { PhaseStats } from '../api/types';
import { phaseMeaning } from '../timeline/plan';
import { duration, percent } from '../text/format';
import type { Filters } from './filters';
import styles from './StartsStrip.module.css';

/** Where the cold starts' time went, over the list's function and time range. */
export function StartsStrip({ filters }: { filters: Filters }) {
  const { data } = useQuery({
    queryKey: ['coldstarts', filters.namespace, filters.function, filters.range],
    queryFn: ({ signal }) =>
      api.coldStarts(
        { namespace: filters.namespace, function: filters.function, since: filters.range },
        signal,
      ),
    refetchInterval: filters.live && 15_000,
    placeholderData: (previous) => previous,
  });
  const parts: PhaseStats[] = [...(data?.phases ?? []), ...(data?.other ? [data.other] : [])].filter((p) => p.share > 0.0005);
  return (
    // Its height is fixed, so that the list below doesn't jump when the figures come.
    <section className={`card ${styles.strip}`} aria-label="Cold starts in this time">
      <div className={styles.figures}>
        <Figure label="cold starts" value={data ? String(data.count) : ' '} />
        <Figure label="p50" value={data?.count ? duration(data.total.p50_ms) : '–'} />
        <Figure label="p99" value={data?.count ? duration(data.total.p99_ms) : '–'} />
        <Figure label="slowest" value={data?.count ? duration(data.total.max_ms) : '–'} />
      </div>
      <div className={styles.shares}>
        <div className={styles.caption}>
          <span>Where the starts’ time went</span>
          {data?.count === 0 ? <span className={styles.none}>no cold start in this time</span> : null}
        </div>
        <div className={styles.stack}>
          {parts.map((p) => (
            <i
              key={p.phase}
              style={{ flexGrow: p.share, background: `var(--cs-${p.phase})` }}
              title={`${p.phase} ${percent(p.share)}: ${phaseMeaning[p.phase] ?? ''}\np50 ${duration(p.p50_ms)}, p99 ${duration(p.p99_ms)}`}
            />
          ))}
        </div>
        <ul className={styles.legend}>
          {parts
            .toSorted((a, b) => b.share - a.share)
            .slice(0, 6)
            .map((p) => (
              <li key={p.phase}>
                <i style={{ background: `var(--cs-${p.phase})` }} />
                {p.phase} <b className="num">{percent(p.share)}</b>
              </li>
            ))}
        </ul>
      </div>
    </section>
  );
}

function Figure({ label, value }: { label: string; value: string }) {
  return (
    <div>
      <div className={`${styles.value} num`}>{value}</div>
      <div className={styles.label}>{label}</div>
    </div>
  );
}
