#!/usr/bin/env python3
"""t/oracle/differential.py VERDICT: our JSON scanner against Python's and V8's.

Thousands of texts (the fuzz corpora, every short string of JSON's characters,
random documents and their mutations; the same ones every time) are scanned by
fuzz/verdict.c (its binary is VERDICT), json.loads() and JSON.parse(). All must
agree on what JSON is, but for our two refusals, names that stand twice and
more than 16 levels, which are recomputed here; of what is taken the values
must be the same, numbers digit by digit.

Where the others are known to differ from RFC 8259 they are told not to:
json.loads() takes NaN and Infinity, turns numbers into its own, and guesses the
encoding of bytes; so it gets text, and functions for all these. Surrogates that
stand alone are JSON; decoded by us they are U+FFFD.
"""

from __future__ import annotations

import itertools
import json
import pathlib
import random
import re
import struct
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
MAX_DEPTH = 16
# What short strings are made of.
ALPHABET = [b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"0", b"1", b"-",
            b"+", b".", b"e", b" ", b"\n", b"a", b"u", b"null", b"true", b'""',
            b"\x00", b"\xff", b"\xc3\xa9"]
SURROGATE = re.compile("[\ud800-\udfff]")


class Pairs(list):
    """An object as it was written: names may stand twice."""


class Number(str):
    """A number as it was written."""


def no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


# --- the texts ---

def corpora() -> list[bytes]:
    texts = []
    for path in sorted((ROOT / "fuzz" / "corpus" / "json").iterdir()):
        texts.append(path.read_bytes())
    for path in sorted((ROOT / "fuzz" / "corpus" / "request").iterdir()):
        texts.append(path.read_bytes()[1:])
    return texts


def short() -> list[bytes]:
    return [b"".join(parts) for n in range(4)
            for parts in itertools.product(ALPHABET, repeat=n)]


def nested() -> list[bytes]:
    texts = []
    for depth, leaf in itertools.product(range(13, 21), (b"", b"1", b"[", b"x")):
        texts.append(b"[" * depth + leaf + b"]" * depth)
        texts.append(b'{"a":' * depth + (leaf or b"{}") + b"}" * depth)
        texts.append(b"[1,[2]," * depth + b"3" + b"]" * depth + leaf)
    return texts


def random_string(rng: random.Random) -> str:
    piece = lambda: rng.choice([
        rng.choice("abcxyz /~\x7f"), "\u00e9", "\u4f60", "\U0001f600",
        "\\n", "\\\"", "\\\\", "\\/", "\\u00e9", "\\uD83D\\uDE00", "\\ud800",
        "\\udc00", "\\u0000", "\\uFFFF"])
    return '"' + "".join(piece() for _ in range(rng.randrange(12))) + '"'


def random_number(rng: random.Random) -> str:
    text = rng.choice(["", "-"]) + rng.choice(["0", str(rng.randrange(1, 10**20))])
    if rng.random() < 0.4:
        text += "." + str(rng.randrange(10**6)).zfill(rng.randrange(1, 9))
    if rng.random() < 0.3:
        text += rng.choice("eE") + rng.choice(["", "+", "-"]) + str(rng.randrange(400))
    return text


def random_value(rng: random.Random, depth: int) -> str:
    space = lambda: rng.choice(["", "", "", " ", "\n", "\t \r\n"])
    kind = rng.randrange(7 if depth < rng.choice([3, 5, 18]) else 3)
    if kind == 0:
        return rng.choice(["null", "true", "false"])
    if kind == 1:
        return random_number(rng)
    if kind == 2:
        return random_string(rng)
    inner = [space() + random_value(rng, depth + 1) + space()
             for _ in range(rng.choice([0, 1, 2, 3, 20 if depth < 2 else 1]))]
    if kind < 5:
        return "[" + (",".join(inner) or space()) + "]"
    members = [space() + random_string(rng) + space() + ":" + value
               for value in inner]
    return "{" + (",".join(members) or space()) + "}"


def mutated(rng: random.Random, text: bytes) -> bytes:
    at = rng.randrange(len(text) + 1)
    kind = rng.randrange(4)
    if kind == 0:
        return text[:at]
    if kind == 1:
        return text[:at] + rng.choice(ALPHABET) + text[at:]
    if kind == 2:
        return text[:at] + text[at + 1 + rng.randrange(3):]
    return text[:at] + bytes([rng.randrange(256)]) + text[at + 1:]


def documents(count: int) -> list[bytes]:
    rng = random.Random(8259)
    texts = []
    for _ in range(count):
        whole = random_value(rng, 0).encode()
        texts += [whole, mutated(rng, whole), mutated(rng, mutated(rng, whole))]
    return texts


# --- the verdicts ---

def run(command: list[str], texts: list[bytes]) -> list[str]:
    data = b"".join(struct.pack("<I", len(text)) + text for text in texts)
    done = subprocess.run(command, input=data, stdout=subprocess.PIPE,
                          check=True, timeout=60)
    lines = done.stdout.decode().split("\n")[:-1]
    if len(lines) != len(texts):
        sys.exit(f"{command[0]}: {len(lines)} verdicts on {len(texts)} texts")
    return lines


def show(value: object) -> str:
    """As fuzz/verdict.c prints a value."""
    if value is None:
        return " n"
    if isinstance(value, bool):
        return " t" if value else " f"
    if isinstance(value, Number):
        return " #" + value
    if isinstance(value, str):
        return ' "' + SURROGATE.sub("\ufffd", value).encode().hex()
    if isinstance(value, Pairs):
        return " {" + "".join(show(k) + show(v) for k, v in value) + " }"
    return " [" + "".join(map(show, value)) + " ]"


def refusals(value: object, depth: int = 1) -> set[str]:
    """Which of our own refusals a value meets."""
    if not isinstance(value, list):
        return set()
    found = {"too_deep"} if depth > MAX_DEPTH else set()
    inner = value
    if isinstance(value, Pairs):
        names = [SURROGATE.sub("\ufffd", name) for name, _ in value]
        if len(set(names)) < len(names):
            found.add("duplicate_key")
        inner = [item for _, item in value]
    return found.union(*(refusals(item, depth + 1) for item in inner))


def python_verdict(text: bytes) -> tuple[str, set[str]]:
    """("ok" and the value, or "utf8", or "no"; our refusals)."""
    try:
        decoded = text.decode("utf-8")
    except UnicodeDecodeError:
        return "utf8", set()
    try:
        value = json.loads(decoded, object_pairs_hook=Pairs, parse_int=Number,
                           parse_float=Number, parse_constant=no_constant)
    except ValueError:
        return "no", set()
    return "ok" + show(value), refusals(value)


def disagreement(ours: str, theirs: str, refused: set[str], v8: str) -> str:
    """"": all agree."""
    if theirs.split(" ")[0] != v8:
        return "Python and V8 disagree"
    if ours.startswith("ok"):
        if refused:
            return f"should be refused: {refused}"
        return "" if ours == theirs else "taken, or with another value"
    if theirs.startswith("ok"):
        return "" if ours in refused else "is JSON"
    if ours == "invalid_utf8" and theirs != "utf8":
        return "is UTF-8"
    return ""


def main() -> None:
    texts = corpora() + short() + nested() + documents(4000)
    ours = run([sys.argv[1]], texts)
    v8 = run(["node", str(ROOT / "t" / "oracle" / "verdicts.mjs")], texts)
    wrong = 0
    taken = 0

    for text, our, node in zip(texts, ours, v8):
        theirs, refused = python_verdict(text)
        why = disagreement(our, theirs, refused, node)
        taken += our.startswith("ok")
        wrong += bool(why)
        if why and wrong <= 20:
            print(f"{text!r}: {why}\n  ours {our}\n  Python {theirs}\n  V8 {node}",
                  file=sys.stderr)

    codes = {code: sum(1 for our in ours if our.split(" ")[0] == code)
             for code in sorted({our.split(" ")[0] for our in ours})}
    print(f"{len(texts)} texts, {taken} taken, {wrong} disagreements; {codes}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
