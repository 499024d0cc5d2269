#!/usr/bin/env python3
"""Sends events for a while and writes down what was promised about each.

Threads, one connection each, POST single events and batches at a bounded rate
and reconnect whenever a connection breaks: the servers under test are being
killed meanwhile.  Ends after --seconds or on SIGTERM, in either case with
every verdict written.  One JSON line an event goes to --out:

  {"id", "verdict": "acked" | "rejected" | "unknown", "event": TEXT}

acked: named safe by a 2xx; rejected: named as rejected; unknown: no answer, or
503, after the last attempt (it may be in the log, or not).  Standard output
gets a summary as JSON.  Exit status 1: an answer that cannot be right, such as
an accepted event that the schema forbids.
"""

from __future__ import annotations

import argparse
import collections
import http.client
import json
import random
import signal
import sys
import threading
import time
import urllib.parse
from typing import IO

from events import Event, make_event, schema_sql

TIMEOUT_S = 10.0
RETRIES = 20
RETRY_SHARE = 0.7       # the others stay unknown after their first failure


class Book:
    """What all threads write to: verdicts, counts, complaints."""

    def __init__(self, out: IO[str]) -> None:
        self.lock = threading.Lock()
        self.out = out
        self.verdicts: collections.Counter[str] = collections.Counter()
        self.answers: collections.Counter[str] = collections.Counter()
        self.wrong: list[str] = []

    def answer(self, status: str) -> None:
        with self.lock:
            self.answers[status] += 1

    def settle(self, verdicts: dict[Event, str]) -> None:
        lines = [json.dumps({"id": e.id, "verdict": v, "event": e.text})
                 for e, v in verdicts.items()]
        with self.lock:
            self.verdicts.update(verdicts.values())
            self.out.write("\n".join(lines) + "\n")

    def complain(self, text: str) -> None:
        with self.lock:
            if len(self.wrong) < 20:
                self.wrong.append(text)


class Sender(threading.Thread):
    """One connection's worth of load."""

    def __init__(self, args: argparse.Namespace, book: Book, number: int,
                 stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.args = args
        self.book = book
        self.stop = stop
        self.rnd = random.Random(args.seed * 1000 + number)
        url = urllib.parse.urlsplit(args.url)
        self.path = url.path or "/track"
        self.connection = http.client.HTTPConnection(
            url.hostname or "127.0.0.1", url.port, timeout=TIMEOUT_S)

    def run(self) -> None:
        while not self.stop.is_set():
            begin = time.monotonic()
            count = self.rnd.randrange(2, 21) if self.rnd.random() < 0.3 else 1
            events = [make_event(self.rnd, self.args.invalid)
                      for _ in range(count)]
            self.book.settle(self.deliver(events))
            # --rate is of events, over all connections.
            pause = count * self.args.connections / self.args.rate
            self.stop.wait(max(0.0, pause - (time.monotonic() - begin)))
        self.connection.close()

    def deliver(self, events: list[Event]) -> dict[Event, str]:
        """Sends until every event has a verdict or patience ends."""
        verdicts = {event: "unknown" for event in events}
        for attempt in range(RETRIES):
            answer = self.post(events)
            if answer is not None:
                verdicts.update(self.judge(events, *answer))
                return verdicts
            if attempt == 0 and self.rnd.random() >= RETRY_SHARE:
                return verdicts
            if self.stop.wait(min(1.0, 0.05 * 2 ** attempt)):
                return verdicts
        return verdicts

    def post(self, events: list[Event]) -> tuple[int, bytes] | None:
        """Status and body; None when the outcome is unknown."""
        texts = ",".join(event.text for event in events)
        body = texts if len(events) == 1 else f'{{"batch":[{texts}]}}'
        try:
            self.connection.request("POST", self.path, body.encode(),
                                    {"Content-Type": "application/json"})
            response = self.connection.getresponse()
            answer = response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            self.connection.close()
            self.book.answer(type(error).__name__)
            return None
        self.book.answer(str(answer[0]))
        return None if answer[0] in (500, 502, 503, 504) else answer

    def judge(self, events: list[Event], status: int,
              body: bytes) -> dict[Event, str]:
        """Verdicts an answer gives; whatever cannot be right is noted."""
        if status == 204:
            rejected: set[int] = set()
        elif status in (200, 422):
            rejected = {item["index"] for item in json.loads(body)["rejected"]}
        else:
            self.book.complain(f"status {status}: {body[:200]!r}")
            return {}
        if (status == 422) != (len(rejected) == len(events)):
            self.book.complain(f"status {status}, but {len(rejected)} of"
                               f" {len(events)} events rejected")
        for index, event in enumerate(events):
            if event.valid == (index in rejected):
                verb = "rejected" if event.valid else "accepted"
                self.book.complain(f"wrongly {verb}: {event.text[:300]}"
                                   f" answer: {body[:300]!r}")
        return {event: "rejected" if index in rejected else "acked"
                for index, event in enumerate(events)}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--url", help="of the track location")
    parser.add_argument("--out", help="file for the verdicts")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=float, default=300, help="events/s")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--invalid", type=float, default=0.05,
                        help="share of events that must be rejected")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--schema", action="store_true",
                        help="print the SQL of the schema needed, and end")
    args = parser.parse_args()
    if not args.schema and not (args.url and args.out):
        parser.error("--url and --out are needed")
    return args


def main() -> int:
    args = parse_args()
    if args.schema:
        print(schema_sql())
        return 0

    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())

    with open(args.out, "w", encoding="utf-8") as out:
        book = Book(out)
        senders = [Sender(args, book, n, stop) for n in range(args.connections)]
        for sender in senders:
            sender.start()
        stop.wait(args.seconds)
        stop.set()
        for sender in senders:
            sender.join(TIMEOUT_S * 2)

    json.dump({"verdicts": book.verdicts, "answers": book.answers,
               "wrong": book.wrong}, sys.stdout)
    print()
    return 1 if book.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
