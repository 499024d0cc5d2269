"""nginx taking events: CPU time of all threads of a worker, per request.

Rounds of A B C A B C, each for a second or two, against bare nginx, and against
Debian's lua + cjson + lua-nginx-kafka where that is installed (--setup). What is
compared was measured in the same round; the median of the rounds is reported, with
the quartiles. docs/PERFORMANCE.md explains the rows.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import pathlib
import re
import statistics
import time
from typing import Any

import common
from edge_servers import Server, all_servers, missing, setup

__all__ = ["run", "setup"]

HELD_SHARE = 0.7        # of what 64 connections reach when acknowledged
HALF_LOAD = 0.5         # of what 400 connections reach
RELOADS = 5
RELOAD_RATE = 2000


@dataclasses.dataclass(frozen=True)
class Case:
    """One row. `base`: the row it is divided by."""
    name: str
    server: str
    path: str
    connections: int
    base: str
    events: int = 1
    sessions: int = 1000
    gzip: bool = False
    held: bool = False      # to the rate that was found before
    pace: str = ""          # held to the rate of that row in this round
    even: str = ""          # bare at this row's rate, to be divided by, too
    limit: float = 0        # of the ratio
    limit_us: float = 0     # of an event

    def load(self, server: Server, seconds: float, rate: float
             ) -> dict[str, Any]:
        return common.load(
            server.address, self.path, connections=self.connections,
            seconds=seconds, events=self.events, sessions=self.sessions,
            rate=rate, gzip=self.gzip, pids=[server.pid()])


ONE = "1 event, 400 connections"
HELD = "1 event, 64 connections, held to one rate"
MANY = "20 events, 64 connections"

CASES: dict[str, tuple[Case, ...]] = {
    ONE: (
        Case("400 bare", "bare", "/bare", 400, "400 bare"),
        Case("400 read", "bare", "/read", 400, "400 bare"),
        Case("400 kafka", "track", "/kafka", 400, "400 bare", limit=1.30,
             even="400 bare, that rate"),
        Case("400 bare, that rate", "bare", "/bare", 400, "400 bare",
             pace="400 kafka"),
        Case("400 kafka, gzip", "track", "/kafka", 400, "400 bare", gzip=True),
        Case("400 spool", "track", "/spool", 400, "400 bare"),
        Case("400 spool, no kafka", "away", "/spool", 400, "400 bare"),
        Case("400 none", "track", "/none", 400, "400 bare"),
        Case("400 lua", "lua", "/track", 400, "400 bare"),
    ),
    HELD: (
        Case("64 bare", "bare", "/bare", 64, "64 bare", held=True),
        Case("64 read", "bare", "/read", 64, "64 bare", held=True),
        Case("64 kafka, 1 partition", "track", "/one", 64, "64 bare",
             sessions=1, held=True, limit=1.5),
        Case("64 kafka, 4 partitions", "track", "/kafka", 64, "64 bare",
             held=True, limit=1.8),
        Case("64 lua", "lua", "/track", 64, "64 bare", held=True),
    ),
    MANY: (
        Case("20 bare", "bare", "/bare", 64, "20 bare", events=20),
        Case("20 read", "bare", "/read", 64, "20 bare", events=20),
        Case("20 kafka", "track", "/kafka", 64, "20 bare", events=20,
             limit_us=2.0),
        Case("20 kafka, gzip", "track", "/kafka", 64, "20 bare", events=20,
             gzip=True),
        Case("20 spool", "track", "/spool", 64, "20 bare", events=20),
        Case("20 spool, no kafka", "away", "/spool", 64, "20 bare", events=20,
             limit_us=3.0),
        Case("20 none", "track", "/none", 64, "20 bare", events=20),
        Case("20 lua", "lua", "/track", 64, "20 bare", events=20),
    ),
}

LATENCY = ("400 kafka", "400 spool", "20 kafka", "400 lua")


@dataclasses.dataclass
class Sample:
    """One measurement of a case."""
    all_us: float           # CPU time a request, of all threads
    loop_us: float          # of the event loop's thread
    rate: float
    bad: int                # not 2xx, unanswered, or connection lost


def sample(case: Case, server: Server, seconds: float, rate: float) -> Sample:
    told = case.load(server, seconds, rate)
    cpu = told["cpu_ns"][0]
    requests = max(told["requests"], 1)
    return Sample(cpu["all"] / requests / 1000, cpu["loop"] / requests / 1000,
                  told["requests"] / told["seconds"], bad(told))


def bad(told: dict[str, Any]) -> int:
    return int(told["unanswered"] + told["broken"]
               + sum(count for status, count in told["status"].items()
                     if not status.startswith("2")))


def chosen(pattern: re.Pattern[str], servers: dict[str, Server]) -> list[Case]:
    """The cases to measure, with those they are divided by."""
    named = [case for cases in CASES.values() for case in cases
             if case.server in servers]
    wanted = {case.name for case in named if pattern.search(case.name)}
    wanted |= {name for case in named if case.name in wanted
               for name in (case.base, case.even, case.pace)}
    return [case for case in named if case.name in wanted]


def held_rate(servers: dict[str, Server], seconds: float) -> float:
    case = next(c for c in CASES[HELD] if c.path == "/kafka")
    return HELD_SHARE * sample(case, servers["track"], seconds, 0).rate


def rounds_of(cases: list[Case], servers: dict[str, Server], rounds: int,
              seconds: float) -> dict[str, list[Sample]]:
    held = held_rate(servers, seconds)
    samples: dict[str, list[Sample]] = {case.name: [] for case in cases}
    for number in range(rounds):
        common.say(f"round {number + 1} of {rounds}")
        for case in cases:
            rate = (held if case.held
                    else samples[case.pace][-1].rate if case.pace else 0)
            samples[case.name].append(
                sample(case, servers[case.server], seconds, rate))
            time.sleep(0.2)     # what is still under way is not the next one's
    return samples


def spread(values: list[float]) -> str:
    """Median and quartiles."""
    low, middle, high = (statistics.quantiles(values, n=4)
                         if len(values) > 1 else values * 3)
    return f"{middle:.2f} ({low:.2f}–{high:.2f})"


def ratios_to(base: str, own: list[Sample], samples: dict[str, list[Sample]]
              ) -> list[float]:
    return [a.all_us / b.all_us for a, b in zip(own, samples[base])]


def row(case: Case, samples: dict[str, list[Sample]]) -> dict[str, Any]:
    own = samples[case.name]
    ratios = ratios_to(case.base, own, samples)
    event_us = [s.all_us / case.events for s in own]
    loop = statistics.median(s.loop_us for s in own)
    middle = statistics.median(s.all_us for s in own)
    return {
        "row": case.name,
        "ratio to bare": spread(ratios),
        "at its rate": spread(ratios_to(case.even, own, samples))
                       if case.even else "",
        "µs/request": spread([s.all_us for s in own]),
        "loop": loop,
        "others": max(0.0, middle - loop),
        "µs/event": f"{statistics.median(event_us):.2f}",
        "requests/s": round(statistics.median(s.rate for s in own)),
        "not 2xx": sum(s.bad for s in own),
        "target": verdict(case, statistics.median(ratios),
                          statistics.median(event_us)),
    }


def verdict(case: Case, ratio: float, event_us: float) -> str:
    if case.limit:
        met = ratio <= case.limit
        return f"≤ {case.limit:.2f} × bare: {'met' if met else 'missed'}"
    if case.limit_us:
        met = event_us <= case.limit_us
        return f"≤ {case.limit_us:.1f} µs/event: {'met' if met else 'missed'}"
    return ""


def latency(cases: list[Case], servers: dict[str, Server],
            samples: dict[str, list[Sample]], seconds: float
            ) -> list[dict[str, Any]]:
    rows = []
    for case in cases:
        if case.name not in LATENCY:
            continue
        rate = HALF_LOAD * statistics.median(
            s.rate for s in samples[case.name])
        told = case.load(servers[case.server], seconds, rate)
        times = told["latency_us"]
        rows.append({
            "row": case.name, "requests/s": round(rate),
            **{f"{name} ms": times[name] / 1000
               for name in ("p50", "p90", "p99", "p999", "max")},
            "not 2xx": bad(told)})
    return rows


def reloads(server: Server, path: str) -> dict[str, Any]:
    """Answers that are not 2xx while the configuration is reloaded.  A request
    that meets a connection which the old worker is just closing is sent again,
    as browsers do; bare nginx shows how often that happens anyway."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        future = pool.submit(common.load, server.address, path,
                             connections=64, seconds=RELOADS + 1.0,
                             rate=RELOAD_RATE)
        for _ in range(RELOADS):
            time.sleep(1)
            server.reload()
        told = future.result()
    wrong = sum(count for status, count in told["status"].items()
                if not status.startswith("2"))
    return {"server": server.name, "reloads": RELOADS,
            "requests": sum(told["status"].values()),
            "not 2xx": wrong, "unanswered": told["unanswered"],
            "sent again": told["broken"],
            "p99 ms": told["latency_us"]["p99"] / 1000}


def memory(servers: dict[str, Server]) -> list[dict[str, Any]]:
    """Of each worker, after all that."""
    rows = []
    for server in servers.values():
        text = pathlib.Path(f"/proc/{server.pid()}/status").read_text()
        kilobytes = dict(re.findall(r"^(VmRSS|VmHWM):\s+(\d+)", text, re.M))
        rows.append({"server": server.name,
                     "RSS MB": int(kilobytes["VmRSS"]) / 1024,
                     "highest MB": int(kilobytes["VmHWM"]) / 1024})
    return rows


def run(args: argparse.Namespace) -> common.Tables:
    rounds = args.rounds or (3 if args.quick else 9)
    seconds = 0.7 if args.quick else 2.0
    lack = missing()
    if lack:
        common.say(f"without the lua rows: {lack}")
    with all_servers(peer=not lack) as servers:
        cases = chosen(args.rows, servers)
        samples = rounds_of(cases, servers, rounds, seconds)
        tables = {title: [row(case, samples) for case in group
                          if case.name in samples]
                  for title, group in CASES.items()}
        tables["Latency at half load"] = latency(cases, servers, samples,
                                                 3 * seconds)
        tables["Memory of a worker after that"] = memory(servers)
        tables["Reloads under load"] = [
            reloads(servers["bare"], "/bare"),
            reloads(servers["track"], "/kafka")]
    return {title: rows for title, rows in tables.items() if rows}
