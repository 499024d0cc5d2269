#!/usr/bin/env python3
"""Checks the ledger's equation from the topics.

For each edge, with all that its beats say united:

    { seq <= upto } - void - lost - spool  is in the topics of events

and besides: beats leave no gap between them, what they say lies within what
they speak of, no number was given to two events, none beyond an edge's end,
and each edge that has ended says so.  An edge may be without an end while its
last beat is younger than --silent.

Numbers that the topics hold twice (what the producer or the spool sent again)
are counted, as are void and lost ones that are there all the same.  The
ledger is read before the events, so what is told is there when it is looked
for; --wait is for beats that are still to come.  What is wrong is printed, at
most 20 lines a kind; exit status 1 then.
"""

from __future__ import annotations

import argparse
import collections
import json
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import kafkalog
from findings import Findings
from rows import parse_time

Span = tuple[int, int]


@dataclass
class Edge:
    """What the beats of one edge say together."""

    told: list[Span] = field(default_factory=list)
    voids: list[Span] = field(default_factory=list)
    lost: list[Span] = field(default_factory=list)
    spool: list[Span] = field(default_factory=list)
    spool_n: int = 0
    upto: int = 0
    numbered: int = 0
    end: bool = False
    last: int = 0       # ms, when its last beat was made


@dataclass
class Seen:
    """Where one number of an edge is found."""

    events: set[str] = field(default_factory=set)   # that differ
    count: int = 0


# --- beats -------------------------------------------------------------------


def read_beats(log: Iterable[kafkalog.Record],
               findings: Findings) -> dict[str, list[list[dict[str, Any]]]]:
    """edge -> its beats in the order of n, each as the list of its parts;
    those of which a part is not there yet say nothing."""
    parts: dict[tuple[str, int], dict[int, dict[str, Any]]] = {}
    for record in log:
        beat = json.loads(record.value)
        if "n" not in beat:
            findings.add("not a beat", f"{record.place}")
            continue
        if record.key.decode() != beat["edge"]:
            findings.add("beat under another key", f"{record.place}")
        if len(record.value) > 256 * 1024:
            findings.add("beat is too long", f"{record.place}")
        group = parts.setdefault((beat["edge"], beat["n"]), {})
        group[beat.get("part", 1)] = beat
    beats: dict[str, list[list[dict[str, Any]]]] = collections.defaultdict(list)
    for (edge, _), group in sorted(parts.items()):
        if len(group) == group[min(group)].get("parts", 1):
            beats[edge].append([group[part] for part in sorted(group)])
    return beats


def unite(name: str, beats: list[list[dict[str, Any]]],
          findings: Findings) -> Edge:
    edge = Edge()
    for parts in beats:
        first = parts[0]
        edge.last = max(edge.last, parse_time(first["at"]))
        if "spool" in first and first["n"] > edge.spool_n:
            edge.spool_n = first["n"]
            edge.spool = spans(parts, "spool")
        if "upto" not in first:
            continue
        told = first["from"] + 1, first["upto"]
        check_beat(name, first, told, parts, findings)
        edge.told.append(told)
        edge.voids += spans(parts, "void")
        edge.lost += spans(parts, "lost")
        edge.upto = max(edge.upto, first["upto"])
        edge.numbered = max(edge.numbered,
                            first["accepted"] + first["rejected"])
        edge.end = edge.end or first.get("end", False)
    return edge


def check_beat(name: str, first: dict[str, Any], told: Span,
               parts: list[dict[str, Any]], findings: Findings) -> None:
    where = f"{name} n {first['n']}"
    for kind in ("void", "lost"):
        for low, high in spans(parts, kind):
            if low > high or low < told[0] or high > told[1]:
                findings.add("beat speaks of what it does not cover",
                             f"{where}: {kind} {low}-{high} in {told}")
    numbered = first["accepted"] + first["rejected"]
    if numbered < first["upto"] or (first.get("end")
                                    and numbered != first["upto"]):
        findings.add("beat counts other than it numbers",
                     f"{where}: {numbered} numbered, upto {first['upto']}")


def spans(parts: list[dict[str, Any]], kind: str) -> list[Span]:
    return [(low, high) for part in parts for low, high in part.get(kind, ())]


def numbers(ranges: Iterable[Span], upto: int) -> Iterator[int]:
    for low, high in ranges:
        yield from range(low, min(high, upto) + 1)


# --- events ------------------------------------------------------------------


def read_events(brokers: str,
                topics: list[str]) -> dict[str, dict[int, Seen]]:
    """edge -> seq -> where it is."""
    found: dict[str, dict[int, Seen]] = collections.defaultdict(
        lambda: collections.defaultdict(Seen))
    for topic in topics:
        for record in kafkalog.read_topic(brokers, topic):
            try:
                value = json.loads(record.value)
                seen = found[value["edge"]][value["seq"]]
            except (ValueError, KeyError, TypeError):
                continue        # another producer's: outside the ledger
            value.pop("spooled", None)
            seen.count += 1
            seen.events.add(f"{topic} {hash(json.dumps(value))}")
    return found


# --- the equation ------------------------------------------------------------


def check_edge(name: str, edge: Edge, present: dict[int, Seen],
               findings: Findings, summary: collections.Counter[str]) -> None:
    told = set(numbers(edge.told, edge.upto))
    for low, high in runs(set(range(1, edge.upto + 1)) - told):
        findings.add("beats leave a gap", f"{name} {low}-{high}")

    voids = set(numbers(edge.voids, edge.upto))
    lost = set(numbers(edge.lost, edge.upto))
    spool = set(numbers(edge.spool, edge.upto))
    for low, high in runs(told - voids - lost - spool - present.keys()):
        findings.add("missing", f"{name} {low}-{high}")

    for seq, seen in present.items():
        if len(seen.events) > 1:
            findings.add("number given twice", f"{name} {seq}")
        if edge.end and seq > edge.upto:
            findings.add("number after the end", f"{name} {seq}")

    summary["numbers"] += edge.upto
    summary["void"] += len(voids)
    summary["lost"] += len(lost)
    summary["spool"] += len(spool)
    summary["void, but there"] += len(voids & present.keys())
    summary["lost, but there"] += len(lost & present.keys())
    summary["twice"] += sum(seen.count > 1 for seen in present.values())


def runs(members: set[int]) -> Iterator[Span]:
    low = high = None
    for member in sorted(members):
        if high is not None and member != high + 1:
            yield low or 0, high
            low = member
        elif low is None:
            low = member
        high = member
    if high is not None:
        yield low or 0, high


def check(args: argparse.Namespace, findings: Findings) -> dict[str, int]:
    """One look at the topics."""
    beats = read_beats(kafkalog.read_topic(args.kafka, args.ledger), findings)
    now = int(time.time() * 1000)
    found = read_events(args.kafka, args.numbered)
    summary: collections.Counter[str] = collections.Counter()

    for name in sorted(beats.keys() | found.keys()):
        edge = unite(name, beats.get(name, []), findings)
        summary["edges"] += 1
        summary["ended"] += edge.end
        check_edge(name, edge, found.get(name, {}), findings, summary)
        silent = not edge.end and edge.last < now - args.silent * 1000
        summary["unfinished"] += silent
        if silent and not args.died:
            findings.add("unfinished", f"{name} upto {edge.upto}")
        behind = [seq for seq in found.get(name, ()) if seq > edge.upto]
        if behind and not edge.end and not (silent and args.died):
            findings.add("untold", f"{name} {min(behind)}-{max(behind)},"
                         f" upto {edge.upto}")
        if args.drained and edge.spool:
            findings.add("still in a spool", f"{name} {edge.spool[:5]}")
    return dict(summary)


def check_until(args: argparse.Namespace,
                findings: Findings) -> dict[str, int]:
    """Looks again until all is well, or the time to wait is over."""
    end = time.monotonic() + args.wait
    while True:
        latest = Findings()
        summary = check(args, latest)
        if not latest.lines or time.monotonic() >= end:
            findings.join(latest)
            return summary
        time.sleep(1)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Those that check.py has too."""
    parser.add_argument("--kafka", required=True, help="brokers")
    parser.add_argument("--wait", type=float, default=60, help="seconds")
    parser.add_argument("--numbered", nargs="+", default=[
        "tracking_events", "tracking_events_rejected"],
        help="topics whose records have edge and seq")
    parser.add_argument("--silent", type=float, default=60,
                        help="seconds after which an edge is taken for dead")
    parser.add_argument("--died", action="store_true", help="edges may be"
                        " unfinished: all of nginx was killed")
    parser.add_argument("--drained", action="store_true",
                        help="nothing may be in a spool any more")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_arguments(parser)
    parser.add_argument("--ledger", default="tracking_ledger", help="topic")
    args = parser.parse_args()

    findings = Findings()
    summary = check_until(args, findings)
    print(json.dumps(summary))
    findings.print()
    return 1 if findings.lines else 0


if __name__ == "__main__":
    sys.exit(main())
