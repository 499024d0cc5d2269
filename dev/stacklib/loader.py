"""The loader, and the migrations that go before it."""

from __future__ import annotations

from . import core
from .clickhouse import ClickHouse
from .kafka import Kafka
from .postgres import Postgres

PROGRAM = core.BUILD / "track-loader"


class Loader(core.Part):
    name = "loader"
    ports = ("loader",)

    def url(self) -> str:
        return f"http://127.0.0.1:{self.stack.port('loader')}"

    def prepare(self) -> None:
        core.need_file(PROGRAM)
        core.render(core.TEMPLATES / "loader.conf.in",
                    self.dir / "loader.conf", {
                        "PORT": self.stack.port("loader"),
                        "BROKERS": Kafka(self.stack).env()["KAFKA_BROKERS"],
                        "CLICKHOUSE": ClickHouse(self.stack).url(),
                        "POSTGRES_LOADER":
                            Postgres(self.stack).url("track_loader"),
                        "POSTGRES_OWNER": Postgres(self.stack).url("postgres"),
                        "MIGRATIONS": core.ROOT / "migrations"})

    def migrate(self) -> None:
        """Applies what is pending and creates the topics."""
        self.dir.mkdir(parents=True, exist_ok=True)
        self.prepare()
        core.run([PROGRAM, "migrate", "-c", self.dir / "loader.conf"],
                 "track-loader migrate", cwd=self.dir)

    def spawn(self) -> None:
        self.process.spawn([PROGRAM, "-c", self.dir / "loader.conf"])

    def answers(self) -> bool:
        """Ready, if all that it needs runs; else it is enough that it lives."""
        complete = all(part(self.stack).runs()
                       for part in (Postgres, Kafka, ClickHouse))
        return core.http_answers(self.url() + ("/readyz" if complete else
                                               "/healthz"))

    def env(self) -> dict[str, str]:
        return {"LOADER_URL": self.url()}
