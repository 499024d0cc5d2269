"""The rows that events left in ClickHouse, and whether they say what the
browser was told."""

from __future__ import annotations

import datetime
import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from .visits import Told

Row = dict[str, Any]

SETTINGS = {"output_format_json_quote_64bit_integers": "0",
            "date_time_output_format": "iso"}


class ClickHouseDown(Exception):
    """It did not answer, or not with 200."""


def query(url: str, sql: str) -> list[Row]:
    """The rows of a SELECT."""
    try:
        with urllib.request.urlopen(
                f"{url}/?{urllib.parse.urlencode(SETTINGS)}",
                (sql + " FORMAT JSONEachRow").encode(), timeout=10) as answer:
            return [json.loads(line) for line in answer]
    except urllib.error.HTTPError as e:
        raise ClickHouseDown(e.read().decode(errors="replace")[:300]) from None
    except OSError as e:
        raise ClickHouseDown(f"no answer from ClickHouse at {url}: {e}") \
            from None


def rows_of(url: str, told: list[Told]) -> list[Row]:
    ids = ", ".join(f"'{event['event_id']}'" for event in told)
    return query(url, f"SELECT * FROM track.events WHERE event_id IN ({ids}) "
                      "ORDER BY event_time, seq")


def fields_of(row: Row) -> dict[str, Any]:
    """The row's typed columns that are not empty, by field name."""
    return {name[2:]: value for name, value in row.items()
            if name.startswith("f_") and value not in (None, [])}


def differences(told: list[Told], rows: list[Row]) -> list[str]:
    """One sentence for each thing in which the rows differ from what the
    browser was told."""
    found = []
    by_id: dict[str, list[Row]] = {}
    for row in rows:
        by_id.setdefault(row["event_id"], []).append(row)

    for event in told:
        label = f"{event['event_type']} {event['event_id']}"
        mine = by_id.pop(event["event_id"], [])
        wanted = 1 if event["status"] == "accepted" else 0
        if len(mine) != wanted:
            found.append(f"{label} was {event['status']} and has "
                         f"{len(mine)} rows")
        for row in mine:
            found += [f"{label}: {text}" for text in differing(event, row)]
    return found


def differing(event: Told, row: Row) -> list[str]:
    found = []
    for name in ("event_type", "session_id"):
        if event[name] != row[name]:
            found.append(f"{name} is {row[name]!r}, sent {event[name]!r}")
    sent = {name: value for name, value in event["fields"].items()
            if value not in (None, [])}
    landed = fields_of(row)
    for name in sorted(sent.keys() | landed.keys()):
        if not same(sent.get(name), landed.get(name)):
            found.append(f"{name} is {landed.get(name)!r}, "
                         f"sent {sent.get(name)!r}")
    return found


def same(sent: Any, landed: Any) -> bool:
    """Equal as the column's type has it: json fields come as text, timestamps
    in the server's notation."""
    if sent == landed:
        return True
    if not isinstance(landed, str):
        return False
    try:
        if isinstance(sent, str):
            return instant(sent) == instant(landed)
        return bool(json.loads(landed) == sent)
    except ValueError:
        return False


def instant(text: str) -> datetime.datetime:
    when = datetime.datetime.fromisoformat(text)
    if when.tzinfo is None:
        raise ValueError("no time zone")
    return when


def table(rows: list[Row]) -> str:
    """The rows for people: time, place in Kafka, type, fields."""
    lines = [("event_time", "kafka", "event_type", "fields")]
    for row in rows:
        fields = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}"
                           for name, value in fields_of(row).items())
        lines.append((row["event_time"],
                      f"{row['kafka_partition']}:{row['kafka_offset']}",
                      row["event_type"], fields))
    widths = [max(len(line[n]) for line in lines) for n in range(3)]
    return "\n".join("  ".join([*(text.ljust(width) for text, width
                                   in zip(line, widths)), line[3]])
                     for line in lines)
