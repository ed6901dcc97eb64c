import { useEffect, useState } from 'react';

/** The page's title, so that tabs and the history can be told apart. */
export function useTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} · Coldscope`;
  }, [title]);
}

/** Now, renewed every `everyMS` milliseconds; 0 stops it. */
export function useNow(everyMS: number): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    if (everyMS === 0) return;
    const timer = setInterval(() => setNow(Date.now()), everyMS);
    return () => clearInterval(timer);
  }, [everyMS]);
  return now;
}
