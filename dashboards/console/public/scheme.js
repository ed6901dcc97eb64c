// Sets the colour scheme before the first paint. A file of its own, since the
// content security policy allows no inline script.
(function () {
  var scheme = 'auto';
  try {
    scheme = localStorage.getItem('coldscope-color-scheme') || 'auto';
  } catch {
    // Storage is off: follow the system.
  }
  if (scheme !== 'dark' && scheme !== 'light') {
    scheme = matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
  }
  document.documentElement.setAttribute('data-mantine-color-scheme', scheme);
})();
