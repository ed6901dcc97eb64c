import type { Advice } from '../api/types';
import { Icon } from '../shell/Icon';
import { duration } from '../text/format';
import styles from './AdviceCards.module.css';

/** What would have made this start faster, with the facts it rests on. */
export function AdviceCards({ advice }: { advice: Advice[] }) {
  if (advice.length === 0) return null;
  return (
    <section aria-labelledby="advice" className={styles.advice}>
      <h2 id="advice" className="section">
        What would have avoided the wait
      </h2>
      <ul className={styles.cards}>
        {advice.map((a) => (
          <li key={a.kind + a.title} className={`card ${styles.card}`} data-kind={a.kind}>
            <span className={styles.icon}>
              <Icon name="bulb" size={17} />
            </span>
            <h3>{a.title}</h3>
            {a.saves_ms > 0 ? (
              <span className={`${styles.saves} num`} title="At most, of this start">
                −{duration(a.saves_ms)}
              </span>
            ) : null}
            <p>{a.evidence}</p>
          </li>
        ))}
      </ul>
    </section>
  );
}
