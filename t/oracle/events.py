"""Makes the events of the oracle's load: every data type, several dates,
text that breaks careless code.  Pure: all randomness comes from the caller's
generator.  Used by load.py; the schema they need is printed by
`load.py --schema` as SQL.
"""

from __future__ import annotations

import json
import random
import time
import uuid
from dataclasses import dataclass

EVENT_TYPE = "oracle_event"

# name -> data type; o_id is required, so an event without it is rejected.
FIELDS = {
    "o_id": "string",
    "o_text": "string",
    "o_int": "int",
    "o_float": "float",
    "o_bool": "bool",
    "o_time": "timestamp",
    "o_list": "string[]",
    "o_json": "json",
}

TEXTS = (
    "plain", "", " spaces at both ends ", "Zürich", "東京タワー", "🛒🎉",
    'quote " backslash \\ slash /', "tab\tnewline\ncr\r", "nul\u0000bell\u0007",
    "e\u0301 combining", "\u202eright to left", "'; DROP TABLE events; --",
    "x" * 3000,
)

INTS = (0, 1, -1, 42, 2**31, -(2**31), 2**53 + 1, -(2**53) - 1,
        2**63 - 1, -(2**63))

FLOATS = ("0.1", "-0.0", "1e-7", "3.141592653589793", "1.7976931348623157e308",
          "5e-324", "100.00", "12345678901234567890.5")

DAY_MS = 86_400_000


@dataclass(frozen=True)
class Event:
    """One event as it is sent: its JSON text, and whether it is acceptable."""

    id: str
    text: str
    valid: bool


def schema_sql() -> str:
    """What a DBA would run before the load starts."""
    rows = ",\n".join(
        f"('{name}', '{kind}', {str(name == 'o_id').lower()})"
        for name, kind in FIELDS.items())
    return f"""
WITH t AS (INSERT INTO event_types (name) VALUES ('{EVENT_TYPE}')
           ON CONFLICT (name) DO NOTHING RETURNING id)
INSERT INTO event_fields (event_type_id, name, data_type, required)
SELECT t.id, f.* FROM t, (VALUES {rows}) f;
"""


def _timestamp(rnd: random.Random, now_ms: int) -> str:
    """A JSON timestamp, mostly recent, some days old, some out of range."""
    kind = rnd.random()
    if kind < 0.85:
        ms = now_ms - rnd.randrange(3_600_000)
    elif kind < 0.98:
        ms = now_ms - rnd.randrange(5 * DAY_MS)
    else:
        ms = now_ms - 400 * DAY_MS
    if rnd.random() < 0.3:
        return str(ms)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ms // 1000))
    return f'"{text}.{ms % 1000:03d}{rnd.choice(("Z", "+00:00"))}"'


def _fields(rnd: random.Random, event_id: str, now_ms: int) -> str:
    """The members of fields; number texts are written as they are meant."""
    members = {
        "o_text": json.dumps(rnd.choice(TEXTS), ensure_ascii=rnd.random() < 0.3),
        "o_int": str(rnd.choice(INTS)),
        "o_float": rnd.choice(FLOATS),
        "o_bool": rnd.choice(("true", "false")),
        "o_time": _timestamp(rnd, now_ms),
        "o_list": json.dumps(rnd.sample(TEXTS[:9], rnd.randrange(4)),
                             ensure_ascii=False),
        "o_json": json.dumps({"a": [1, {"b": rnd.choice(TEXTS[:9])}], "n": None},
                             ensure_ascii=False),
    }
    chosen = rnd.sample(sorted(members), rnd.randrange(len(members) + 1))
    parts = [f'"o_id":"{event_id}"'] + [f'"{n}":{members[n]}' for n in chosen]
    return "{" + ",".join(parts) + "}"


def make_event(rnd: random.Random, invalid_share: float) -> Event:
    """One event; about invalid_share of them lack their required field."""
    now_ms = int(time.time() * 1000)
    event_id = str(uuid.UUID(int=rnd.getrandbits(128), version=4))
    valid = rnd.random() >= invalid_share
    fields = _fields(rnd, event_id, now_ms) if valid else '{"o_int":1}'
    members = [
        f'"event_type":"{EVENT_TYPE}"',
        f'"event_id":"{event_id}"',
        f'"session_id":"s{rnd.randrange(200)}"',
        f'"fields":{fields}',
    ]
    if rnd.random() < 0.8:
        members.append(f'"timestamp":{_timestamp(rnd, now_ms)}')
    if rnd.random() < 0.5:
        members.append(f'"user_id":"u{rnd.randrange(50)}"')
    return Event(event_id, "{" + ",".join(members) + "}", valid)
