"""nginx with the module: the shop at /, its script, the tracking endpoint."""

from __future__ import annotations

import pathlib
import signal

from . import core
from .kafka import Kafka
from .postgres import Postgres

MODULE = core.BUILD / "ngx_http_track_module.so"


class Nginx(core.Part):
    name = "nginx"
    ports = ("nginx",)
    stop_signal = signal.SIGQUIT    # graceful: lets requests end

    def __init__(self, stack: core.Stack) -> None:
        super().__init__(stack)
        # Workers are Debian's www-data, as in production, where that user can
        # reach the clone; below a home directory that is closed to others they
        # stay what we are.
        user = core.unprivileged("www-data")
        self.user = user if core.reaches(user, core.ROOT / "dev") else None

    def url(self) -> str:
        return f"http://127.0.0.1:{self.stack.port('nginx')}"

    def prepare(self) -> None:
        core.need_file(MODULE)
        core.place(self.dir / "schema", self.user)
        core.place(self.dir / "spool", self.user)
        (self.dir / "temp").mkdir(exist_ok=True)
        self.configure()
        core.run([*self.command(), "-t"], "nginx -t", cwd=self.dir)

    def configure(self) -> None:
        core.render(core.TEMPLATES / "nginx.conf.in", self.dir / "nginx.conf", {
            "USER": f"user {self.user};" if self.user else
                    core.unprivileged("user root;") or "",
            "MODULE": MODULE,
            "PORT": self.stack.port("nginx"),
            "DIR": self.dir,
            "SHOP": core.ROOT / "dev" / "shop",
            "SDK": core.ROOT / "sdk" / "dist",
            "POSTGRES": Postgres(self.stack).url("track_reader"),
            "BROKERS": Kafka(self.stack).env()["KAFKA_BROKERS"]})

    def command(self) -> list[str | pathlib.Path]:
        return ["/usr/sbin/nginx", "-p", f"{self.dir}/",
                "-c", self.dir / "nginx.conf", "-e", self.process.log]

    def spawn(self) -> None:
        self.process.spawn(self.command())

    def answers(self) -> bool:
        return core.http_answers(self.url() + "/track/status")

    def env(self) -> dict[str, str]:
        return {"TRACK_URL": self.url()}
