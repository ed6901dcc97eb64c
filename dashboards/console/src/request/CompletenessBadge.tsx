import { Tooltip } from '@mantine/core';
import type { Completeness } from '../api/types';
import { Icon } from '../shell/Icon';
import { missing } from './completeness';
import styles from './CompletenessBadge.module.css';

function words(c: Completeness): string {
  if (c.state === 'complete') return 'all lines';
  if (c.state === 'unknown') return 'lines not yet confirmed';
  return c.gaps.length > 0 || c.refused_lines > 0 ? 'lines missing' : 'lines cut';
}

/** Whether all that was printed for the request is here; why is told on hover, focus and touch. */
export function CompletenessBadge({ completeness: c }: { completeness: Completeness }) {
  return (
    <Tooltip label={<Why completeness={c} />} multiline maw={340} position="bottom-start" events={{ hover: true, focus: true, touch: true }}>
      <button type="button" className={styles.badge} data-completeness={c.state}>
        {c.state === 'unknown' ? null : <Icon name={c.state === 'complete' ? 'check' : 'warn'} size={13} />}
        {words(c)}
      </button>
    </Tooltip>
  );
}

function Why({ completeness: c }: { completeness: Completeness }) {
  return (
    <span className={styles.why}>
      {c.state === 'complete' ? (
        <span>All that was printed for this request is here: a collector has accounted for its log files to past the request’s end.</span>
      ) : c.state === 'partial' ? (
        <>
          <span>Not all that was printed is here.</span>
          {missing(c).map((text) => (
            <span key={text}>{text}.</span>
          ))}
        </>
      ) : (
        <>
          <span>Nothing is known to be missing. It is not confirmed yet that all lines are here.</span>
          <span>A collector accounts for a log file each minute, and for the end of a request once the instance has printed again or has ended. Other senders of logs keep no account.</span>
        </>
      )}
      {c.late_lines > 0 ? <span>{c.late_lines.toLocaleString()} lines of its log files were read late; none of these is missing.</span> : null}
    </span>
  );
}
