# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the plumbing.socketpipe contributors
"""The test hosts themselves: are they what the other tests take them for, and does nothing of them stay?"""

from __future__ import annotations

import collections.abc as c
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # pytest may be run from anywhere

from tests.hosts import ROOT_PASSWORD, Fleet, FleetError, Host, HostSpec, requirements  # noqa: E402
from tests.hosts.layout import OWN_ETC  # noqa: E402
from tests.hosts.process import Identity, find_token, pids  # noqa: E402
from tests.hosts.state import State, registered  # noqa: E402

REASON = requirements()
pytestmark = pytest.mark.skipif(REASON is not None, reason=REASON or "")

CONNECT = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), float(sys.argv[3])).close()
    print("connected")
except Exception as error:
    print(type(error).__name__)
"""
SERVE = """
import socket
server = socket.create_server(("::", 4000), family=socket.AF_INET6, dualstack_ipv6=True)
print("ready", flush=True)
while True:
    server.accept()[0].close()
"""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> c.Iterator[Fleet]:
    more = [HostSpec("four", v6=False, addresses=("192.0.2.7/24",)), HostSpec("six", v4=False)]
    hosts: list[str | HostSpec] = ["h1", "h2", *more]
    with Fleet.create(hosts, directory=tmp_path_factory.mktemp("fleet")) as made:
        yield made


@pytest.fixture
def server(fleet: Fleet) -> c.Iterator[Host]:
    """h1 with something that listens on port 4000, and no firewall afterwards."""
    host = fleet["h1"]
    process = host.popen(["python3", "-c", SERVE], stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    yield host
    process.kill()
    process.communicate()
    for each in fleet:
        each.unblock()


def connect(source: Host, address: str | None, port: int = 4000, seconds: float = 0.5) -> str:
    return source.run(["python3", "-c", CONNECT, str(address), str(port), str(seconds)]).stdout.strip()


def ssh(fleet: Fleet, target: str, *command: str, options: c.Sequence[str] = ()) -> str:
    return fleet.controller.run(["ssh", "-F", fleet.ssh_config, *options, target, *command], timeout=20).stdout.strip()


def command_line(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.hosts", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def inhabitants(state: State | None) -> list[Identity]:
    """Every process on these hosts, as seen from outside. Nothing else holds their namespaces."""
    assert state is not None
    spaces = {os.readlink(f"/proc/{first.pid}/ns/pid") for first in state.first.values() if first.alive()}
    found = []
    for pid in pids():
        try:
            inside = os.readlink(f"/proc/{pid}/ns/pid") in spaces
        except OSError:
            continue
        identity = Identity.of(pid)
        if inside and identity:
            found.append(identity)
    return found


def gone(state: State | None, processes: list[Identity]) -> bool:
    """Nothing of this fleet is left: processes, a mount, an entry in the register."""
    assert state is not None
    mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    listed = [each.token for each in registered()]
    left = [each for each in processes if each.alive()]
    return not (left or find_token(state.token) or str(state.directory) in mounts or state.token in listed)


def until(condition: c.Callable[[], object], seconds: float = 5) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@pytest.mark.parametrize("family", ["-4", "-6"])
@pytest.mark.parametrize("user", ["root", "backup1", "backup2"])
def test_ssh(fleet: Fleet, family: str, user: str) -> None:
    assert ssh(fleet, f"{user}@h1", "hostname; id -un", options=[family]).split() == ["h1", user]


@pytest.mark.parametrize(
    ("target", "output"), [("four", "four"), ("six", "six"), ("10.203.0.11", "h1"), ("fd53:5350::b", "h1")]
)
def test_addresses(fleet: Fleet, target: str, output: str) -> None:
    assert ssh(fleet, target, "hostname") == output


def test_one_family_only(fleet: Fleet) -> None:
    assert (fleet["four"].v6, fleet["six"].v4) == (None, None)
    assert "inet6" not in fleet["four"].run(["ip", "address"]).stdout
    assert "192.0.2.7/24" in fleet["four"].run(["ip", "address"]).stdout


def test_environment_over_ssh(fleet: Fleet) -> None:
    assert ssh(fleet, "h1", "echo $PATH") == "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    assert ssh(fleet, "h1", "command -v python3") == "/usr/bin/python3"


def test_changed_host_key_is_refused(fleet: Fleet) -> None:
    result = fleet.controller.run(["ssh", "-F", fleet.ssh_config, "-o", "HostKeyAlias=h2", "h1", "true"], check=False)
    assert result.returncode == 255
    assert "Host key verification failed" in result.stderr


@pytest.mark.skipif(shutil.which("sudo") is None, reason="sudo is not installed")
def test_become(fleet: Fleet) -> None:
    assert ssh(fleet, "backup1@h1", "sudo -n id -un") == "root"
    assert ssh(fleet, "backup1@h1", "sudo -n -u backup2 id -un") == "backup2"
    assert ssh(fleet, "h1", "su backup1 -c 'id -un'") == "backup1"
    assert fleet["h1"].run(["sudo", "-n", "true"], user="backup2", check=False).returncode != 0
    by_su = fleet["h1"].run(["su", "-c", "id -un"], user="backup1", input=f"{ROOT_PASSWORD}\n")
    assert by_su.stdout.strip() == "root"


def test_run(fleet: Fleet) -> None:
    host = fleet["h1"]
    assert host.run(["cat"], input="é\n").stdout == "é\n"
    assert host.run(["sh", "-c", "pwd; id -un; echo $X"], user="backup1", env={"X": "y"}).stdout.split() == [
        "/home/backup1",
        "backup1",
        "y",
    ]
    assert host.run(["sh", "-c", "exit 7"], check=False).returncode == 7
    assert host.run(["sh", "-c", "kill -TERM $$"], check=False).returncode == -signal.SIGTERM
    with pytest.raises(subprocess.CalledProcessError):
        host.run(["false"])
    with pytest.raises(subprocess.TimeoutExpired):
        host.run(["sh", "-c", "sleep 60 & sleep 60"], timeout=0.3)
    assert until(lambda: host.processes() == []), host.processes()


def test_signals_reach_the_process_inside(fleet: Fleet) -> None:
    process = fleet["h1"].popen(["sh", "-c", "trap 'exit 5' TERM; echo up; while :; do sleep 0.01; done"], stdout=-1)
    assert process.stdout is not None and process.stdout.readline() == "up\n"
    process.terminate()
    assert process.wait(5) == 5
    process.stdout.close()


def test_hosts_are_private(fleet: Fleet) -> None:
    one, two = fleet["h1"], fleet["h2"]
    paths = ("/etc", "/tmp", "/root", "/home", "/run", "/var/tmp", "/dev/shm")
    before = one.files(paths)
    one.run(["sh", "-c", "touch /tmp/t /var/tmp/v /run/r /root/x /etc/e /home/backup1/h /dev/shm/s"])
    new = ["/dev/shm/s", "/etc/e", "/home/backup1/h", "/root/x", "/run/r", "/tmp/t", "/var/tmp/v"]
    assert sorted(set(one.files(paths)) - set(before)) == new
    assert set(new).isdisjoint(two.files(paths))
    assert not any(os.path.exists(path) for path in new)
    one.run(["rm", *new])
    assert one.files(paths) == before
    # The directories below /etc are the machine's.
    shared = next(path for path in sorted(Path("/etc").iterdir()) if path.is_dir() and path.name not in OWN_ETC)
    assert sorted(one.run(["ls", "-A", shared]).stdout.splitlines()) == sorted(os.listdir(shared))
    assert "Read-only" in one.run(["touch", shared / "e"], check=False).stderr
    # What the private directories would hide: the interpreter of these tests, and what the fleet wrote.
    assert fleet.controller.run([sys.executable, "-c", "import pytest"]).returncode == 0
    assert fleet.controller.run(["ls", fleet.key]).returncode == 0


def test_processes_and_listeners(server: Host) -> None:
    (process,) = server.processes()
    assert process.ppid == 0 and process.cmdline.startswith("python3 -c")
    assert [each.cmdline.split()[0] for each in server.processes(system=True)][1:2] == ["sshd:"]
    (listener,) = server.listeners()
    assert ":4000 " in listener


def test_orphans_are_reaped(fleet: Fleet) -> None:
    fleet["h1"].run(["sh", "-c", "(sleep 0.05; exit 3) & exit 0"])
    assert until(lambda: fleet["h1"].processes(system=True)[2:] == [])
    assert "ended: 3" in fleet["h1"].log.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("how", "over4", "over6"),
    [
        ("drop", "TimeoutError", "TimeoutError"),
        ("reject", "ConnectionRefusedError", "ConnectionRefusedError"),
        ("unreachable", "OSError", "PermissionError"),
    ],
)
@pytest.mark.parametrize("way", ["in", "out"])
def test_block(fleet: Fleet, server: Host, how: t.Any, way: t.Any, over4: str, over6: str) -> None:
    two = fleet["h2"]
    host = server if way == "in" else two
    seconds = 3 if how == "unreachable" else 0.5
    for address, outcome in ((server.v4, over4), (server.v6, over6)):
        assert connect(two, address) == "connected"
        host.block(way, how)
        assert connect(two, address, seconds=seconds) == outcome
        assert connect(two, address, 22) == "connected"
        host.unblock()
        host.block(way, how, ports=["3000-3999", 5000])
        assert connect(two, address) == "connected"
        host.block(way, how, ports=4000, peer=fleet["six"])
        assert connect(two, address) == "connected"
        host.block(way, how, ports=4000, peer=two if way == "in" else server)
        assert connect(two, address, seconds=seconds) == outcome
        host.unblock()


ECHO = """
import socket
server = socket.create_server(("0.0.0.0", 4001))
print("ready", flush=True)
connection = server.accept()[0]
while data := connection.recv(10):
    connection.sendall(data)
"""
ASK = """
import socket, sys
connection = socket.create_connection((sys.argv[1], 4001), 0.5)
for line in sys.stdin:
    connection.sendall(line.encode())
    try:
        print(connection.recv(10).decode().strip(), flush=True)
    except Exception as error:
        print(type(error).__name__, flush=True)
"""


def conversation(server: Host, client: Host, between: c.Callable[[], None]) -> str:
    """What the client hears from a server that echoes, when something has happened since they began to talk."""
    with server.popen(["python3", "-c", ECHO], stdout=subprocess.PIPE) as echo:
        assert echo.stdout is not None and echo.stdout.readline() == "ready\n"
        argv = ["python3", "-c", ASK, str(server.v4)]
        with client.popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as ask:
            assert ask.stdin is not None and ask.stdout is not None
            ask.stdin.write("first\n")
            ask.stdin.flush()
            assert ask.stdout.readline() == "first\n"
            between()
            ask.stdin.write("second\n")
            ask.stdin.flush()
            heard = ask.stdout.readline().strip()
            ask.kill()
        echo.kill()
    return heard


@pytest.mark.parametrize(
    ("established", "how", "answer"),
    [(False, "drop", "second"), (True, "drop", "TimeoutError"), (True, "reject", "ConnectionResetError")],
)
def test_block_what_is_connected(fleet: Fleet, server: Host, established: bool, how: t.Any, answer: str) -> None:
    assert conversation(server, fleet["h2"], lambda: server.block("in", how, established=established)) == answer
    assert ssh(fleet, "h1", "echo ssh") == "ssh"


@pytest.mark.parametrize("silent", [True, False])
def test_what_peers_hear_of_a_power_cut(fleet: Fleet, silent: bool) -> None:
    heard = conversation(fleet["h2"], fleet["h1"], lambda: fleet["h2"].power_off(silent=silent))
    fleet["h2"].power_on()
    assert (heard == "TimeoutError") is silent


def test_firewall(fleet: Fleet, server: Host) -> None:
    server.firewall(
        "table inet own { chain c { type filter hook input priority 0; tcp dport 4000 reject with tcp reset; }; }"
    )
    assert connect(fleet["h2"], server.v4) == "ConnectionRefusedError"
    server.firewall("")
    assert connect(fleet["h2"], server.v4) == "connected"


def test_link(fleet: Fleet, server: Host) -> None:
    server.link(False)
    assert connect(fleet["h2"], server.v4) in ("TimeoutError", "OSError")
    assert "NO-CARRIER" in server.run(["ip", "link", "show", "eth0"]).stdout
    server.link(True)
    assert until(lambda: connect(fleet["h2"], server.v4) == "connected")
    assert until(lambda: connect(fleet["h2"], server.v6) == "connected")


def test_power(fleet: Fleet) -> None:
    host = fleet["h2"]
    process = host.popen(["sh", "-c", "touch /tmp/stays /run/goes; setsid sleep 600 & sleep 600"])
    assert until(lambda: len(host.processes()) == 3)
    inner = host.pid
    host.power_off()
    assert process.wait(5) != 0
    assert not host.is_on and not os.path.exists(f"/proc/{inner}/ns/net")
    with pytest.raises(FleetError, match="h2 is off"):
        host.run(["true"])
    assert connect(fleet["h1"], host.v4, 22) in ("OSError", "TimeoutError")  # nobody answers for this address
    host.power_on()
    assert until(lambda: connect(fleet["h1"], host.v4, 22) == "connected")
    assert ssh(fleet, "h2", "ls /tmp/stays /run/goes 2>/dev/null; true", options=["-4"]) == "/tmp/stays"
    assert ssh(fleet, "h2", "hostname", options=["-6"]) == "h2"
    host.power_off()
    host.power_on()  # at once: the old cable may be there still
    assert host.processes() == []


def test_inventory(fleet: Fleet) -> None:
    path = fleet.inventory({"h1": {"ansible_user": "backup1"}, "h2": {"ansible_host": None}, "fleet": {"x": 1}})
    data = json.loads(path.read_text(encoding="utf-8"))["all"]
    assert data["children"]["fleet"]["hosts"]["h1"] == {"ansible_host": "10.203.0.11", "ansible_user": "backup1"}
    assert data["children"]["fleet"]["hosts"]["h2"] == {}
    assert data["children"]["fleet"]["hosts"]["six"] == {"ansible_host": "fd53:5350::e"}
    assert data["children"]["fleet"]["vars"] == {"x": 1}
    assert list(data["hosts"]) == ["controller"]
    assert fleet.inventory() != path
    assert path == fleet.inventory({"h1": {"ansible_user": "backup1"}, "h2": {"ansible_host": None}, "fleet": {"x": 1}})
    with pytest.raises(FleetError, match="not there: h9"):
        fleet.inventory({"h9": {}})


def test_ansible(fleet: Fleet) -> None:
    ansible = Path(sys.executable).with_name("ansible")
    if not ansible.exists():
        pytest.skip("ansible-core is not installed beside this interpreter")
    argv = [str(ansible), "-i", str(fleet.inventory()), "all", "-m", "command", "-a", "hostname", "-o"]
    lines = fleet.controller.run(argv).stdout.splitlines()
    assert sorted(line.split()[-1] for line in lines) == ["controller", "four", "h1", "h2", "six"]


def test_sshd_limits(tmp_path: Path) -> None:
    spec = HostSpec("one", max_startups="2:100:2", max_sessions=1, sshd_config=("LoginGraceTime 7",))
    with Fleet.create([spec], directory=tmp_path) as fleet:
        settings = fleet["one"].run(["sshd", "-T"]).stdout.splitlines()
        assert {"maxstartups 2:100:2", "maxsessions 1", "logingracetime 7"} <= set(settings)


def test_two_fleets_at_once_and_in_time(fleet: Fleet, tmp_path: Path) -> None:
    other = Fleet.create(["h1", "h2", "h3"], directory=tmp_path)
    assert ssh(other, "h3", "hostname") == ssh(fleet, "six", "echo h3")
    other.inventory()
    processes = inhabitants(other.state)
    with pytest.raises(FleetError, match="already"):
        Fleet.create(["h1"], directory=tmp_path)
    other.down()
    other.down()
    assert gone(other.state, processes)
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


CREATE = """
import sys, time
from pathlib import Path
from tests.hosts import Fleet
fleet = Fleet.create(["h1", "h2"], directory=Path(sys.argv[1]))
fleet["h1"].popen(["sleep", "600"])
print(fleet.state.token, flush=True)
time.sleep(600)
"""


def test_dead_creator(tmp_path: Path) -> None:
    creator = subprocess.Popen([sys.executable, "-c", CREATE, tmp_path], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert creator.stdout is not None
    token = creator.stdout.readline().strip()
    assert len(find_token(token)) == 4
    assert tmp_path not in Fleet.sweep()  # it lives
    state = State.load(tmp_path)
    # the PID 1 of each, the sshd of each, a sleep that may still be on its way
    assert until(lambda: len(inhabitants(state)) == 4 + 3 + 1)
    processes = inhabitants(state)
    creator.kill()
    creator.communicate()
    # The hosts end by themselves; their files are left to down, sweep or the next create.
    assert until(lambda: not find_token(token))
    assert (tmp_path / "fleet.json").exists()
    with Fleet.create(["h1"], directory=tmp_path) as again:
        assert again.state.token != token
        assert token not in [state.token for state in registered()]
    assert command_line("down", "--directory", tmp_path).returncode == 0
    assert gone(state, processes)


@pytest.mark.parametrize("delay", [0.01, 0.1, 0.2, 0.3, 0.4, 0.5])
def test_creator_dies_half_way(tmp_path: Path, delay: float) -> None:
    creator = subprocess.Popen([sys.executable, "-c", CREATE, tmp_path], cwd=ROOT, stdout=subprocess.PIPE)
    assert until((tmp_path / "fleet.json").exists)
    time.sleep(delay)
    state = State.load(tmp_path)
    creator.kill()
    creator.communicate()
    assert tmp_path in Fleet.sweep()
    assert State.load(tmp_path) is None
    assert gone(state, [])


def test_sweep_without_the_directory(tmp_path: Path) -> None:
    directory = tmp_path / "lost"
    assert command_line("up", "--directory", directory, "h1").returncode == 0
    token = next(state.token for state in registered() if state.directory == directory)
    assert directory not in Fleet.sweep()  # detached, and it runs
    state = State.load(directory)
    assert state is not None
    (directory / "fleet.json").unlink()
    os.kill(state.first["h1"].pid, signal.SIGKILL)
    assert directory not in Fleet.sweep()  # still the controller and the switch
    for identity in find_token(token):
        os.kill(identity.pid, signal.SIGKILL)
    assert until(lambda: not find_token(token))
    assert directory in Fleet.sweep()
    assert token not in [each.token for each in registered()]


def test_down_without_the_directory(tmp_path: Path) -> None:
    """As after a `make clean` while the hosts of molecule are up."""
    directory = tmp_path / "lost"
    assert command_line("up", "--directory", directory, "h1").returncode == 0
    state = State.load(directory)
    assert state is not None
    shutil.rmtree(directory)
    assert command_line("down", "--directory", directory).returncode == 0
    assert gone(state, [])
    assert state.token not in [each.token for each in registered()]


def test_join(tmp_path: Path) -> None:
    """A network that is no host's reaches the hosts, and is reached from them."""
    up = shlex.join([sys.executable, "-m", "tests.hosts", "up", "--join", "--directory", str(tmp_path), "h1"])
    run = shlex.join([sys.executable, "-m", "tests.hosts", "run", "--directory", str(tmp_path), "h1"])
    there, back = "ping -c 1 -W 2 10.203.0.11", f"{run} -- ping -c 1 -W 2 10.203.0.9"
    try:
        script = f"ip link set lo up; {up} && {there} && {back}"
        done = subprocess.run(
            ["unshare", "--net", "sh", "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        assert command_line("down", "--directory", tmp_path).returncode == 0


def test_command_line(tmp_path: Path) -> None:
    assert command_line("up", "--directory", tmp_path, "a", "b").returncode == 0
    try:
        run = ("run", "--directory", tmp_path)
        assert command_line(*run, "a", "--", "hostname").stdout == "a\n"
        assert command_line(*run, "--user", "backup1", "a", "--", "id", "-un").stdout == "backup1\n"
        assert command_line(*run, "a", "--", "sh", "-c", "exit 9").returncode == 9
        assert str(tmp_path) in command_line("list").stdout
        assert "already" in command_line("up", "--directory", tmp_path, "a").stderr
        assert Fleet.load(tmp_path)["b"].run(["hostname"]).stdout == "b\n"
        state = State.load(tmp_path)
        assert state is not None
        processes = inhabitants(state)
        os.kill(state.first["b"].pid, signal.SIGKILL)  # down must not mind
    finally:
        assert command_line("down", "--directory", tmp_path).returncode == 0
    assert command_line("down", "--directory", tmp_path).returncode == 0
    assert str(tmp_path) not in command_line("list").stdout
    assert gone(state, processes)


def test_a_reused_pid_is_not_killed(tmp_path: Path) -> None:
    assert command_line("up", "--directory", tmp_path, "a").returncode == 0
    bystander = subprocess.Popen(["sleep", "60"])
    state = State.load(tmp_path)
    assert state is not None
    state.first["a"] = state.first["a"]._replace(pid=bystander.pid)
    state.save()
    assert command_line("down", "--directory", tmp_path).returncode == 0
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()
    assert not find_token(state.token)
