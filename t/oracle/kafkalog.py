"""Reads a topic as it is in Kafka's log, with kcat: bytes, not text.

Used by check.py; needs kcat on PATH.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

FORMAT = r"%p %o %T %K %S\n%k%s\n%h\n"


@dataclass(frozen=True)
class Record:
    partition: int
    offset: int
    time_ms: int
    key: bytes
    value: bytes
    headers: str        # as kcat prints them: name=value,name=value

    @property
    def place(self) -> tuple[int, int]:
        return self.partition, self.offset


def read_topic(brokers: str, topic: str) -> list[Record]:
    """Every record of the topic, from the beginning to what is its end now."""
    done = subprocess.run(
        ["kcat", "-C", "-b", brokers, "-t", topic, "-o", "beginning", "-e", "-q",
         "-X", "fetch.wait.max.ms=50", "-f", FORMAT],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"kcat: {done.stderr.decode(errors='replace')}")
    return parse(done.stdout)


def parse(text: bytes) -> list[Record]:
    """Takes kcat's output apart by the lengths in it; -1 is NULL."""
    records = []
    at = 0
    while at < len(text):
        end = text.index(b"\n", at)
        partition, offset, time_ms, key, size = map(int, text[at:end].split())
        start = end + 1 + max(key, 0)
        stop = start + max(size, 0)
        at = text.index(b"\n", stop + 1) + 1
        records.append(Record(partition, offset, time_ms,
                              text[end + 1:start], text[start:stop],
                              text[stop + 1:at - 1].decode(errors="replace")))
    return records
