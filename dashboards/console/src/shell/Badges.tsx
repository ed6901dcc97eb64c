import type { Invocation } from '../api/types';
import { Icon } from './Icon';
import styles from './Badges.module.css';

/** How the invocation ended, in its colour and in words. */
export function StatusBadge({ invocation }: { invocation: Invocation }) {
  const { status, http_status: http } = invocation;
  return (
    <span className={styles.status} data-status={status}>
      <i aria-hidden="true" />
      {status}
      {http ? <span className={styles.http}>{http}</span> : null}
    </span>
  );
}

export function ColdBadge() {
  return (
    <span className={styles.cold} title="The request waited for its instance's start">
      <Icon name="snow" size={13} />
      cold
    </span>
  );
}
