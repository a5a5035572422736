"""Docker as a backend, with another runtime such as gVisor's `runsc` where one is configured.

Its commands run in a container of an image that the operator names, without a network, without capabilities,
as an ordinary user, on a read-only root. The same self-test as for bubblewrap decides whether it may run.
"""

import asyncio
import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from core.processes import reap
from workspace import inventory
from workspace.allowance import Allowance
from workspace.errors import SandboxUnavailable
from workspace.relay import SOCKET, through_relay
from workspace.started import Job, Started, Wires

_PATIENCE = 60.0
"""Seconds that one docker command of ours may take."""
_LABEL = "factory.owner"
# An identity that no distribution hands out, where we are root ourselves.
_IDENTITY = 0x70000001
# Address space is no limit that docker knows; `timeout` holds even where the factory dies first.
_LIMITED = 'ulimit -v "$1" && seconds=$2 && shift 2 && exec timeout -s KILL "$seconds" "$@"'


@dataclass
class Docker:
    """Confines commands in containers."""

    image: str | None
    runtime: str | None
    home: Path
    name: str = "docker"
    place: str = "/work"
    bounds: Mapping[str, bool | None] = field(
        default_factory=lambda: {"process_group_limit": True, "memory_group_limit": True}
    )
    _program: str = field(default="", repr=False)

    async def prepare(self) -> None:
        """Find docker and the image, and remove the containers of factories that died."""
        program = shutil.which("docker")
        if program is None:
            raise SandboxUnavailable("docker is not installed")
        if not self.image:
            raise SandboxUnavailable(
                "no image is named for the docker backend", todo="Set FACTORY_SANDBOX_IMAGE"
            )
        self._program = program
        code, said = await self._docker("image", "inspect", "--format", "{{.Id}}", "--", self.image)
        if code != 0:
            raise SandboxUnavailable(f"docker does not have the image {self.image}: {said.strip()[-300:]}")
        await self._sweep()

    async def launch(self, job: Job) -> Started:
        """Start a command in a container of its own."""
        if "," in f"{job.tree}{job.egress or ''}{''.join(map(str, job.shown.values()))}":
            raise SandboxUnavailable("docker cannot mount a folder with a comma in its name")
        if os.geteuid() == 0:
            await asyncio.to_thread(inventory.give_to, job.tree, _IDENTITY)
        container = f"factory-{secrets.token_hex(8)}"
        output, printed = os.pipe()
        os.set_blocking(output, False)
        try:
            with Wires(printed):
                process = await asyncio.create_subprocess_exec(
                    self._program,
                    *self.arguments(job, container),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=printed,
                    stderr=asyncio.subprocess.STDOUT,
                    env=_environment(),
                )
        except BaseException as error:
            os.close(output)
            if isinstance(error, OSError):
                raise SandboxUnavailable(f"docker failed: {error}") from error
            raise

        async def end() -> bool:
            _, killed = await self._docker("inspect", "--format", "{{.State.OOMKilled}}", container)
            await self._docker("rm", "--force", "--volumes", container)
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            return killed.strip() == "true"

        return Started(process, output, end, memory_is_bounded=True)

    def arguments(self, job: Job, container: str) -> list[str]:
        """What docker is told, for one command."""
        assert self.image is not None
        limits = job.allowance
        user = _IDENTITY if os.geteuid() == 0 else os.geteuid()
        arguments = ["run", "--name", container, "--label", f"{_LABEL}={os.getpid()}", "--pull", "never"]
        arguments += ["--runtime", self.runtime] if self.runtime else []
        arguments += ["--init", "--log-driver", "none", "--hostname", "sandbox", "--network", "none"]
        arguments += ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
        arguments += ["--ipc", "none", "--cgroupns", "private", "--user", f"{user}:{user}"]
        arguments += _limits(limits, job.timeout)
        for folder in ("/tmp", "/dev/shm"):  # noqa: S108  # the container's own
            arguments += ["--tmpfs", f"{folder}:rw,nosuid,nodev,exec,mode=1777,size={limits.scratch}"]
        tree = f"type=bind,source={job.tree},target={self.place}"
        arguments += ["--mount", tree if job.writable else f"{tree},readonly", "--workdir", self.place]
        for place, folder in job.shown.items():
            arguments += ["--mount", f"type=bind,source={folder},target={place},readonly"]
        if job.egress is not None:
            arguments += ["--mount", f"type=bind,source={job.egress},target={SOCKET},readonly"]
        for name, value in {**_INSIDE, **job.environment}.items():
            arguments += ["--env", f"{name}={value}"]
        words = through_relay(job.words) if job.egress else list(job.words)
        limited = [_LIMITED, "sandbox", str(limits.address_space // 1024), str(int(job.timeout) + 5)]
        return [*arguments, "--entrypoint", "/bin/sh", self.image, "-c", *limited, *words]

    async def _sweep(self) -> None:
        """Remove the containers whose factory is no more; it was killed before it could."""
        listed = f'{{{{.Names}}}} {{{{.Label "{_LABEL}"}}}}'
        _, said = await self._docker("ps", "--all", "--filter", f"label={_LABEL}", "--format", listed)
        for line in said.splitlines():
            name, _, owner = line.partition(" ")
            if name.startswith("factory-") and owner.isdecimal() and not _alive(int(owner)):
                await self._docker("rm", "--force", "--volumes", name)

    async def _docker(self, *words: str) -> tuple[int, str]:
        """Exit code and output of a docker command."""
        process = await asyncio.create_subprocess_exec(
            *(self._program, *words),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=_environment(),
        )
        try:
            out, _ = await asyncio.wait_for(process.communicate(), _PATIENCE)
        except BaseException as error:
            with suppress(ProcessLookupError):
                process.kill()
            await reap(process)
            if isinstance(error, TimeoutError):
                raise SandboxUnavailable(f"docker {words[0]} takes longer than {_PATIENCE:.0f} s") from error
            raise
        return process.returncode or 0, out.decode("utf-8", "replace")


_INSIDE: Mapping[str, str] = {
    "HOME": "/tmp",  # noqa: S108  # the container's own
    "TMPDIR": "/tmp",  # noqa: S108
    "LANG": "C.UTF-8",
    "TERM": "dumb",
    "NO_COLOR": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
    "PYTHONNOUSERSITE": "1",
}


def _limits(limits: Allowance, seconds: float) -> Sequence[str]:
    cpu = int(seconds * 4) + 10
    return [
        *("--pids-limit", str(limits.processes), "--memory", str(limits.memory)),
        *("--memory-swap", str(limits.memory), "--ulimit", f"nofile={limits.open_files}"),
        *("--ulimit", f"fsize={limits.file_size}", "--ulimit", "core=0", "--ulimit", f"cpu={cpu}"),
    ]


def _alive(process: int) -> bool:
    return os.path.exists(f"/proc/{process}")


def _environment() -> dict[str, str]:
    """What the docker program itself finds: how to reach its service, and nothing of ours."""
    wanted = ("PATH", "HOME", "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_CERT_PATH")
    found = {name: os.environ[name] for name in (*wanted, "DOCKER_TLS_VERIFY") if name in os.environ}
    return {"PATH": os.defpath, **found}
