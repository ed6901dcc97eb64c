import { useEffect, useLayoutEffect, useRef } from 'react';
import { useLocation, useNavigationType } from 'react-router';

/** Where the list was left: its filters and the row that was opened from it. Lives as long as the tab's page. */
export const lastList = { url: '/', row: '' };

const scrolled = new Map<string, number>();

/** A view begins at its top; one that is returned to, and the list always, where it was left. */
export function useScrollPlace(): void {
  const { pathname, search } = useLocation();
  const how = useNavigationType();
  const shown = useRef<string>(undefined);

  useEffect(() => {
    const remember = () => scrolled.set(location.pathname + location.search, window.scrollY);
    window.addEventListener('scroll', remember, { passive: true });
    return () => window.removeEventListener('scroll', remember);
  }, []);

  useLayoutEffect(() => {
    const before = shown.current;
    shown.current = pathname;
    if (before === undefined || before === pathname) return; // the browser knows best on a reload; a filter moves nothing
    const back = how === 'POP' || pathname === '/';
    window.scrollTo(0, back ? (scrolled.get(pathname + search) ?? 0) : 0);
  }, [pathname, search, how]);
}
