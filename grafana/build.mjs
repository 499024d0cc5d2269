// Writes the dashboards: node build.mjs [FOLDER], by default grafana/dashboards/.
// They are committed, since Grafana is given them as files; t/60-grafana.t holds
// them against what is generated here.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const here = fileURLToPath(new URL('.', import.meta.url));
const target = process.argv[2] ?? join(here, 'dashboards');
const scratch = mkdtempSync(join(tmpdir(), 'track-grafana-'));

try {
  const outfile = join(scratch, 'dashboards.cjs');
  await build({
    absWorkingDir: here,
    entryPoints: ['src/dashboards.ts'],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    logLevel: 'warning',
  });

  const { dashboards } = (await import(pathToFileURL(outfile))).default;

  mkdirSync(target, { recursive: true });
  for (const dashboard of dashboards()) {
    writeFileSync(join(target, `${dashboard.uid}.json`), `${JSON.stringify(dashboard, null, 2)}\n`);
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
