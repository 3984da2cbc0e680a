# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the plumbing.socketpipe contributors
"""The network of a fleet: a bridge in the switch's namespace and a veth to each host. And what hosts refuse."""

from __future__ import annotations

import ipaddress
import subprocess
import typing as t
from pathlib import Path

from .layout import NET4, NET6, SANE_PATH, SSH_PORT, FleetError, Seat
from .needs import program

TABLE = "socketpipe_block"
LISTENING = "0A"  # TCP_LISTEN
Direction = t.Literal["in", "out", "both"]
How = t.Literal["drop", "reject", "unreachable"]
Ports = int | str | t.Sequence[int | str]
VERDICTS = {
    "drop": "drop",  # silence
    "reject": "reject with tcp reset",  # connection refused
    "unreachable": "reject with icmpx type admin-prohibited",  # no route to host
}


def start_ip(pid: int, commands: t.Iterable[str]) -> subprocess.Popen[str]:
    """`ip -batch` in the network namespace of a process, and of that only: pids in the commands are as we see them."""
    argv = [program("nsenter"), "-n", "-t", str(pid), program("ip"), "-batch", "-"]
    process = subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": SANE_PATH},
    )
    assert process.stdin is not None
    process.stdin.write("".join(f"{command}\n" for command in commands))
    process.stdin.flush()
    return process


def finish_ip(process: subprocess.Popen[str], *, check: bool = True) -> None:
    errors = process.communicate()[1].strip()
    if check and process.returncode:
        raise FleetError(f"setting up a host's network failed: {errors}")


def only_ssh(pid: int) -> bool:
    """Whether nobody listens in the network namespace of this process but on ssh's port."""
    for family in ("tcp", "tcp6"):
        table = Path(f"/proc/{pid}/net/{family}")  # proc_net(5); of the namespace of that process
        for line in table.read_text(encoding="ascii").splitlines()[1:] if table.exists() else ():
            _number, address, _peer, state = line.split()[:4]
            if state == LISTENING and int(address.rpartition(":")[2], 16) != SSH_PORT:
                return False
    return True


def port(prefix: str, seat: Seat) -> str:
    """The switch's end of a host's cable; at most 15 characters."""
    return f"{prefix[:8]}p{seat.index}"


def sysctl(seat: Seat | None) -> dict[str, str]:
    """Kernel settings of a host's network."""
    # How a refusal looks must not depend on how many there were in the last second.
    settings = {"net/ipv4/icmp_ratelimit": "0", "net/ipv6/icmp/ratelimit": "0"}
    if seat is None or not seat.spec.v6:
        settings.update({f"net/ipv6/conf/{which}/disable_ipv6": "1" for which in ("all", "default")})
    return settings


def make_switch(switch: int) -> None:
    # Without snooping: it would hold back neighbour discovery for hosts it has not yet heard from.
    finish_ip(start_ip(switch, ["link add br0 type bridge forward_delay 0 mcast_snooping 0", "link set br0 up"]))


def attach(switch: int, prefix: str, members: t.Sequence[tuple[Seat, int]]) -> None:
    """Cables from the switch to these hosts (with the pid of each), and their addresses."""
    cables = []
    for seat, pid in members:
        name = port(prefix, seat)
        # The same hardware address after a reboot, as a real card has: neighbours remember it.
        card = f"eth0 address 02:53:50:00:{seat.index >> 8:02x}:{seat.index & 255:02x} netns {pid}"
        cables += [f"link add {name} type veth peer name {card}", f"link set {name} master br0 up"]
    finish_ip(start_ip(switch, cables))
    running = []
    for seat, pid in members:
        commands = ["link set lo up", "link set eth0 up"]
        for address in seat.addresses:
            nodad = " nodad" if ipaddress.ip_interface(address).version == 6 else ""
            commands.append(f"address add {address} dev eth0{nodad}")
        running.append(start_ip(pid, commands))
    for process in running:
        finish_ip(process)


def join(switch: int, prefix: str, pid: int, index: int) -> None:
    """A cable from the switch to the network of any process, which is no host's; it goes when the switch does."""
    name = f"{prefix[:8]}j"
    cable = [f"link add {name}s type veth peer name {name} netns {pid}", f"link set {name}s master br0 up"]
    finish_ip(start_ip(switch, cable))
    commands = [f"link set {name} up", f"address add {NET4[index]}/{NET4.prefixlen} dev {name}"]
    finish_ip(start_ip(pid, commands))
    # where the machine has no IPv6 there is none
    finish_ip(start_ip(pid, [f"address add {NET6[index]}/{NET6.prefixlen} dev {name} nodad"]), check=False)


def detach(switch: int, prefix: str, seat: Seat) -> None:
    """Takes the cable away, if it is there."""
    finish_ip(start_ip(switch, [f"link del {port(prefix, seat)}"]), check=False)


def set_link(switch: int, prefix: str, seat: Seat, up: bool) -> None:
    """Pulls or plugs the cable at the switch: the host keeps its addresses and sees its carrier go."""
    finish_ip(start_ip(switch, [f"link set {port(prefix, seat)} {'up' if up else 'down'}"]))


def elements(ports: Ports) -> list[str]:
    return [str(each) for each in ([ports] if isinstance(ports, (int, str)) else ports)]


def block_rules(direction: Direction, how: How, ports: Ports | None, peers: t.Sequence[str], established: bool) -> str:
    """An nft script that adds to what is blocked already.

    Without `established` only the opening packet of a connection matches. ssh is spared unless its port is named.
    """
    verdict = VERDICTS[how]
    lines = [f"add table inet {TABLE}"]
    for way, hook, far in (("in", "input", "saddr"), ("out", "output", "daddr")):
        if direction not in (way, "both"):
            continue
        lines.append(f"add chain inet {TABLE} {way} {{ type filter hook {hook} priority 0; policy accept; }}")
        loopback = f"{'iif' if way == 'in' else 'oif'} != lo"
        if ports is None:
            # Sets of two, for nft 1.0.6 joins `dport != 22 sport != 22` to one comparison, true if either differs.
            sides = [f"tcp dport != {{ 0, {SSH_PORT} }} tcp sport != {{ 0, {SSH_PORT} }}"]
        else:
            which = ("dport", "sport") if established else ("dport",)
            sides = [f"tcp {side} {{ {', '.join(elements(ports))} }}" for side in which]
        opening = "" if established else "tcp flags & (syn|ack) == syn"
        for peer in peers or [""]:
            family = "ip6" if ":" in peer else "ip"
            match = f"{family} {far} {peer}" if peer else ""
            for side in sides:
                words = ("add rule inet", TABLE, way, loopback, match, side, opening, verdict)
                lines.append(" ".join(filter(None, words)))
    return "\n".join(lines) + "\n"
