"""Kafka away for ten minutes: memory of nginx, and what becomes of the events.

Events come at an even rate all the time, for some seconds with Kafka, then without
it (the broker is killed), then with it again. All answers must be 2xx. The workers'
resident memory is sampled each second; afterwards the spool must drain, and every
acknowledged event must be in ClickHouse exactly once.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import os
import pathlib
import re
import signal
import time
import urllib.parse
import urllib.request
from typing import Any

import common
from edge_servers import READY, SCHEMA

RATE = 5000             # events a second, one a request
CONNECTIONS = 400
BEFORE_S = 10
AFTER_S = 10
DRAIN_S = 600
WORKERS = 2

CONF = READY + """
    track_postgres "@POSTGRES@";
    track_zone track:8m;
    track_schema_file @DIR@/schema/schema.json;
    track_kafka_brokers @BROKERS@;
    track_spool @DIR@/spool max_size=20g;
    server {
        listen 127.0.0.1:@PORT@;
        location = /track { track; }
        location = /metrics { track_status prometheus; }
    }
"""


def metrics() -> dict[str, float]:
    """Those of track_status that have no labels."""
    url = f"http://127.0.0.1:{common.NGINX_PORT}/metrics"
    with urllib.request.urlopen(url, timeout=10) as answer:
        text = answer.read().decode()
    return {name: float(value) for name, value in
            re.findall(r"^(\w+) (\S+)$", text, re.M)}


def resident(folder: pathlib.Path) -> float:
    """MB of all workers."""
    kilobytes = 0
    for pid in common.workers(folder):
        text = pathlib.Path(f"/proc/{pid}/status").read_text()
        kilobytes += int(re.findall(r"^VmRSS:\s+(\d+)", text, re.M)[0])
    return kilobytes / 1024


def clickhouse(url: str, query: str) -> list[int]:
    address = url + "/?" + urllib.parse.urlencode({"query": query})
    with urllib.request.urlopen(address, timeout=60) as answer:
        return [int(word) for word in answer.read().split()]


def landed(url: str) -> tuple[int, int]:
    """Rows, and different event ids among them."""
    rows, ids = clickhouse(url, "SELECT count(), uniqExact(event_id)"
                                " FROM track.events")
    return rows, ids


class Samples:
    """Memory and spool, each second."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.resident: list[float] = []
        self.spool = 0.0

    def for_seconds(self, seconds: float) -> list[float]:
        """Those of the next seconds."""
        first = len(self.resident)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.resident.append(resident(self.folder))
            self.spool = max(self.spool, metrics().get("track_spool_bytes", 0))
            time.sleep(1)
        return self.resident[first:]


def drained() -> bool:
    found = metrics()
    return found["track_spool_records"] == 0 and \
        found["track_kafka_queue"] == 0


def growth(away: list[float]) -> float:
    """MB from the first quarter of the outage to its last one."""
    quarter = max(1, len(away) // 4)
    return max(away[-quarter:]) - max(away[:quarter])


def outage(folder: pathlib.Path, env: dict[str, str], seconds: float
           ) -> tuple[dict[str, Any], dict[str, Any]]:
    """Runs it; what bench-load told, and what was seen meanwhile."""
    samples = Samples(folder)
    whole = BEFORE_S + seconds + AFTER_S
    program = [common.ROOT / "dev" / "stack", "--name", common.NAME]
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        future = pool.submit(
            common.load, f"127.0.0.1:{common.NGINX_PORT}", "/track",
            connections=CONNECTIONS, seconds=whole, warm=0, rate=RATE)
        before = samples.for_seconds(BEFORE_S)
        os.kill(int(env["PID_KAFKA"]), signal.SIGKILL)
        common.say(f"Kafka is away for {seconds:g} s")
        away = samples.for_seconds(seconds)
        common.command([*program, "start", "kafka"])
        common.say("Kafka is back")
        after = samples.for_seconds(AFTER_S)
        told = future.result()
    begin = time.monotonic()
    common.await_true(drained, DRAIN_S, "the spool to drain")
    return told, {
        "RSS before MB": max(before), "RSS away MB": max(away),
        "growth MB": growth(away), "RSS after MB": max(after),
        "spool MB": samples.spool / 1e6,
        "drained after s": time.monotonic() - begin}


def fate(told: dict[str, Any], url: str) -> dict[str, Any]:
    """What became of the events; waits until no more of them come."""
    acked = sum(count for status, count in told["status"].items()
                if status.startswith("2"))
    rows = -1
    end = time.monotonic() + DRAIN_S
    while time.monotonic() < end and landed(url)[0] != rows:
        rows = landed(url)[0]
        time.sleep(5)
    rows, ids = landed(url)
    return {"acknowledged": acked,
            "not 2xx": sum(told["status"].values()) - acked,
            "unanswered": told["unanswered"], "in ClickHouse": rows,
            "missing": acked - ids, "twice": rows - ids,
            "p50 ms": told["latency_us"]["p50"] / 1000,
            "p99 ms": told["latency_us"]["p99"] / 1000,
            "max ms": told["latency_us"]["max"] / 1000}


def run(args: argparse.Namespace) -> common.Tables:
    seconds = args.seconds or (30 if args.quick else 600)
    with common.stack("postgres", "kafka", "clickhouse", "loader") as env:
        common.command(["psql", "-X", "-q", "-d", env["DATABASE_URL"]], SCHEMA)
        conf = CONF.replace("@POSTGRES@", env["DATABASE_URL"].replace(
            "postgres@", "track_reader@")).replace(
            "@BROKERS@", env["KAFKA_BROKERS"])
        with common.nginx(conf, WORKERS) as folder:
            common.await_true(lambda: metrics()["track_schema_loaded"] == 1,
                              30, "the schema")
            told, memory = outage(folder, env, seconds)
            events = fate(told, env["CLICKHOUSE_URL"])
    return {f"Memory, {WORKERS} workers, {RATE} events/s, {seconds:g} s without"
            " Kafka": [memory], "What became of the events": [events]}
