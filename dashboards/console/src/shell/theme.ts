import { createTheme, localStorageColorSchemeManager, Modal, Select, Tooltip } from '@mantine/core';

/** The key is read by public/scheme.js too, before the first paint. */
export const schemeManager = localStorageColorSchemeManager({ key: 'coldscope-color-scheme' });

/** Only behaviour: colours, fonts and radii are CSS variables in global.css. */
export const theme = createTheme({
  cursorType: 'pointer',
  respectReducedMotion: true,
  components: {
    // The scroll lock would add a <style> element, which the content security policy forbids.
    Modal: Modal.extend({ defaultProps: { lockScroll: false, transitionProps: { duration: 100 } } }),
    Select: Select.extend({ defaultProps: { comboboxProps: { transitionProps: { duration: 0 } } } }),
    Tooltip: Tooltip.extend({ defaultProps: { openDelay: 250, transitionProps: { duration: 80 } } }),
  },
});
