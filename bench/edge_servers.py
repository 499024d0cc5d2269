"""The servers that bench/run edge compares, each an nginx with one worker.

bare    nginx alone, and a module that reads the body and answers 204
track   ngx_http_track_module, Kafka and PostgreSQL beside it
away    the same with no Kafka there: everything goes to the spool
lua     Debian's lua-nginx-module, lua-cjson and lua-nginx-kafka, which needs a
        Kafka of its own (<= 3.9); left out where it is not installed
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import subprocess
from collections.abc import Iterator

import common

PORTS = {"bare": 8990, "track": 8991, "away": 8992, "lua": 8993}
PEER_NAME = "bench-peer"
PEER_BASE = 8840
PEER = common.ROOT / "bench" / "peer"
PEER_KAFKA = common.ROOT / "build" / "kafka39" / "libs"
MODULES = pathlib.Path("/usr/lib/nginx/modules")
TOPICS = {"bench_four": 4, "bench_one": 1}
# What a run leaves on the broker's disk.
TOPIC_PROPERTIES = ("retention.bytes=134217728", "segment.bytes=33554432")
SETTLED_S = 30.0

READY = """
    client_body_buffer_size 1m;
    client_max_body_size 1m;
"""

BARE = READY + """
    server {
        listen 127.0.0.1:@PORT@;
        location = /bare { return 204; }
        location = /read { bench_read; }
    }
"""

TRACK = READY + """
    track_postgres "@POSTGRES@";
    track_zone track:8m;
    track_schema_file @DIR@/schema/schema.json;
    track_kafka_brokers @BROKERS@;
    track_rejected_topic off;
    track_spool @DIR@/spool max_size=20g;
    server {
        listen 127.0.0.1:@PORT@;
        location = /kafka { track; track_kafka_topic bench_four; }
        location = /one { track; track_kafka_topic bench_one; }
        location = /spool {
            track; track_kafka_topic bench_four; track_ack spool;
        }
        location = /none {
            track; track_kafka_topic bench_four; track_ack none;
        }
    }
"""

LUA = READY + """
    lua_package_path "@PEER@/?.lua;;";
    init_worker_by_lua_block { require "track" }
    server {
        listen 127.0.0.1:@PORT@;
        location = /track {
            content_by_lua_block {
                require("track").serve("127.0.0.1", @KAFKA@, "bench_four")
            }
        }
    }
"""

SCHEMA = """
    INSERT INTO event_types (name) VALUES ('button_click');
    INSERT INTO event_fields (event_type_id, name, data_type, required)
        SELECT t.id, f.name, f.data_type, f.required FROM event_types t,
            (VALUES ('button_name', 'string', true), ('position', 'int', true),
                    ('price', 'float', false), ('logged_in', 'bool', false),
                    ('note', 'string', false)) f (name, data_type, required)
        WHERE t.name = 'button_click';
"""


def missing() -> str:
    """What the peer lacks, in one sentence; empty: nothing."""
    wanted = (MODULES / "ngx_http_lua_module.so",
              pathlib.Path("/usr/share/lua/5.1/nginx/kafka/producer.lua"),
              pathlib.Path("/usr/lib/x86_64-linux-gnu/lua/5.1/cjson.so"),
              PEER_KAFKA)
    absent = [str(path) for path in wanted if not path.exists()]
    if not absent:
        return ""
    return f"{absent[0]} is missing: run bench/run edge --setup"


def setup() -> None:
    """Installs the peer: Debian packages (needs root) and Kafka 3.9's jars."""
    lines = (PEER / "packages").read_text().splitlines()
    packages = [line for line in lines if line and not line.startswith("#")]
    common.say("Debian packages: " + " ".join(packages))
    # No service may be started by being installed: port 80 may be someone's.
    common.command(["env", "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1",
                    "apt-get", "-o", "DPkg::Lock::Timeout=600", "install",
                    "-y", "--no-install-recommends", *packages])
    if not PEER_KAFKA.exists():
        common.say("Apache Kafka 3.9.1 (Maven Central, 46 MB)")
        new = PEER_KAFKA.with_name("libs.new")
        common.command(["mvn", "-B", "-ntp", "-q", "-f", PEER / "pom.xml",
                        "dependency:copy-dependencies",
                        f"-DoutputDirectory={new}"])
        new.rename(PEER_KAFKA)


def topics(brokers: str) -> None:
    for name, partitions in TOPICS.items():
        common.command([common.ROOT / "t" / "lib" / "kafka-admin", brokers,
                        "create-topic", name, str(partitions),
                        *TOPIC_PROPERTIES])


class Server:
    """One of them, by what bench-load needs to know."""

    def __init__(self, name: str, folder: pathlib.Path) -> None:
        self.name = name
        self.folder = folder
        self.address = f"127.0.0.1:{PORTS[name]}"

    def pid(self) -> int:
        """The worker's; a reload changes it."""
        return common.workers(self.folder)[-1]

    def reload(self) -> None:
        os.kill(int((self.folder / "nginx.pid").read_text()), 1)

    def answers(self, path: str) -> bool:
        """Does it take events?"""
        status = common.load(self.address, path, connections=1, seconds=0.05,
                             warm=0)["status"]
        return bool(status) and not any(int(s) >= 300 for s in status)


@contextlib.contextmanager
def _nginx(name: str, conf: str,
           modules: tuple[pathlib.Path, ...] = ()) -> Iterator[Server]:
    with common.nginx(conf, 1, PORTS[name], modules) as folder:
        yield Server(name, folder)


@contextlib.contextmanager
def _peer() -> Iterator[Server]:
    previous = os.environ.get("KAFKA_LIBS")
    os.environ["KAFKA_LIBS"] = str(PEER_KAFKA)
    try:
        with common.stack("kafka", name=PEER_NAME, base=PEER_BASE) as env:
            topics(env["KAFKA_BROKERS"])
            conf = LUA.replace("@PEER@", str(PEER)).replace(
                "@KAFKA@", env["KAFKA_BROKERS"].rpartition(":")[2])
            with _nginx("lua", conf, (MODULES / "ndk_http_module.so",
                                      MODULES / "ngx_http_lua_module.so")
                        ) as server:
                yield server
    finally:
        os.environ.pop("KAFKA_LIBS")
        if previous:
            os.environ["KAFKA_LIBS"] = previous


@contextlib.contextmanager
def all_servers(peer: bool) -> Iterator[dict[str, Server]]:
    """Everything, ready to be measured."""
    with contextlib.ExitStack() as stack:
        env = stack.enter_context(common.stack("postgres", "kafka"))
        common.migrate(env["DATABASE_URL"])
        common.command(["psql", "-X", "-q", "-d", env["DATABASE_URL"]], SCHEMA)
        topics(env["KAFKA_BROKERS"])
        track = TRACK.replace("@POSTGRES@", env["DATABASE_URL"].replace(
            "postgres@", "track_reader@"))
        servers = [
            stack.enter_context(_nginx("bare", BARE, (
                common.ROOT / "build" / "bench-read.so",))),
            stack.enter_context(_nginx("track", track.replace(
                "@BROKERS@", env["KAFKA_BROKERS"]))),
            stack.enter_context(_nginx("away", track.replace(
                "@BROKERS@", "127.0.0.1:9")))]
        if peer:
            servers.append(stack.enter_context(_peer()))
        found = {server.name: server for server in servers}
        common.await_true(lambda: found["track"].answers("/kafka"), SETTLED_S,
                          "the first event to be taken")
        yield found
