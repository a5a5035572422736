"""Real attacks on the real sandbox."""

import asyncio
import os
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from core.settings import Settings
from workspace import seccomp, selftest
from workspace.allowance import Allowance
from workspace.bubblewrap import Bubblewrap
from workspace.errors import PathRefused, SandboxUnavailable, WorkspaceError
from workspace.output import Bounded, plain
from workspace.sandbox import Execution, Sandbox


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


async def python(sandbox: Sandbox, folder: Path, program: str, **options: object) -> Execution:
    return await sandbox.run(["python", "-c", program], folder, **options)  # type: ignore[arg-type]


def left_over(mark: str) -> list[int]:
    """Processes of this machine whose command line has `mark`."""
    found: list[int] = []
    for process in psutil.process_iter(["cmdline"]):
        if mark in " ".join(process.info["cmdline"] or ()) and process.pid != os.getpid():
            found.append(process.pid)
    return found


async def test_every_protection_is_proved_before_anything_runs(sandbox: Sandbox) -> None:
    assert all(sandbox.protections[name] for name in selftest.ESSENTIAL)
    assert (sandbox.unsafe, sandbox.why_not) == (False, "")


async def test_a_command_works_in_its_worktree(sandbox: Sandbox, folder: Path) -> None:
    (folder / "in.txt").write_text("from outside")
    ran = await sandbox.run("cat in.txt && echo made > out.txt; echo oops >&2; exit 3", folder)
    assert (ran.exit_code, ran.output, ran.ended_by, ran.truncated) == (
        3,
        "from outsideoops\n",
        "exit",
        False,
    )
    assert (folder / "out.txt").read_text() == "made\n"
    (folder / "out.txt").write_text("the host can still write")


async def test_python_and_the_tools_of_the_checks_work_inside(sandbox: Sandbox, folder: Path) -> None:
    ran = await sandbox.run("python -m pytest --version && ruff --version && coverage --version", folder)
    assert ran.exit_code == 0, ran.output


@pytest.mark.parametrize("how", [{"policy": "read"}, {"writable": False}])
async def test_a_reader_writes_nothing(sandbox: Sandbox, folder: Path, how: dict[str, object]) -> None:
    ran = await sandbox.run("touch x", folder, **how)  # type: ignore[arg-type]
    assert ran.exit_code != 0
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("policy", ["none", "", "everything"])
async def test_a_team_without_a_sandbox_policy_runs_nothing(
    sandbox: Sandbox, folder: Path, policy: str
) -> None:
    with pytest.raises(WorkspaceError):
        await sandbox.run("true", folder, policy=policy)


async def test_a_repository_is_no_worktree(sandbox: Sandbox, folder: Path) -> None:
    (folder / ".git").mkdir()
    with pytest.raises(PathRefused):
        await sandbox.run("true", folder)


async def test_the_hosts_files_and_environment_are_not_there(
    sandbox: Sandbox, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACTORY_SECRET", "hidden-value")
    (tmp_path / "secret.txt").write_text("hidden-value")
    ran = await sandbox.run(
        f"cat {tmp_path}/secret.txt; cat ~/.ssh/*; ls -A {Path.home()}/.ssh {Path.home()}/.bashrc;"
        "cat /proc/*/environ; env; cat /etc/shadow; cat /etc/passwd; ls /home /var /sys /mnt",
        folder,
    )
    assert "hidden-value" not in ran.output
    assert "root:" not in ran.output
    assert ran.output.count("No such file") >= 5


async def test_nothing_can_be_written_but_the_worktree_and_tmp(sandbox: Sandbox, folder: Path) -> None:
    program = (
        "import os\n"
        "for at in ('/', '/usr', '/usr/bin', '/etc', '/dev', '/proc', '/proc/sys/kernel', '/tmp', '.'):\n"
        "    try: open(at + '/probe', 'w'); print(at)\n"
        "    except OSError: pass\n"
        "try: open('/etc/passwd', 'a'); print('passwd')\n"
        "except OSError: pass\n"
    )
    ran = await python(sandbox, folder, program)
    assert ran.output.split() == ["/tmp", "."]


async def test_there_is_no_network(sandbox: Sandbox, folder: Path, listener: int) -> None:
    program = (
        "import socket\n"
        f"for at in (('127.0.0.1', {listener}), ('1.1.1.1', 53), ('localhost', {listener})):\n"
        "    try: socket.create_connection(at, timeout=1); print('connected')\n"
        "    except OSError: pass\n"
        "for family in (40, 17, 38):\n"
        "    try: socket.socket(family, socket.SOCK_DGRAM); print('socket', family)\n"
        "    except OSError: pass\n"
        "server = socket.create_server(('127.0.0.1', 0))\n"
        "socket.create_connection(('localhost', server.getsockname()[1])); print('its own')\n"
    )
    assert (await python(sandbox, folder, program)).output == "its own\n"


async def test_a_fork_bomb_ends_with_its_command(sandbox: Sandbox, folder: Path) -> None:
    begun = time.monotonic()
    small = replace(Allowance(), processes=64)
    ran = await sandbox.run("bomb() { bomb | bomb & }; bomb; sleep 60", folder, timeout=0.5, allowance=small)
    assert ran.ended_by in ("timeout", "exit", "output")
    assert time.monotonic() - begun < 50  # sooner than what it started would have ended
    assert left_over("bomb() {") == []
    assert (await sandbox.run("echo fine", folder)).output == "fine\n"


async def test_memory_has_an_end(sandbox: Sandbox, folder: Path) -> None:
    small = replace(Allowance(), address_space=300_000_000, memory=200_000_000)
    ran = await python(sandbox, folder, "x = b'x' * 10**9", allowance=small)
    assert ran.exit_code != 0
    assert "MemoryError" in ran.output or ran.ended_by == "memory"


async def test_many_processes_share_one_limit_of_memory(
    sandbox: Sandbox, folder: Path, tmp_path: Path
) -> None:
    small = replace(Allowance(), memory=100_000_000)
    program = "import os\nfor _ in range(3): os.fork()\nx = b'x' * 50_000_000\nimport time; time.sleep(5)"
    # As the kernel sees to it, and as we do where there are no control groups.
    alone = Bubblewrap(shutil.which("bwrap") or "", tmp_path)  # it found no control groups
    ran = await python(replace(sandbox, _backend=alone), folder, program, allowance=small, timeout=4)
    assert ran.ended_by == "memory"
    assert ran.seconds < 3
    if sandbox.protections["memory_group_limit"]:
        ran = await python(sandbox, folder, program, allowance=small, timeout=1)
        assert ran.ended_by in ("memory", "timeout")  # the kernel may end only some of them


async def test_a_gigabyte_of_output_is_cut_and_ends_the_command(sandbox: Sandbox, folder: Path) -> None:
    small = replace(Allowance(), most_output=5_000_000)
    ran = await sandbox.run("echo begin; yes aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", folder, allowance=small)
    assert (ran.ended_by, ran.truncated) == ("output", True)
    assert ran.output.startswith("begin\n")
    assert "bytes left out" in ran.output
    assert len(ran.output) < 201_000


async def test_an_endless_sleep_is_ended_with_all_its_processes(sandbox: Sandbox, folder: Path) -> None:
    ran = await sandbox.run("trap '' TERM INT; echo on; sleep 7654.1 & sleep 7654.1", folder, timeout=0.3)
    assert (ran.ended_by, ran.output, ran.exit_code) == ("timeout", "on\n", 137)
    assert ran.seconds < 2
    assert left_over("7654.1") == []


async def test_a_command_that_closed_its_output_still_has_an_end(sandbox: Sandbox, folder: Path) -> None:
    ran = await sandbox.run("exec >&- 2>&-; sleep 7654.2", folder, timeout=0.3)
    assert ran.ended_by == "timeout"
    assert left_over("7654.2") == []


async def test_a_daemon_does_not_outlive_its_command(sandbox: Sandbox, folder: Path) -> None:
    ran = await sandbox.run(
        "setsid nohup sh -c 'while :; do echo x >> log; sleep 0.01; done; : 7654.3' >/dev/null 2>&1 &"
        "sleep 0.1; echo done",
        folder,
    )
    assert (ran.ended_by, ran.output) == ("exit", "done\n")
    assert left_over("7654.3") == []
    size = (folder / "log").stat().st_size
    await asyncio.sleep(0.05)
    assert (folder / "log").stat().st_size == size


async def test_a_cancelled_command_is_ended(sandbox: Sandbox, folder: Path) -> None:
    running = asyncio.create_task(sandbox.run("echo > begun; sleep 7654.4", folder))
    while not (folder / "begun").exists():
        await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert left_over("7654.4") == []


async def test_a_signal_reaches_nobody_outside(sandbox: Sandbox, folder: Path) -> None:
    program = (
        "import os, signal\n"
        f"for pid in (1, {os.getpid()}, {os.getppid()}):\n"
        "    try: os.kill(pid, signal.SIGKILL); print('sent', pid)\n"
        "    except (ProcessLookupError, PermissionError): pass\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "try: os.kill(-1, signal.SIGTERM)\n"
        "except OSError: pass\n"
        "print('alive')\n"
    )
    ran = await python(sandbox, folder, program)
    # As an ordinary user the first process is the command's own kind; it ignores what it does not handle.
    assert ran.output.split()[-1] == "alive"
    assert ran.ended_by == "exit"


async def test_a_full_worktree_ends_the_command(sandbox: Sandbox, folder: Path) -> None:
    small = replace(Allowance(), tree_bytes=20_000_000)
    ran = await sandbox.run(
        "i=0; while :; do i=$((i+1)); head -c 5000000 /dev/zero > f$i; done",
        folder,
        allowance=small,
        timeout=10,
    )
    assert ran.ended_by == "disk"


async def test_ten_thousand_files_end_the_command(sandbox: Sandbox, folder: Path) -> None:
    small = replace(Allowance(), tree_files=1_000)
    program = "n = 0\nwhile True:\n    open(str(n), 'w').close(); n += 1"
    ran = await python(sandbox, folder, program, allowance=small, timeout=10)
    assert ran.ended_by == "disk"


async def test_one_file_and_the_scratch_space_have_an_end(sandbox: Sandbox, folder: Path) -> None:
    small = replace(Allowance(), file_size=1_000_000, scratch=2_000_000)
    ran = await sandbox.run(
        "head -c 3000000 /dev/zero > big; for i in 1 2 3 4; do head -c 900000 /dev/zero > /tmp/$i; done;"
        "du -sb /tmp | cut -f1; head -c 900000 /dev/zero > /dev/x",
        folder,
        allowance=small,
    )
    assert (folder / "big").stat().st_size <= 1_000_000
    assert "No space left" in ran.output


async def test_system_calls_that_break_out_are_refused(sandbox: Sandbox, folder: Path) -> None:
    program = (
        "import ctypes, fcntl, os, errno\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "for name, call in {\n"
        "    'unshare': lambda: libc.unshare(0x10000000),\n"
        "    'mount': lambda: libc.mount(b'none', b'/tmp', b'tmpfs', 0, None),\n"
        "    'ptrace': lambda: libc.ptrace(0, 0, 0, 0),\n"
        "    'setns': lambda: libc.setns(0, 0),\n"
        "    'chroot': lambda: libc.chroot(b'/tmp'),\n"
        "    'io_uring': lambda: libc.syscall(425, 1, 0),\n"
        "}.items():\n"
        "    assert call() == -1 and ctypes.get_errno() == errno.EPERM, (name, ctypes.get_errno())\n"
        "assert libc.setuid(0) == -1\n"
        "try: fcntl.ioctl(0, 0x5412, b'x')\n"
        "except PermissionError: print('all refused')\n"
    )
    assert (await python(sandbox, folder, program)).output == "all refused\n"


async def test_a_set_uid_program_gives_no_rights(sandbox: Sandbox, folder: Path) -> None:
    ran = await sandbox.run(
        "cp /usr/bin/id . && chmod 4755 id && ./id -u; grep NoNewPrivs /proc/self/status", folder
    )
    assert ran.output.split()[-1] == "1"
    assert ran.output.split()[0] != "0"


async def test_terminal_escapes_do_not_reach_the_reader(sandbox: Sandbox, folder: Path) -> None:
    command = r"printf '\033[2J\033]0;title\007red\033[31m \xe2\x80\xae\r\nx\ry\x08\x00\x9b'"
    ran = await sandbox.run(command, folder)
    assert ran.output == "red \nx\ny\ufffd"


async def test_many_commands_at_once_do_not_disturb_each_other(sandbox: Sandbox, folder: Path) -> None:
    ran = await asyncio.gather(*(sandbox.run(f"echo {n}", folder) for n in range(8)))
    assert [one.output for one in ran] == [f"{n}\n" for n in range(8)]


async def test_without_bubblewrap_nothing_is_run(tmp_path: Path, folder: Path) -> None:
    sandbox = await Sandbox.open(Settings(home=tmp_path, bwrap="/nonexistent/bwrap"))
    assert not sandbox.available
    assert "/nonexistent/bwrap" in sandbox.why_not
    with pytest.raises(SandboxUnavailable):
        await sandbox.run("touch x", folder)
    assert list(folder.iterdir()) == []


async def test_a_bubblewrap_that_confines_nothing_is_found_out(tmp_path: Path, folder: Path) -> None:
    fake = tmp_path / "bwrap"
    fake.write_text(
        f"#!{sys.executable}\n"
        "import os, subprocess, sys\n"
        "words = sys.argv[1:]\n"
        "info, block = int(words[words.index('--info-fd') + 1]), int(words[words.index('--block-fd') + 1])\n"
        "words = words[words.index('--') + 1:]\n"
        "if words[0].endswith('setpriv'): words = words[words.index('--') + 1:]\n"
        "child = os.fork()\n"
        "if child == 0: os.close(info); os.read(block, 1); os.execvp(words[0], words)\n"
        "os.write(info, b'{\"child-pid\": %d}' % child); os.close(info)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    fake.chmod(0o755)
    sandbox = await Sandbox.open(Settings(home=tmp_path / "home", bwrap=str(fake)))
    assert not sandbox.available
    assert "does not hold" in sandbox.why_not
    assert sandbox.protections["network"] is False


async def test_an_old_bubblewrap_of_the_system_gives_way_to_the_wheels(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bwrap").write_text("#!/bin/sh\necho bwrap: unknown option >&2\nexit 1\n")
    (tmp_path / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    sandbox = await Sandbox.open(Settings(home=tmp_path / "home"))
    if not sandbox.available:
        pytest.skip(f"no sandbox here: {sandbox.why_not}")
    assert (await sandbox.run("echo fine", folder)).output == "fine\n"


async def test_only_the_operators_word_runs_code_unconfined(tmp_path: Path, folder: Path) -> None:
    settings = Settings(home=tmp_path, bwrap="/nonexistent/bwrap", unsafe_no_sandbox=True)
    sandbox = await Sandbox.open(settings)
    assert (sandbox.available, sandbox.unsafe) == (True, True)
    ran = await sandbox.run("echo out; sleep 7654.5 & sleep 7654.5", folder, timeout=0.5)
    assert (ran.output, ran.ended_by) == ("out\n", "timeout")
    assert left_over("7654.5") == []
    small = replace(Allowance(), most_output=1_000_000)
    assert (await sandbox.run("yes", folder, allowance=small)).ended_by == "output"


def test_output_keeps_its_beginning_and_end() -> None:
    output = Bounded(10)
    for chunk in (b"01", b"234567", b"89abcdef", b"z" * 100, b"END.."):
        output.add(chunk)
    assert output.truncated
    assert output.text == "01234\n[… 111 bytes left out …]\nEND.."
    short = Bounded(10)
    short.add(b"0123456789")
    assert (short.text, short.truncated) == ("0123456789", False)
    assert plain("a\x1b]8;;http://x\x1b\\b\x1b[1;31mc\u2066d") == "abcd"


def test_the_filter_knows_both_kinds_of_machine() -> None:
    for machine in ("x86_64", "aarch64"):
        program = seccomp.program(machine)
        assert program is not None
        assert len(program) % 8 == 0
        assert len(program) // 8 < 4096
    assert seccomp.program("vax") is None
