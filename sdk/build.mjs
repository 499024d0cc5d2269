// Builds sdk/dist/: track.js (one script for a page, defines window.trackEvent)
// and index.js (ES module for bundlers).  Run by `npm run build` in sdk/, which
// adds the declarations with tsc.

import { readFileSync } from 'node:fs';
import { build } from 'esbuild';

const here = new URL('.', import.meta.url);
const { version } = JSON.parse(readFileSync(new URL('package.json', here), 'utf8'));

const common = {
  absWorkingDir: here.pathname,
  bundle: true,
  target: 'es2020',
  sourcemap: true,
  logLevel: 'warning',
  define: { SDK_VERSION: JSON.stringify(version) },
};

await build({
  ...common,
  entryPoints: ['src/script.ts'],
  outfile: 'dist/track.js',
  format: 'iife',
  minify: true,
});

await build({
  ...common,
  entryPoints: ['src/index.ts'],
  outfile: 'dist/index.js',
  format: 'esm',
});
