// evt-overview: what came in, from how many, of which kinds, and the latest of it.
// From the table events alone.

import * as bargauge from '@grafana/grafana-foundation-sdk/bargauge';
import * as common from '@grafana/grafana-foundation-sdk/common';
import { DashboardBuilder, DashboardCursorSync, DatasourceVariableBuilder, type Dashboard }
  from '@grafana/grafana-foundation-sdk/dashboard';
import * as stat from '@grafana/grafana-foundation-sdk/stat';
import * as table from '@grafana/grafana-foundation-sdk/table';
import * as timeseries from '@grafana/grafana-foundation-sdk/timeseries';
import { Format, inRange, pluginId, query, source, visitor } from './clickhouse.js';

/** Event types with a colour of their own; the others share one. */
const SHOWN_TYPES = 12;

const LAST_EVENTS = 100;

interface Figure {
  title: string;
  description: string;
  value: string;
  decimals?: number;
}

const users = `uniqCombined64If(${visitor}, ${visitor} != '')`;

const figures: Figure[] = [
  { title: 'Events', description: 'Events that happened in the time range.', value: 'count()' },
  {
    title: 'Users',
    description: 'Different users: by user_id, or anonymous_id where that is absent, or else session_id.'
      + ' Above some thousands an estimate, good to half a percent.',
    value: users,
  },
  {
    title: 'Sessions',
    description: 'Different session_ids. Above some thousands an estimate, good to half a percent.',
    value: "uniqCombined64If(session_id, session_id != '')",
  },
  {
    title: 'Events per user',
    description: 'Events of known users, divided by the number of these users.',
    value: `countIf(${visitor} != '') / nullIf(${users}, 0)`,
    decimals: 1,
  },
];

function figurePanel({ title, description, value, decimals = 0 }: Figure, column: number) {
  return new stat.PanelBuilder()
    .title(title)
    .description(description)
    .datasource(source)
    .gridPos({ x: 6 * column, y: 0, w: 6, h: 4 })
    .unit('short')
    .decimals(decimals)
    .noValue('–')
    .graphMode(common.BigValueGraphMode.None)
    .colorMode(common.BigValueColorMode.Value)
    .reduceOptions(new common.ReduceDataOptionsBuilder().calcs(['lastNotNull']))
    .withTarget(query(Format.Table, `
SELECT ${value} AS "${title}"
FROM events
WHERE ${inRange}`));
}

function byType() {
  return new timeseries.PanelBuilder()
    .title('Events by type')
    .description(`Events in each interval. The ${SHOWN_TYPES} most frequent types of the time range by name,`
      + ' all others together.')
    .datasource(source)
    .gridPos({ x: 0, y: 4, w: 16, h: 10 })
    .unit('short')
    .displayName('${__field.labels.type}')
    .maxDataPoints(150)
    .drawStyle(common.GraphDrawStyle.Bars)
    .fillOpacity(80)
    .lineWidth(0)
    .stacking(new common.StackingConfigBuilder().mode(common.StackingMode.Normal))
    .legend(new common.VizLegendOptionsBuilder()
      .displayMode(common.LegendDisplayMode.List)
      .placement(common.LegendPlacement.Bottom)
      .showLegend(true))
    .tooltip(new common.VizTooltipOptionsBuilder()
      .mode(common.TooltipDisplayMode.Multi)
      .sort(common.SortOrder.Descending))
    .withTarget(query(Format.TimeSeries, `
WITH frequent AS (
  SELECT event_type
  FROM events
  WHERE ${inRange}
  GROUP BY event_type
  ORDER BY count() DESC, event_type
  LIMIT ${SHOWN_TYPES}
)
SELECT $__timeInterval(event_time) AS time,
  if(event_type IN (SELECT event_type FROM frequent), toString(event_type), '(others)') AS type,
  count() AS events
FROM events
WHERE ${inRange}
GROUP BY time, type
ORDER BY time, type`));
}

function topEvents() {
  return new bargauge.PanelBuilder()
    .title('Top events')
    .description('The most frequent event types of the time range.')
    .datasource(source)
    .gridPos({ x: 16, y: 4, w: 8, h: 10 })
    .unit('short')
    .min(0)
    .orientation(common.VizOrientation.Horizontal)
    .displayMode(common.BarGaugeDisplayMode.Basic)
    .reduceOptions(new common.ReduceDataOptionsBuilder().values(true).calcs([]))
    .withTarget(query(Format.Table, `
SELECT toString(event_type) AS type, count() AS events
FROM events
WHERE ${inRange}
GROUP BY event_type
ORDER BY events DESC, type
LIMIT ${SHOWN_TYPES}`));
}

function lastEvents() {
  return new table.PanelBuilder()
    .title('Last events')
    .description(`The last ${LAST_EVENTS} events of the time range.`)
    .datasource(source)
    .gridPos({ x: 0, y: 14, w: 24, h: 12 })
    .filterable(true)
    .overrideByName('Time', [{ id: 'custom.width', value: 190 }, { id: 'unit', value: 'time:YYYY-MM-DD HH:mm:ss.SSS' }])
    .withTarget(query(Format.Table, `
SELECT event_time AS "Time",
  toString(event_type) AS "Event",
  ${visitor} AS "User",
  session_id AS "Session",
  JSONExtractString(context, 'page_url') AS "Page",
  ip AS "Address",
  toString(event_id) AS "Event id"
FROM events
WHERE ${inRange}
ORDER BY event_time DESC, kafka_partition, kafka_offset DESC
LIMIT ${LAST_EVENTS}`));
}

/** The dashboard, as Grafana's provisioning takes it. */
export function overview(): Dashboard {
  const builder = new DashboardBuilder('Events: overview')
    .uid('evt-overview')
    .description('What nginx-track brought in: how much, from how many, of which kinds.')
    .tags(['nginx-track'])
    .readonly()
    .tooltip(DashboardCursorSync.Crosshair)
    .time({ from: 'now-6h', to: 'now' })
    .refresh('10s')
    .timezone('browser')
    .withVariable(new DatasourceVariableBuilder('ds').label('Data source').type(pluginId));

  const panels = [...figures.map(figurePanel), byType(), topEvents(), lastEvents()];
  panels.forEach((panel, index) => builder.withPanel(panel.id(index + 1)));

  return builder.build();
}
