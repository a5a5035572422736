"""Attacks that no other module of tests has; docs/security.md lists all of them."""

import os
import socket
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.workspace.conftest import git
from workspace.allowance import Allowance
from workspace.errors import PathRefused
from workspace.projects import Workspace
from workspace.repository import Repository
from workspace.sandbox import Execution, Sandbox
from workspace.stage import StageTree


async def python(sandbox: Sandbox, folder: Path, program: str, **options: object) -> Execution:
    return await sandbox.run(["python", "-c", program], folder, **options)  # type: ignore[arg-type]


async def test_proc_shows_nothing_of_the_host_and_changes_nothing(sandbox: Sandbox, folder: Path) -> None:
    program = (
        "import os\n"
        f"canary = {str(folder.parent)!r}\n"
        "for pid in filter(str.isdigit, os.listdir('/proc')):\n"
        "    try: assert not os.path.exists(f'/proc/{pid}/root{canary}')\n"
        "    except OSError: pass\n"
        "    try:\n"
        "        for fd in os.listdir(f'/proc/{pid}/fd'):\n"
        "            assert canary not in os.readlink(f'/proc/{pid}/fd/{fd}')\n"
        "    except OSError: pass\n"
        "for at in ('sysrq-trigger', 'sys/kernel/core_pattern', 'sys/kernel/modprobe',\n"
        "           'sys/vm/drop_caches', '1/mem', 'self/uid_map', 'irq/default_smp_affinity'):\n"
        "    try: os.write(os.open('/proc/' + at, os.O_WRONLY), b'0'); print('wrote', at)\n"
        "    except OSError: pass\n"
        "for at in ('kcore', 'keys', 'kallsyms', 'self/environ'):\n"
        "    try: data = open('/proc/' + at, 'rb').read(4096)\n"
        "    except OSError: continue\n"
        "    assert b'FACTORY' not in data and (at != 'kcore' or not data), at\n"
        "print('nothing')\n"
    )
    ran = await python(sandbox, folder, program)
    assert ran.output == "nothing\n"


async def test_a_device_cannot_be_made(sandbox: Sandbox, folder: Path) -> None:
    program = (
        "import os\n"
        "for at in ('/tmp/disk', 'disk'):\n"
        "    try: os.mknod(at, 0o060666, os.makedev(8, 0)); print('made', at)\n"
        "    except PermissionError: print('refused')\n"
        "print(sorted(os.listdir('/dev')))\n"
    )
    ran = await python(sandbox, folder, program)
    assert ran.output.splitlines()[:2] == ["refused", "refused"]
    for name in ("sda", "vda", "mem", "kmsg", "fuse", "kvm", "loop0"):
        assert f"'{name}'" not in ran.output


GROW = (
    "import os, signal\n"
    "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    "file = os.open('big', os.O_CREAT | os.O_RDWR)\n"
    "for grow in ({}):\n"
    "    try: grow(); print('grew')\n"
    "    except OSError as error: print(error.strerror)\n"
)


async def test_a_sparse_file_has_an_end(sandbox: Sandbox, folder: Path) -> None:
    ways = "lambda: os.ftruncate(file, 1 << 40), lambda: os.pwrite(file, b'x', 1 << 40)"
    ran = await python(sandbox, folder, GROW.format(ways))
    assert ran.output.splitlines() == ["File too large"] * 2
    assert (folder / "big").stat().st_size <= Allowance().file_size


async def test_a_huge_file_has_an_end(sandbox: Sandbox, folder: Path) -> None:
    ran = await python(sandbox, folder, GROW.format("lambda: os.posix_fallocate(file, 0, 1 << 40),"))
    assert ran.output.splitlines() == ["File too large"]
    assert (folder / "big").stat().st_size <= Allowance().file_size


async def test_an_archive_bomb_fills_nothing(sandbox: Sandbox, folder: Path) -> None:
    program = (
        "import io, signal, zipfile, zlib\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "with zipfile.ZipFile('bomb.zip', 'w', zipfile.ZIP_DEFLATED) as bomb:\n"
        "    for number in range(400): bomb.writestr(f'{number}.bin', bytes(1_000_000))\n"
        "zipfile.ZipFile('bomb.zip').extractall('out')\n"
        "print('all of it')\n"
    )
    small = replace(Allowance(), tree_bytes=40_000_000)
    ran = await python(sandbox, folder, program, allowance=small, timeout=20)
    assert ran.ended_by == "disk"
    assert "all of it" not in ran.output


async def test_the_hosts_sockets_are_out_of_reach(sandbox: Sandbox, folder: Path, tmp_path: Path) -> None:
    abstract = f"\0factory-attack-{os.getpid()}"
    short = Path("/proc/self/fd")
    room = os.open(tmp_path, os.O_PATH)
    try:
        with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as two:
            one.bind(abstract)
            one.listen()
            two.bind(f"{short}/{room}/s")
            two.listen()
            program = (
                "import socket\n"
                f"for at in ({abstract!r}, {str(tmp_path / 's')!r}, '/run/docker.sock',\n"
                "           '/var/run/docker.sock', '/run/dbus/system_bus_socket', '/run/egress.sock'):\n"
                "    try: socket.socket(socket.AF_UNIX).connect(at); print('reached', at)\n"
                "    except OSError: pass\n"
                "print('alone')\n"
            )
            ran = await python(sandbox, folder, program)
    finally:
        os.close(room)
    assert ran.output == "alone\n"


async def test_no_name_is_looked_up(sandbox: Sandbox, folder: Path) -> None:
    program = (
        "import socket\n"
        "for name in ('example.com', 'secret-in-a-name.example.com'):\n"
        "    try: print(socket.getaddrinfo(name, 80))\n"
        "    except socket.gaierror: pass\n"
        "for server in ('1.1.1.1', '8.8.8.8', '127.0.0.53', '169.254.169.254'):\n"
        "    try:\n"
        "        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:\n"
        "            s.settimeout(0.2); s.sendto(b'x', (server, 53)); s.recv(10); print('answered', server)\n"
        "    except OSError: pass\n"
        "print('silence')\n"
    )
    assert (await python(sandbox, folder, program)).output == "silence\n"


async def test_a_hard_link_to_what_lies_outside_cannot_be_made(sandbox: Sandbox, folder: Path) -> None:
    ran = await sandbox.run(
        "for f in /etc/passwd /usr/bin/env /proc/self/exe; do ln -L $f stolen && echo linked; done; true",
        folder,
    )
    assert "linked" not in ran.output
    assert not (folder / "stolen").exists()


async def test_a_set_uid_bit_is_not_recorded(repository: Repository, tree: StageTree) -> None:
    tree.files.write("run.sh", "#!/bin/sh\n")
    (tree.path / "run.sh").chmod(0o6755)
    commit = await tree.snapshot("set uid")
    await tree.restore(tree.base)
    await tree.restore(commit)
    assert (tree.path / "run.sh").stat().st_mode & 0o7000 == 0


@pytest.mark.parametrize("url", ["ext::sh -c touch% {mark}", "-u./evil", "file:///etc", "../../../secret"])
async def test_a_submodule_with_an_evil_address_is_never_fetched(
    repository: Repository, tree: StageTree, tmp_path: Path, url: str
) -> None:
    mark = tmp_path / "mark"
    modules = f'[submodule "a"]\n\tpath = a\n\turl = {url.format(mark=mark)}\n\tupdate = !touch {mark}\n'
    tree.files.write(".gitmodules", modules)
    commit = await tree.snapshot("modules")
    await tree.restore(tree.base)
    await tree.restore(commit)
    await repository.merge_stage(tree, message="m", trailers={})
    await repository.release("run-1", tag="v1", message="m")
    assert not mark.exists()
    assert not (repository.path / "a").exists()


async def test_a_submodule_of_an_imported_repository_is_not_fetched(
    workspace: Workspace, tmp_path: Path
) -> None:
    source, mark = tmp_path / "source", tmp_path / "mark"
    source.mkdir()
    git(source, "init", "-q")
    (source / ".gitmodules").write_text(f'[submodule "a"]\n\tpath = a\n\turl = ext::sh -c touch% {mark}\n')
    git(source, "add", ".")
    git(source, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},a")
    git(source, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "evil")
    repository = await workspace.project("imported", source=source)
    await repository.begin_run("run-1")
    tree = await repository.open_stage("run-1", "a.1")
    await tree.snapshot("as it came")
    assert not mark.exists()
    assert not (tree.path / "a" / ".git").exists()


async def test_a_submodule_that_a_stage_makes_is_not_recorded(tree: StageTree) -> None:
    inner = tree.path / "inner"
    inner.mkdir()
    subprocess.run(["git", "init", "-q", str(inner)], check=True)
    with pytest.raises(PathRefused):
        await tree.snapshot("a repository")


async def test_a_command_line_tells_nothing_of_the_host(sandbox: Sandbox, folder: Path) -> None:
    ran = await sandbox.run("cat /proc/*/cmdline | tr '\\0' ' '", folder)
    assert str(folder) not in ran.output
