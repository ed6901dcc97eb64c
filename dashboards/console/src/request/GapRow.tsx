import type { Gap } from '../api/types';
import { bytes, offset } from '../text/format';
import { parseInstant } from '../timeline/clock';
import type { Plan } from '../timeline/plan';
import { gapReason } from './completeness';
import styles from './GapRow.module.css';

/** Where lines are missing, in the place where they would be. */
export function GapRow({ gap, plan }: { gap: Gap; plan: Plan }) {
  const from = parseInstant(gap.from);
  return (
    <div className={styles.gap} data-gap={gap.offset}>
      <span className={`${styles.time} num`}>{from === undefined ? '' : offset(from - plan.origin, plan.whole.end - plan.origin)}</span>
      <span className={styles.what}>
        <b>{gap.bytes > 0 ? `${bytes(gap.bytes)} lost` : 'Lines lost'}</b>
        <span className={styles.why}>
          {gapReason[gap.reason]}
          {gap.host ? ` on ${gap.host}` : ''}
        </span>
      </span>
    </div>
  );
}
