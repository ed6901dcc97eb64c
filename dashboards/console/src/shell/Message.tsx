import { Button } from '@mantine/core';
import type { ReactNode } from 'react';
import { ApiError } from '../api/client';
import { Icon } from './Icon';
import styles from './Message.module.css';

/** A state with nothing to show: what it is, and what to do about it. */
export function Message({ title, children, action, tone = 'calm' }: { title: string; children?: ReactNode; action?: ReactNode; tone?: 'calm' | 'error' }) {
  return (
    <div className={styles.message} data-tone={tone} role={tone === 'error' ? 'alert' : 'status'}>
      <span className={styles.icon}>
        <Icon name={tone === 'error' ? 'warn' : 'snow'} size={28} />
      </span>
      <p className={styles.title}>{title}</p>
      {children ? <div className={styles.text}>{children}</div> : null}
      {action ? <div className={styles.action}>{action}</div> : null}
    </div>
  );
}

/** An error of the API with the remedy that fits it. */
export function Failure({ error, retry }: { error: Error; retry: () => void }) {
  const { title, text } = remedy(error);
  return (
    <Message
      tone="error"
      title={title}
      action={
        <Button variant="default" size="xs" onClick={retry}>
          Try again
        </Button>
      }
    >
      {text}
    </Message>
  );
}

/** One line instead of a whole page: what is on the screen stays, but is old. */
export function Stale({ error, retry }: { error: Error; retry: () => void }) {
  return (
    <div className={styles.stale} role="alert">
      <Icon name="warn" size={16} />
      <span className="ellipsis">{remedy(error).title}. What you see may be old.</span>
      <button type="button" onClick={retry}>
        Try again
      </button>
    </div>
  );
}

function remedy(error: Error): { title: string; text: ReactNode } {
  if (!(error instanceof ApiError)) return { title: 'Something went wrong', text: error.message };
  if (error.status === 0) {
    return {
      title: 'The query service does not answer',
      text: (
        <>
          Is <code>coldscope serve</code> (or <code>coldscope query</code>) still running, and is this address still its own? {error.detail}
        </>
      ),
    };
  }
  const said = error.detail || error.title;
  if (error.status === 429 || error.status === 503) {
    return {
      title: 'The query service is up, but not ready',
      text: (
        <>
          {said}. Usually the engine is starting or gone: see <a href="/ready">/ready</a> and the service’s log.
        </>
      ),
    };
  }
  if (error.status === 401 || error.status === 403) return { title: 'You may not see this', text: said };
  if (error.status < 500) return { title: error.title, text: said };
  return { title: `The query service failed (${error.status})`, text: <>{said}. Its log says more.</> };
}
