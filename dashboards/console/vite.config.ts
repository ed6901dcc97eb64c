import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { defineConfig, type Plugin } from 'vite';

const dist = join(import.meta.dirname, 'dist');

// The committed placeholder page stays in dist, because go:embed needs a file
// there when the console was never built; all else of an earlier build goes.
function keepPlaceholder(): Plugin {
  return {
    name: 'keep-placeholder',
    apply: 'build',
    buildStart() {
      for (const name of readdirSync(dist)) {
        if (name !== 'placeholder.html') rmSync(join(dist, name), { recursive: true });
      }
    },
  };
}

// The server hands out these .gz files as they are, so it compresses nothing itself.
function precompress(): Plugin {
  return {
    name: 'precompress',
    apply: 'build',
    closeBundle() {
      for (const entry of readdirSync(dist, { recursive: true, withFileTypes: true })) {
        if (!entry.isFile() || !/\.(js|css|html|svg)$/.test(entry.name) || entry.name === 'placeholder.html') continue;
        const path = join(entry.parentPath, entry.name);
        const plain = readFileSync(path);
        const packed = gzipSync(plain, { level: 9 });
        if (packed.length < plain.length * 0.9) writeFileSync(path + '.gz', packed);
      }
    },
  };
}

export default defineConfig({
  plugins: [keepPlaceholder(), precompress()],
  esbuild: { jsx: 'automatic', legalComments: 'none' },
  build: {
    target: 'es2022',
    emptyOutDir: false,
    assetsInlineLimit: 0, // the content security policy allows no data: scripts or styles
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    chunkSizeWarningLimit: 700,
    rollupOptions: {
      // The libraries mark files for React's server components, which mean nothing here.
      onwarn: (warning, warn) => warning.code !== 'MODULE_LEVEL_DIRECTIVE' && warn(warning),
      output: {
        // The libraries change rarely: browsers keep them over our releases.
        manualChunks: (id) => (id.includes('node_modules') && !id.endsWith('.css') ? 'vendor' : undefined),
      },
    },
  },
  server: { proxy: { '/api': process.env.COLDSCOPE_URL ?? 'http://127.0.0.1:9480' } },
});
