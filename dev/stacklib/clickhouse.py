"""ClickHouse: the server out of libchdb, or one that --clickhouse-url names."""

from __future__ import annotations

from . import core

SOURCE = core.ROOT / "dev" / "clickhouse-embedded"


class ClickHouse(core.Part):
    name = "clickhouse"
    ports = ("clickhouse", "clickhouse_tcp")

    def url(self) -> str:
        return self.stack.clickhouse_url or \
            f"http://127.0.0.1:{self.stack.port('clickhouse')}"

    def runs(self) -> bool:
        return self.stack.clickhouse_url is not None or super().runs()

    def where(self) -> str:
        return f"at {self.stack.clickhouse_url}" \
            if self.stack.clickhouse_url else super().where()

    def begin(self) -> bool:
        if self.stack.clickhouse_url is None:
            return super().begin()
        if not self.answers():
            raise core.StackError(f"no ClickHouse answers at {self.url()}: "
                                  "start it, or leave out --clickhouse-url")
        return False

    def prepare(self) -> None:
        core.need_file(core.BUILD / "clickhouse-embedded")
        (self.dir / "data").mkdir(exist_ok=True)
        for name in ("conf.xml", "users.xml"):
            core.render(SOURCE / f"{name}.in", self.dir / name,
                        {"HTTP_PORT": self.stack.port("clickhouse"),
                         "TCP_PORT": self.stack.port("clickhouse_tcp"),
                         "DIR": self.dir})

    def spawn(self) -> None:
        self.process.spawn([core.BUILD / "clickhouse-embedded",
                            self.dir / "data", self.dir / "conf.xml"])

    def answers(self) -> bool:
        return core.http_answers(self.url() + "/ping")

    def ready(self, since: float) -> bool:
        return self.stack.clickhouse_url is not None or super().ready(since)

    def env(self) -> dict[str, str]:
        return {"CLICKHOUSE_URL": self.url()}
