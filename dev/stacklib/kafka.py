"""Apache Kafka in KRaft mode: broker and controller in one process."""

from __future__ import annotations

import base64
import contextlib
import os
import pathlib
import shutil
import socket
import struct
import uuid

from . import core

# KAFKA_LIBS: another release's jars (bench/run edge, for a peer).
LIBS = pathlib.Path(os.environ.get("KAFKA_LIBS")
                    or core.BUILD / "kafka" / "libs")


class Kafka(core.Part):
    name = "kafka"
    ports = ("kafka", "kafka_controller")
    patience = 60.0

    def java(self, *arguments: str) -> list[str]:
        return ["java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
                "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
                "-Dorg.slf4j.simpleLogger.showDateTime=true",
                "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
                "-cp", f"{LIBS}/*", *arguments]

    def prepare(self) -> None:
        core.need_file(LIBS)
        if shutil.which("java") is None:
            raise core.StackError("java is missing: run dev/setup")
        self.configure("data")
        if (self.dir / "data").exists():
            return
        # Under another name first: Ctrl-C leaves no half of a log directory.
        shutil.rmtree(self.dir / "data.new", ignore_errors=True)
        self.configure("data.new")
        core.run(self.java("kafka.tools.StorageTool", "format", "--standalone",
                           "-t", cluster_id(), "-c", "server.properties"),
                 "formatting Kafka's storage", cwd=self.dir)
        (self.dir / "data.new").rename(self.dir / "data")
        self.configure("data")

    def configure(self, data: str) -> None:
        core.render(core.TEMPLATES / "kafka.properties.in",
                    self.dir / "server.properties",
                    {"PORT": self.stack.port("kafka"),
                     "CONTROLLER_PORT": self.stack.port("kafka_controller"),
                     "DATA": self.dir / data})

    def spawn(self) -> None:
        self.process.spawn(self.java("kafka.Kafka", "server.properties"))

    def answers(self) -> bool:
        return broker_answers(self.stack.port("kafka"))

    def env(self) -> dict[str, str]:
        return {"KAFKA_BROKERS": f"127.0.0.1:{self.stack.port('kafka')}"}


def cluster_id() -> str:
    """22 characters of URL-safe base64; a leading dash would be an option."""
    text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    return "k" + text[1:]


def broker_answers(port: int) -> bool:
    """Asks for the metadata of all topics (version 1): answered with at least
    one broker only once the broker has registered with its controller."""
    client = b"dev/stack"
    request = struct.pack(">hhih", 3, 1, 1, len(client)) + client + \
        struct.pack(">i", -1)
    with contextlib.suppress(OSError), \
            socket.create_connection(("127.0.0.1", port), timeout=2) as s:
        s.sendall(struct.pack(">i", len(request)) + request)
        head = s.recv(12, socket.MSG_WAITALL)
        if len(head) == 12:
            _, correlation, brokers = struct.unpack(">iii", head)
            return bool(correlation == 1 and brokers > 0)
    return False
