// All dashboards, for build.mjs to write.

import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard';
import { overview } from './overview.js';

export const dashboards = (): Dashboard[] => [overview()];
