#!/usr/bin/env python3
"""Compares what clients were told with Kafka's log and with ClickHouse.

  - every acked event_id is in the log, no rejected one is;
  - a record whose event_id the load knows holds the event as it was sent;
  - each offset of the log is exactly once in events, events_skipped or the
    dead-letter topic;
  - so an event_id is in events as often as in the log;
  - each row holds what its record says, column by column.

With --ledger, the topic of that name, also:

  - the ledger's equation holds, see ledger.py;
  - every event_id that was named as rejected is in the topic for those.

The loader is given --wait seconds to catch up with the log first, and the
ledger as many.  What is wrong is printed, at most 20 lines a kind; exit
status 1 then.
"""

from __future__ import annotations

import argparse
import collections
import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from typing import Any

import kafkalog
import ledger
import rows
from events import FIELDS
from findings import Findings

Place = tuple[int, int]


def read_load(paths: Iterable[str]) -> dict[str, dict[str, str]]:
    """event_id -> its line of the load's file."""
    known = {}
    for path in paths:
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                if line.strip():
                    entry = json.loads(line)
                    known[entry["id"]] = entry
    return known


def query(url: str, sql: str) -> list[dict[str, Any]]:
    address = (f"{url}/?output_format_json_quote_64bit_integers=1"
               "&session_timezone=UTC&wait_end_of_query=1")
    request = urllib.request.Request(
        address, data=f"{sql} FORMAT JSONEachRow".encode())
    with urllib.request.urlopen(request, timeout=120) as answer:
        return [json.loads(line) for line in answer]


# --- the log -----------------------------------------------------------------


def record_id(record: kafkalog.Record) -> str | None:
    """The event_id of a record that can be read."""
    try:
        value = json.loads(record.value)
        return value.get("event_id") if isinstance(value, dict) else None
    except ValueError:
        return None


def check_log(log: list[kafkalog.Record], known: dict[str, dict[str, str]],
              findings: Findings) -> None:
    present: dict[str, kafkalog.Record] = {}
    for record in log:
        event_id = record_id(record)
        if event_id in known:
            present[event_id] = record
            check_record(record, known[event_id], findings)
    for event_id, entry in known.items():
        if entry["verdict"] == "acked" and event_id not in present:
            findings.add("acknowledged, but not in Kafka", event_id)
        if entry["verdict"] == "rejected" and event_id in present:
            findings.add("rejected, but in Kafka", event_id)


def check_kept(args: argparse.Namespace, known: dict[str, dict[str, str]],
               findings: Findings) -> None:
    kept = {record_id(record) for record in kafkalog.read_topic(
        args.kafka, args.rejected)}
    for event_id, entry in known.items():
        if entry["verdict"] == "rejected" and event_id not in kept:
            findings.add("rejected, but not kept", event_id)
        if entry["verdict"] == "acked" and event_id in kept:
            findings.add("accepted, but among the rejected", event_id)


def check_record(record: kafkalog.Record, entry: dict[str, str],
                 findings: Findings) -> None:
    """The members that the client sent, as it sent them."""
    sent = rows.loads(entry["event"])
    kept = rows.loads(record.value.decode())
    for name in ("event_type", "session_id", "user_id", "fields"):
        if sent.get(name) != kept.get(name):
            findings.add("record differs from what was sent",
                         f"{record.place} {name}: {kept.get(name)!r}, sent"
                         f" {sent.get(name)!r}")
    raw_sent = rows.raw_member(entry["event"], "fields")
    raw_kept = rows.raw_member(record.value.decode(), "fields")
    if raw_sent != raw_kept:
        findings.add("fields are not byte for byte as sent",
                     f"{record.place}: {raw_kept!r}, sent {raw_sent!r}")


# --- the warehouse -----------------------------------------------------------


def dead_places(args: argparse.Namespace) -> list[Place]:
    """Coordinates of the events topic in the dead letters' headers."""
    places = []
    for record in kafkalog.read_topic(args.kafka, args.dead):
        headers = dict(part.split("=", 1)
                       for part in record.headers.split(",") if "=" in part)
        if headers.get("topic") == args.topic:
            places.append((int(headers["partition"]), int(headers["offset"])))
    return places


def table_places(args: argparse.Namespace, table: str) -> list[Place]:
    found = query(args.clickhouse, "SELECT kafka_partition AS p, kafka_offset"
                  f" AS o FROM track.{table} WHERE kafka_topic ="
                  f" '{args.topic}'")
    return [(int(row["p"]), int(row["o"])) for row in found]


def wait_for_loader(args: argparse.Namespace, wanted: set[Place]) -> None:
    """Until every offset is somewhere, or the time is over."""
    end = time.monotonic() + args.wait
    while time.monotonic() < end:
        try:
            have = set(table_places(args, "events"))
            have.update(table_places(args, "events_skipped"))
            if wanted <= have or wanted <= have | set(dead_places(args)):
                return
        except (OSError, urllib.error.URLError):
            pass        # ClickHouse is coming back
        time.sleep(1)


def check_places(args: argparse.Namespace, log: list[kafkalog.Record],
                 findings: Findings) -> None:
    wanted = {record.place for record in log}
    where: dict[Place, list[str]] = collections.defaultdict(list)
    for table in ("events", "events_skipped"):
        for place in table_places(args, table):
            where[place].append(table)
    # A dead letter may be produced again after a crash: it counts once.
    for place in set(dead_places(args)):
        where[place].append("dead letters")
    for place in sorted(wanted - where.keys()):
        findings.add("offset is nowhere", f"{place}")
    for place in sorted(where.keys() - wanted):
        findings.add("offset is not in the log", f"{place} {where[place]}")
    for place, tables in sorted(where.items()):
        if len(tables) > 1:
            findings.add("offset is more than once", f"{place}: {tables}")


def check_rows(args: argparse.Namespace, log: list[kafkalog.Record],
               findings: Findings) -> int:
    """Every row against its record; returns how many were compared."""
    records = {record.place: record for record in log}
    have = {row["name"] for row in query(
        args.clickhouse, "SELECT name FROM system.columns WHERE"
        " database = 'track' AND table = 'events'")}
    typed = [f"f_{name}" for name in FIELDS if f"f_{name}" in have]
    columns = ", ".join((*rows.COLUMNS, *typed))
    found = query(args.clickhouse,
                  f"SELECT kafka_partition, kafka_offset, {columns} FROM"
                  f" track.events WHERE kafka_topic = '{args.topic}'")
    for row in found:
        place = int(row.pop("kafka_partition")), int(row.pop("kafka_offset"))
        record = records.get(place)
        if record is None:
            continue        # reported by check_places
        expected = rows.expected_row(record.value.decode(), record.time_ms)
        for difference in rows.differences(expected, row):
            findings.add("row differs from its record",
                         f"{place}: {difference}")
    return len(found)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("load", nargs="*", help="files that load.py wrote")
    ledger.add_arguments(parser)
    parser.add_argument("--ledger", help="topic; without it that is not"
                        " checked")
    parser.add_argument("--rejected", default="tracking_events_rejected")
    parser.add_argument("--clickhouse", help="URL; without it only the log is"
                        " compared")
    parser.add_argument("--topic", default="tracking_events")
    parser.add_argument("--dead", default="tracking_events_dead")
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    findings = Findings()
    known = read_load(args.load)
    summary: dict[str, Any] = {}
    if args.ledger:     # first: it waits until spools are drained
        summary["ledger"] = ledger.check_until(args, findings)
        check_kept(args, known, findings)

    log = kafkalog.read_topic(args.kafka, args.topic)
    check_log(log, known, findings)
    summary["log"] = len(log)
    summary["verdicts"] = collections.Counter(
        entry["verdict"] for entry in known.values())

    if args.clickhouse:
        wait_for_loader(args, {record.place for record in log})
        check_places(args, log, findings)
        summary["rows"] = check_rows(args, log, findings)

    summary["wrong"] = sum(map(len, findings.lines.values()))
    print(json.dumps(summary))
    findings.print()
    return 1 if findings.lines else 0


if __name__ == "__main__":
    sys.exit(main())
