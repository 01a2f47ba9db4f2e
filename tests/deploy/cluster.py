"""A cluster for one test: Jobs and init containers as processes, restarted as their controllers would restart them.

What decides is read from the rendered chart: arguments, environment, restartPolicy, podFailurePolicy, backoffLimit and
terminationGracePeriodSeconds. Only the pauses between two tries are left out.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.deploy.charts import Object, container, pod_of
from tests.servers import COMMAND, clean_environment

Secrets = Mapping[str, Mapping[str, str]]


def environment(one: Object, secrets: Secrets) -> dict[str, str]:
    """A container's variables, as the kubelet makes them. A secret or key that is not there is a KeyError."""
    found = {}
    for variable in one.get("env", []):
        if "valueFrom" in variable:
            reference = variable["valueFrom"]["secretKeyRef"]
            found[variable["name"]] = secrets[reference["name"]][reference["key"]]
        else:
            found[variable["name"]] = variable["value"]
    return found


def action(policy: Object | None, code: int, *, disrupted: bool, name: str = "dataops") -> str:
    """What the Job controller does about a failed pod: the first rule that matches, otherwise Count."""
    assert code != 0
    for rule in (policy or {}).get("rules", []):
        if codes := rule.get("onExitCodes"):
            named = codes.get("containerName") in (None, name)
            matches = named and (code in codes["values"]) == (codes["operator"] == "In")
        else:
            wanted = [(one["type"], one.get("status", "True")) for one in rule["onPodConditions"]]
            matches = disrupted and ("DisruptionTarget", "True") in wanted
        if matches:
            return str(rule["action"])
    return "Count"


class Late:
    """A server behind a port that refuses until `open`: a database that starts after the pods."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))  # ours, and refused as long as nobody listens
        self.port: int = self._socket.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._opened, self._closed = asyncio.Event(), asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def open(self) -> None:
        self._loop.call_soon_threadsafe(self._opened.set)

    def close(self) -> None:
        def end() -> None:
            self._closed.set()
            self._opened.set()

        self._loop.call_soon_threadsafe(end)
        self._thread.join(10)
        self._socket.close()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._main())  # its end cancels the connections that are left

    async def _main(self) -> None:
        await self._opened.wait()
        if not self._closed.is_set():
            server = await asyncio.start_server(self._serve, sock=self._socket)
            await self._closed.wait()
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._target)
            await asyncio.gather(self._pump(reader, inner_writer), self._pump(inner_reader, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


@dataclass
class Pod:
    """One container's process. Its log is a file, as the kubelet keeps it."""

    process: subprocess.Popen[bytes]
    log: Path
    disrupted: bool = False
    stopping_since: float | None = None

    @property
    def code(self) -> int | None:
        """Its exit code as the kubelet reports it, or None while it runs."""
        code = self.process.poll()
        return None if code is None else code if code >= 0 else 128 - code

    @property
    def text(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def working(self) -> bool:
        return '"step_started"' in self.text and '"run_finished"' not in self.text


@dataclass
class Workload:
    """A Job, or the init container of one pod of a Deployment, which the kubelet restarts until it succeeds."""

    name: str
    manifest: Object
    container: Object
    env: dict[str, str]
    folder: Path
    pods: list[Pod] = field(default_factory=list)
    counted: int = 0
    ended: str = ""
    ended_at: float = 0.0

    @property
    def is_job(self) -> bool:
        return bool(self.manifest["kind"] == "Job")

    @property
    def backoff_limit(self) -> int:
        return int(self.manifest["spec"]["backoffLimit"])

    @property
    def grace(self) -> float:
        return float(pod_of(self.manifest).get("terminationGracePeriodSeconds", 30))

    @property
    def pod(self) -> Pod:
        return self.pods[-1]

    def start(self) -> None:
        log = self.folder / f"{self.name}-{len(self.pods)}.log"
        with open(log, "wb") as stream:
            process = subprocess.Popen(
                [str(COMMAND), *self.container["args"]],
                env={**clean_environment(), **self.env, "HOSTNAME": log.stem},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
            )
        self.pods.append(Pod(process, log))

    def tick(self) -> None:
        """See whether its pod ended, and do what a controller does then."""
        if self.ended:
            return
        pod = self.pod
        if pod.stopping_since and pod.code is None:
            waited = time.monotonic() - pod.stopping_since
            assert waited < min(self.grace, 25), f"{pod.log.name}: {waited:.0f} s after SIGTERM it still runs"
        if pod.code is None:
            return
        if pod.code == 0:
            self._end("complete")
        elif not self.is_job:
            self.start()
        else:
            what = action(self.manifest["spec"].get("podFailurePolicy"), pod.code, disrupted=pod.disrupted)
            self.counted += what == "Count"
            if what == "FailJob" or self.counted > self.backoff_limit:
                self._end(f"failed with {pod.code} ({what})")
            else:
                self.start()

    def _end(self, how: str) -> None:
        self.ended, self.ended_at = how, time.time()

    def evict(self) -> None:
        """Drained or preempted: SIGTERM, and time to end."""
        self.pod.disrupted, self.pod.stopping_since = True, time.monotonic()
        self.pod.process.send_signal(signal.SIGTERM)

    def lose(self) -> None:
        """Its node is gone: no signal that it could hear."""
        self.pod.disrupted = True
        self.pod.process.kill()

    def out_of_memory(self) -> None:
        """The kernel kills the process; no condition says why the pod failed, so it counts."""
        self.pod.process.kill()


@contextmanager
def workloads() -> Iterator[list[Workload]]:
    """Whatever was started in it is gone after the block."""
    all_of_them: list[Workload] = []
    try:
        yield all_of_them
    finally:
        for pod in (pod for one in all_of_them for pod in one.pods):
            if pod.process.poll() is None:
                pod.process.kill()
            pod.process.wait()


def workload(
    name: str, manifest: Object, container_name: str, secrets: Secrets, folder: Path, image_env: Mapping[str, str]
) -> Workload:
    one: Any = container(manifest, container_name)
    return Workload(name, manifest, one, {**image_env, **environment(one, secrets)}, folder)
