// Queries of Grafana's ClickHouse plugin, which the Foundation SDK does not know,
// and the conditions that all of them share.

import type { Builder, Dataquery } from '@grafana/grafana-foundation-sdk/cog';
import type { DataSourceRef } from '@grafana/grafana-foundation-sdk/common';

export const pluginId = 'grafana-clickhouse-datasource';

/** Whose form of queries this is. */
const PLUGIN_VERSION = '4.20.0';

/** The data source that the dashboard's variable "ds" names. */
export const source: DataSourceRef = { type: pluginId, uid: '${ds}' };

/** How the plugin is to hand the rows over; its own numbers. */
export enum Format {
  TimeSeries = 0,
  Table = 1,
}

/**
 * Rows of the chosen time range.  event_date is the partition: without a condition
 * on it every day would be opened.  $__dateFilter is not used for that: it writes
 * the date as it is where Grafana runs, and event_date is UTC's.
 */
export const inRange = `event_date BETWEEN toDate($__fromTime, 'UTC') AND toDate($__toTime, 'UTC')
  AND $__timeFilter_ms(event_time)`;

/** Whom an event is counted for: the most that is known about it; '' if nothing. */
export const visitor = "multiIf(user_id != '', user_id, anonymous_id != '', anonymous_id, session_id)";

/** A panel's target. */
export function query(format: Format, rawSql: string): Builder<Dataquery> {
  const target = {
    refId: 'A',
    datasource: source,
    pluginVersion: PLUGIN_VERSION,
    editorType: 'sql',
    queryType: format === Format.TimeSeries ? 'timeseries' : 'table',
    format,
    rawSql: rawSql.trim(),
  };

  return { build: () => target as unknown as Dataquery };
}
