"""What row of track.events a Kafka record must become, worked out apart from
the loader's code: every base column, every typed column, the dates' rule.

Numbers are kept as the digits they were written with (class Digits), so that
nothing is lost on the way into a comparison.  Pure.
"""

from __future__ import annotations

import datetime
import json
from typing import Any

from events import FIELDS

DAY_MS = 86_400_000
PAST_MS = 30 * DAY_MS
FUTURE_MS = 3_600_000

# Rows are read with 64-bit integers quoted and DateTime64 as text, UTC.
COLUMNS = (
    "event_type", "event_id", "event_date", "event_time",
    "event_time_replaced", "received_at", "sent_at", "user_id", "session_id",
    "anonymous_id", "ip", "user_agent", "source", "context", "schema_version",
    "edge", "seq",
)


class Digits(str):
    """A JSON number as it was written."""


def loads(text: str) -> Any:
    return json.loads(text, parse_int=Digits, parse_float=Digits)


def parse_time(text: str) -> int:
    """RFC 3339 with milliseconds to ms since the epoch."""
    moment = datetime.datetime.fromisoformat(text)
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    return (moment - epoch) // datetime.timedelta(milliseconds=1)


def format_time(ms: int) -> str:
    """As ClickHouse prints a DateTime64(3, 'UTC')."""
    moment = datetime.datetime.fromtimestamp(ms // 1000, datetime.timezone.utc)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{ms % 1000:03d}"


def raw_member(text: str, name: str) -> str | None:
    """The text of the first member `name`, as it was written."""
    at = text.find(f'"{name}":')
    if at < 0:
        return None
    start = at + len(name) + 3
    while text[start] in " \t\r\n":
        start += 1
    end = json.JSONDecoder().raw_decode(text, start)[1]
    return text[start:end]


def event_time(record: dict[str, Any], kafka_ms: int) -> tuple[int, bool]:
    """The event's own time unless it is too far from when it came in; True if
    it was."""
    received = parse_time(record["received_at"]) \
        if "received_at" in record else kafka_ms
    if "timestamp" not in record:
        return received, False
    stated = parse_time(record["timestamp"])
    if received - PAST_MS <= stated <= received + FUTURE_MS:
        return stated, False
    return received, True


def expected_row(value: str, kafka_ms: int) -> dict[str, Any]:
    """Column -> value; None is NULL or the type's empty value."""
    record = loads(value)
    moment, replaced = event_time(record, kafka_ms)
    row: dict[str, Any] = {
        name: record.get(name) for name in (
            "event_type", "event_id", "user_id", "session_id", "anonymous_id",
            "ip", "user_agent", "source", "schema_version", "edge", "seq")}
    row["event_time"] = format_time(moment)
    row["event_date"] = format_time(moment)[:10]
    row["event_time_replaced"] = replaced
    for name in ("received_at", "sent_at"):
        row[name] = format_time(parse_time(record[name])
                                if name in record else 0)
    row["context"] = raw_member(value, "context")
    fields = record.get("fields", {})
    for name, kind in FIELDS.items():
        row[f"f_{name}"] = typed(kind, fields.get(name), value, name)
    return row


def typed(kind: str, field: Any, value: str, name: str) -> Any:
    """A field's value as its column shows it."""
    if field is None:
        return [] if kind == "string[]" else None
    if kind == "int":
        return str(int(field))
    if kind == "float":
        return float(field)
    if kind == "timestamp":
        ms = int(field) if isinstance(field, Digits) else parse_time(field)
        return format_time(ms)
    if kind == "json":
        return raw_member(value, name)
    return field


def differences(expected: dict[str, Any], row: dict[str, Any]) -> list[str]:
    """One sentence for each column that is not what it must be."""
    found = []
    for name, want in expected.items():
        got = row.get(name)
        empty = got in (None, "", [])
        if want in (None, "", []):
            same = empty
        elif isinstance(want, float):
            same = not empty and float(got) == want
        else:
            same = got == want
        if not same:
            found.append(f"{name} is {got!r}, must be {want!r}")
    return found
