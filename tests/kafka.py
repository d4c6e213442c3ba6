"""A Kafka broker for tests: Apache's own jars from Maven Central, one KRaft node on loopback."""

import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.go import CACHE

VERSION = "4.1.0"
FETCH_SECONDS = 280
START_SECONDS = 120
STOP_SECONDS = 30
POLL_SECONDS = 0.2
CLUSTER = "cGFvdHVpLXRlc3RzLW9ubA"
"""Any 16 bytes in base64."""
PARTITIONS = 3
MEMORY = ["-Xmx384m", "-Xms64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
<modelVersion>4.0.0</modelVersion><groupId>paotui</groupId><artifactId>kafka</artifactId>
<version>1</version><dependencies><dependency><groupId>org.apache.kafka</groupId>
<artifactId>kafka_2.13</artifactId><version>{VERSION}</version></dependency></dependencies>
</project>"""
PROPERTIES = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
log.dirs={folder}/data
num.partitions={partitions}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
log.cleaner.enable=false
"""


class Broker:
    """One node on a port of its own; it can be killed and started again, with its data."""

    def __init__(self, jars: Path, folder: Path) -> None:
        java = shutil.which("java")
        assert java is not None
        self._java = [java, *MEMORY, "-cp", f"{jars}/*"]
        self._folder = folder
        self._server: subprocess.Popen[bytes] | None = None
        self.port, controller = free_port(), free_port()
        told = {"port": self.port, "controller": controller, "folder": folder}
        self._properties = folder / "server.properties"
        self._properties.write_text(PROPERTIES.format(**told, partitions=PARTITIONS))
        formatting = ["kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", self._properties]
        subprocess.run([*self._java, *formatting], check=True, capture_output=True)

    @property
    def address(self) -> str:
        """host:port."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it listens."""
        with (self._folder / "broker.log").open("ab") as log:
            self._server = subprocess.Popen(
                [*self._java, "kafka.Kafka", self._properties],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        give_up = time.monotonic() + START_SECONDS
        while not self._listens():
            if time.monotonic() > give_up or self._server.poll() is not None:
                raise RuntimeError((self._folder / "broker.log").read_text()[-2_000:])
            time.sleep(POLL_SECONDS)

    def kill(self) -> None:
        """End it as a crash would."""
        if self._server is not None:
            self._server.kill()
            self._server.wait(STOP_SECONDS)
            self._server = None

    @contextlib.contextmanager
    def stalled(self) -> Iterator[None]:
        """It keeps its connections and answers nothing."""
        assert self._server is not None
        self._server.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._server.send_signal(signal.SIGCONT)

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False


@contextlib.contextmanager
def kafka_broker() -> Iterator[Broker]:
    """A running broker; killed, and its folder removed, at the end. Skips where there is none."""
    jars = _jars()
    with tempfile.TemporaryDirectory(prefix="paotui-kafka-", dir="/tmp") as folder:
        broker = Broker(jars, Path(folder))
        try:
            broker.start()
            yield broker
        finally:
            broker.kill()


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _jars() -> Path:
    """The broker's jars, fetched once, or a reason to skip."""
    if shutil.which("java") is None:
        pytest.skip("Kafka's broker needs Java 17")
    home = CACHE / f"kafka-{VERSION}"
    if home.exists():
        return home
    maven = shutil.which("mvn")
    if maven is None:
        pytest.skip("Kafka's broker is not there, and no Maven to fetch it")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "pom.xml").write_text(POM)
        fetched = Path(folder) / "jars"
        copying = ["dependency:copy-dependencies", f"-DoutputDirectory={fetched}"]
        done = subprocess.run(
            ["nice", maven, "-B", "-q", *copying],
            cwd=folder,
            timeout=FETCH_SECONDS,
            capture_output=True,
            check=False,
        )
        if done.returncode != 0:
            pytest.skip("Kafka's jars could not be fetched: is there a Maven repository?")
        home.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(fetched, home.with_suffix(".part"), dirs_exist_ok=True)
    home.with_suffix(".part").rename(home)
    return home
