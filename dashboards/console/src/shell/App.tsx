import { ActionIcon, Kbd, Modal, Tooltip, useComputedColorScheme, useMantineColorScheme } from '@mantine/core';
import { useDisclosure, useHotkeys } from '@mantine/hooks';
import { Link, Route, Routes } from 'react-router';
import { RequestView } from '../request/RequestView';
import { RequestsView } from '../requests/RequestsView';
import { Crashed } from './Crashed';
import { Icon } from './Icon';
import { Message } from './Message';
import { useScrollPlace } from './place';
import styles from './App.module.css';

export function App() {
  useScrollPlace();
  const [help, { open, close, toggle }] = useDisclosure(false);
  useHotkeys([
    ['shift+/', toggle], // the ? of an English keyboard
    ['?', toggle],
  ]);
  return (
    <>
      <a className={styles.skip} href="#main">
        Skip to content
      </a>
      <header className={styles.header}>
        <div className={styles.bar}>
          <Link to="/" className={styles.brand}>
            <svg viewBox="0 0 22 18" width="22" height="18" aria-hidden="true">
              <rect x="0" y="0" width="9" height="4.5" rx="2.25" fill="var(--cs-queue)" />
              <rect x="3" y="6.75" width="14" height="4.5" rx="2.25" fill="var(--cs-pull)" />
              <rect x="14" y="13.5" width="8" height="4.5" rx="2.25" fill="var(--cs-init)" />
            </svg>
            Coldscope
          </Link>
          <nav className={styles.nav} aria-label="Main">
            <Link to="/">Requests</Link>
          </nav>
          <span className={styles.grow} />
          <Tooltip label="Keyboard shortcuts (?)">
            <ActionIcon variant="subtle" color="gray" aria-label="Keyboard shortcuts" onClick={open}>
              <Icon name="keyboard" />
            </ActionIcon>
          </Tooltip>
          <SchemeToggle />
        </div>
      </header>
      <main id="main" className={styles.main} tabIndex={-1}>
        <Crashed>
          <Routes>
            <Route path="/" element={<RequestsView />} />
            <Route path="/requests/:id" element={<RequestView />} />
            <Route path="*" element={<Nowhere />} />
          </Routes>
        </Crashed>
      </main>
      <Modal opened={help} onClose={close} title="Keyboard" size="sm" centered>
        <dl className={styles.keys}>
          {shortcuts.map(([keys, what]) => (
            <div key={what}>
              <dt>
                {keys.map((k) => (
                  <Kbd key={k}>{k}</Kbd>
                ))}
              </dt>
              <dd>{what}</dd>
            </div>
          ))}
        </dl>
      </Modal>
    </>
  );
}

const shortcuts: [string[], string][] = [
  [['/'], 'search: a request ID in the list, text in the lines'],
  [['j', 'k'], 'next and previous request or line'],
  [['g', 'G'], 'first and last'],
  [['Enter'], 'open the request, show a line’s details'],
  [['Esc'], 'leave the search, reset the zoom, back to the list'],
  [['c'], 'list: cold starts only'],
  [['0'], 'request: show the whole waterfall'],
  [['?'], 'this help'],
];

function SchemeToggle() {
  const { setColorScheme, colorScheme } = useMantineColorScheme({ keepTransitions: true }); // dropping them would take a <style> element
  const shown = useComputedColorScheme('light', { getInitialValueInEffect: false });
  const system = matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
  const next = shown === 'dark' ? 'light' : 'dark';
  const label = `Switch to ${next}${colorScheme === 'auto' ? ' (now as the system)' : ''}`;
  return (
    <Tooltip label={label}>
      <ActionIcon
        variant="subtle"
        color="gray"
        aria-label={`Switch to ${next} colours`}
        // Back to what the system says is back to following it.
        onClick={() => setColorScheme(next === system ? 'auto' : next)}
      >
        <Icon name={shown === 'dark' ? 'sun' : 'moon'} />
      </ActionIcon>
    </Tooltip>
  );
}

function Nowhere() {
  return (
    <Message title="There is no such page" action={<Link to="/">All requests</Link>}>
      The link may come from another version of Coldscope.
    </Message>
  );
}
