"""dev/demo: events from a real browser to rows in ClickHouse, to watch.

After dev/setup has installed and built what was missing: starts the services
(dev/stack), defines the shop's events as a DBA would, and lets visitors in: headless
Chromium that walks through the shop, and a bulk generator. Prints what to open
and a live line of counts until Ctrl-C.

A stack that runs already is used as it is, and left running. One that the demo
started is stopped at the end; its data stays under .run/.
"""

from __future__ import annotations

import argparse
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys
import time

DEV = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(DEV))

from demolib import rows  # noqa: E402
from demolib.bulk import Bulk  # noqa: E402
from demolib.visits import Told, VisitFailed, Visitor, Visits  # noqa: E402
from stacklib import signals  # noqa: E402

PARTS = ("postgres", "kafka", "clickhouse", "nginx", "loader")
PATIENCE = 30           # seconds for a visit's rows to be in ClickHouse


class DemoError(Exception):
    """One sentence for the user."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="dev/demo", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--once", action="store_true",
                        help="one visit; print the rows it left in ClickHouse "
                             "and end, with 0 only if they are what the "
                             "browser was told")
    parser.add_argument("--rate", type=int, default=100, metavar="N",
                        help="bulk events a second (100; 0: none)")
    parser.add_argument("--every", type=float, default=20, metavar="S",
                        help="seconds between two visits by a browser (20)")
    parser.add_argument("--name", help="the stack's name, as for dev/stack")
    parser.add_argument("--port-base", metavar="P", help="as for dev/stack")
    return parser.parse_args()


class Stack:
    """dev/stack, as a person would use it."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.options = []
        for option in ("name", "port_base"):
            value = getattr(args, option)
            if value is not None:
                self.options += ["--" + option.replace("_", "-"), value]
        self.ours = False

    def command(self, *words: str) -> list[str]:
        return [str(DEV / "stack"), *words, *self.options]

    def env(self) -> dict[str, str]:
        out = subprocess.run(self.command("env"), check=True, text=True,
                             stdout=subprocess.PIPE).stdout
        return dict(word.split("=", 1) for word in shlex.split(out))

    def stopped(self) -> list[str]:
        """The parts that do not run."""
        lines = subprocess.run(self.command("status"), check=False, text=True,
                               stdout=subprocess.PIPE).stdout.splitlines()
        return [line.split()[0] for line in lines if line.endswith(" stopped")]

    def begin(self) -> None:
        """Starts it, unless something of it runs already."""
        if len(self.stopped()) < len(PARTS):
            say("using the stack that runs already")
            return
        self.ours = True
        run(self.command("start"))

    def end(self) -> None:
        if self.ours:
            subprocess.run(self.command("stop"), check=False)


def say(text: str) -> None:
    print(text, flush=True)


def run(command: list[str]) -> None:
    """Runs a program of ours in the foreground. Ctrl-C is passed on and waited
    for: it has processes of its own to end."""
    child = subprocess.Popen(command)
    try:
        code = child.wait()
    except KeyboardInterrupt:
        child.send_signal(signal.SIGINT)
        child.wait()
        raise
    if code != 0:
        raise DemoError(f"{' '.join(command)} ended with {code}: "
                        "see the lines above")


def define_events(env: dict[str, str]) -> None:
    """The shop's event types, entered in psql."""
    done = subprocess.run(
        ["psql", "-X", "-q", "-1", "-v", "ON_ERROR_STOP=1", "-d",
         env["DATABASE_URL"], "-f", str(DEV / "shop" / "schema.sql")],
        text=True, check=False, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise DemoError("PostgreSQL did not take dev/shop/schema.sql: "
                        f"{done.stdout.strip()}; see dev/stack status")


# --- one visit ---------------------------------------------------------------


def once(stack: Stack, env: dict[str, str]) -> None:
    """One visit and its rows; raises if they are not what was told."""
    say(f"one visit to {env['TRACK_URL']}/ in headless Chromium …")
    try:
        told = Visitor(env["TRACK_URL"]).visit(1)
    except VisitFailed as e:
        raise DemoError(str(e) + hint(stack)) from None
    say(f"the browser was told about {len(told)} events; their rows:\n")

    found = await_rows(stack, env["CLICKHOUSE_URL"], told)
    say(rows.table(found) + "\n")

    wrong = rows.differences(told, found) if told else ["no event was sent"]
    for sentence in wrong:
        say(f"  {sentence}")
    if wrong:
        raise DemoError(f"{len(wrong)} difference(s) between the rows and what "
                        f"the browser was told{hint(stack)}")
    say(f"{len(found)} rows, each as the browser was told")


def await_rows(stack: Stack, url: str, told: list[Told]) -> list[rows.Row]:
    """The visit's rows, waited for while they can still come."""
    accepted = sum(event["status"] == "accepted" for event in told)
    end = time.monotonic() + PATIENCE
    found: list[rows.Row] = []
    while time.monotonic() < end:
        try:
            found = rows.rows_of(url, told)
        except rows.ClickHouseDown as e:
            raise DemoError(str(e) + hint(stack)) from None
        if len(found) >= accepted or stack.stopped():
            break
        time.sleep(0.2)
    return found


def hint(stack: Stack) -> str:
    """What to look at, if parts of the stack are down."""
    stopped = stack.stopped()
    if not stopped:
        return ""
    return f": {' and '.join(stopped)} stopped (dev/stack start)"


# --- until Ctrl-C ------------------------------------------------------------


def watch(args: argparse.Namespace, env: dict[str, str]) -> None:
    """Traffic and a live line, until Ctrl-C."""
    say(f"""
  shop              {env['TRACK_URL']}/
  nginx's counters  {env['TRACK_URL']}/track/status
  loader's metrics  {env['LOADER_URL']}/metrics
  SQL, ClickHouse   {env['CLICKHOUSE_URL']}/play?user=default   (SELECT * FROM \
track.events)
  SQL, schema       psql {env['DATABASE_URL']}
  Kafka             kcat -b {env['KAFKA_BROKERS']} -t tracking_events -C

Ctrl-C ends it.
""")
    visits = Visits(Visitor(env["TRACK_URL"]), args.every)
    bulk = Bulk(env["TRACK_URL"], args.rate)
    try:
        visits.start()
        bulk.start()
        while True:
            show(live_line(visits, bulk, env["CLICKHOUSE_URL"]))
            time.sleep(1 if sys.stdout.isatty() else 10)
    except KeyboardInterrupt:
        pass    # how it is meant to end
    finally:
        signals.ignore()
        say("\nending the visits")
        bulk.stop()
        visits.stop()


def live_line(visits: Visits, bulk: Bulk, url: str) -> str:
    browser = f"browser visits {visits.made}"
    if visits.failed:
        browser += f" ({visits.failed} failed: {visits.last_failure})"
    try:
        count = rows.query(url, """SELECT count() AS n,
            countIf(received_at > now() - 60) AS minute FROM track.events""")[0]
        landed = f"rows {count['n']:,} ({count['minute']:,} of the last minute)"
    except rows.ClickHouseDown:
        landed = "rows ? (ClickHouse does not answer)"
    sent = f"bulk {bulk.accepted:,} accepted, {bulk.rejected:,} rejected"
    if bulk.retries:
        sent += f", {bulk.retries:,} retries"
    return f"{sent} | {browser} | {landed}"


def show(line: str) -> None:
    """Over the last one on a terminal, below it elsewhere."""
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns - 1
        print("\r\033[K" + line[:width], end="", flush=True)
    else:
        say(line)


def main() -> None:
    args = arguments()
    stack = Stack(args)
    try:
        stack.begin()
        env = stack.env()
        define_events(env)
        if args.once:
            once(stack, env)
        else:
            watch(args, env)
    finally:
        signals.ignore()
        stack.end()


if __name__ == "__main__":
    signals.as_interrupt()
    try:
        main()
    except DemoError as e:
        sys.exit(f"dev/demo: {e}")
    except KeyboardInterrupt:
        sys.exit(130)
