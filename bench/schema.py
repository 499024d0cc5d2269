"""Schemas of up to 10,000 types: COMMIT to enforced, and the cost of an event.

COMMIT to enforced: a connection to each worker asks, as fast as answers come,
for the verdict on an event of a type that does not exist yet; another session
commits that type. The clock runs from sending COMMIT until the last worker has
changed its verdict: PostgreSQL's own commit is in it, and up to 2 ms of asking.
The longest answer meanwhile shows whether requests wait for the new schema.

The cost of an event: bench/schema_cost.c, CPU time of lib/ alone.
"""

from __future__ import annotations

import argparse
import http.client
import json
import threading
import time
from typing import Any

import common

SIZES = (10, 1000, 10_000)      # event types
FIELDS = 20                     # of each
WORKERS = 2
LIMIT_S = 20.0
PORT_BASE = 8960                # beside that of the other benchmarks
NGINX_PORT = PORT_BASE + 10

CONF = """
    track_postgres "@POSTGRES@";
    track_zone track:8m;
    track_schema_file @DIR@/schema/schema.json;
    track_kafka_brokers 127.0.0.1:9;
    server {
        listen 127.0.0.1:@PORT@;
        add_header X-Worker $pid always;
        location = /track { track; track_rejected_topic off; }
    }
"""


class Asker:
    """One keep-alive connection, so one worker."""

    def __init__(self) -> None:
        self.connection = http.client.HTTPConnection(
            "127.0.0.1", NGINX_PORT, timeout=LIMIT_S)
        self.worker = ""
        self.longest = 0.0      # seconds, of an answer

    def knows(self, event_type: str) -> bool:
        """Is the type defined?  The event is never accepted: its id is bad."""
        self.connection.request(
            "POST", "/track", json.dumps({"event_type": event_type,
                                          "event_id": "none"}),
            {"Content-Type": "application/json"})
        response = self.connection.getresponse()
        body = response.read()
        self.worker = response.headers["X-Worker"]
        return response.status == 422 and b"unknown_event_type" not in body

    def await_type(self, event_type: str, times: list[float]) -> None:
        """Appends the moment from which the type is enforced."""
        end = time.monotonic() + LIMIT_S
        known = False
        while not known:
            begin = time.monotonic()
            if begin > end:
                return
            known = self.knows(event_type)
            self.longest = max(self.longest, time.monotonic() - begin)
            time.sleep(0.001)       # leaves the cores to what is measured
        times.append(time.monotonic())


def askers() -> list[Asker]:
    """One connection to each worker."""
    found: dict[str, Asker] = {}
    for _ in range(200):
        asker = Asker()
        asker.knows("none")
        found.setdefault(asker.worker, asker)
        if len(found) == WORKERS:
            return list(found.values())
    raise common.BenchError("no connection reaches one of the workers")


def grow(psql: common.Psql, size: int) -> None:
    """Makes it `size` event types with FIELDS fields each."""
    psql.run(f"""
        BEGIN;
        INSERT INTO event_types (name) SELECT 'type_' || i
            FROM generate_series((SELECT count(*) FROM event_types) + 1,
                                 {size}) i;
        INSERT INTO event_fields (event_type_id, name, data_type, required)
            SELECT t.id, 'field_' || k, 'string', k <= 5
            FROM event_types t, generate_series(1, {FIELDS}) k
            WHERE NOT EXISTS (SELECT FROM event_fields f
                              WHERE f.event_type_id = t.id);
        COMMIT;""")


def measure(psql: common.Psql, connections: list[Asker], name: str) -> float:
    """Milliseconds for one change."""
    times: list[float] = []
    threads = [threading.Thread(target=a.await_type, args=(name, times))
               for a in connections]
    psql.run(f"BEGIN; INSERT INTO event_types (name) VALUES ('{name}');")
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    begin = time.monotonic()
    psql.run("COMMIT;")
    for thread in threads:
        thread.join()
    if len(times) != len(connections):
        raise common.BenchError(f"a worker did not learn of a new type within"
                                f" {LIMIT_S:g} s")
    psql.run(f"DELETE FROM event_types WHERE name = '{name}';")
    common.await_true(lambda: not any(c.knows(name) for c in connections),
                      LIMIT_S, "a deleted type to be gone")
    return (max(times) - begin) * 1000


def row(size: int, times: list[float], longest: float,
        image: int) -> dict[str, Any]:
    return {
        "types": size, "fields": size * FIELDS, "changes": len(times),
        "p50 ms": common.percentile(times, 0.5),
        "p95 ms": common.percentile(times, 0.95),
        "max ms": max(times),
        "longest answer ms": longest * 1000,
        "image KB": image // 1024,
    }


def changes(rounds: int) -> list[dict[str, Any]]:
    """COMMIT to enforced, by size."""
    rows = []
    with common.stack("postgres", name="bench-schema",
                      base=PORT_BASE) as env:
        common.migrate(env["DATABASE_URL"])
        reader = env["DATABASE_URL"].replace("postgres@", "track_reader@")
        psql = common.Psql(env["DATABASE_URL"])
        with common.nginx(CONF.replace("@POSTGRES@", reader),
                          WORKERS, NGINX_PORT) as folder:
            for size in SIZES:
                grow(psql, size)
                connections = askers()
                common.await_true(
                    lambda: all(c.knows(f"type_{size}") for c in connections),
                    60, f"a schema of {size} types")
                times = [measure(psql, connections, f"new_{size}_{n}")
                         for n in range(rounds)]
                image = max(p.stat().st_size for p in
                            (folder / "schema").iterdir()
                            if not p.name.endswith(".json"))
                rows.append(row(size, times,
                                max(c.longest for c in connections), image))
        psql.close()
    return rows


def costs(quick: bool) -> list[dict[str, Any]]:
    """What judging an event and compiling the schema cost, by size."""
    program = common.ROOT / "build" / "bench" / "schema_cost"
    program.parent.mkdir(parents=True, exist_ok=True)
    lib = common.ROOT / "lib"
    common.command(["cc", "-std=c11", "-D_GNU_SOURCE", "-O2", f"-I{lib}", "-o",
                    program, common.ROOT / "bench" / "schema_cost.c",
                    *sorted(lib.glob("*.c")), "-lm"])
    out = common.command([program, FIELDS, 50_000, 5 if quick else 41,
                          *SIZES])
    rows = []
    for line in out.splitlines():
        types, least, median, build, check, size = map(float, line.split())
        base = rows[0]["median ns"] if rows else median
        rows.append({"types": int(types), "least ns": least,
                     "median ns": median,
                     f"of {SIZES[0]} types": f"{median / base:.2f} x",
                     "finish, build ms": build, "check ms": check,
                     "image KB": int(size) // 1024})
    return rows


def run(args: argparse.Namespace) -> common.Tables:
    rounds = args.rounds or (10 if args.quick else 50)
    return {"CPU time of an event, its type drawn at random":
            costs(args.quick),
            "COMMIT to enforced in every worker": changes(rounds)}
