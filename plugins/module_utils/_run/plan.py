# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a run, made by the controller before anything starts: ends, stages, links, secrets, addresses.

A Plan is independent of Ansible and has no fixed shape: any number of stages on any number of ends, joined by links.
A front-end adds the stages and the addresses.  ``for_end`` returns the part for one end.
"""

import os

from .._end.patience import Patience
from .readers import padding, reads_blocks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Sequence

    from .._end.records import Command, Encryption, EndPlan, LinkSpec, Place, StageSpec, Target
    from .records import Account, Branch, Certificate, EndSpec, Job, Joint, Options

DEFAULT_PORTS = range(20000, 32768)  # below the kernel's ephemeral ports (ip_local_port_range)
CANDIDATES = 16  # ports on which an end tries to listen, and which its peers dial
CHECKED = 2  # ports that a preflight checks if any port may be used
HEARTBEAT = 30.0  # seconds between the newlines that keep an idle login alive
DEAD_PEER_LEAST = 6  # seconds: the kernel sends six probes in that time, and counts in whole seconds
LATER_STALL = 5  # seconds that the common part of a plan may stall after a branch: that is dropped first
FULL_READS = 1024 * 1024  # bytes: the most for which a reader's socket waits (SO_RCVLOWAT)


def parse_ports(text: str) -> "list[int]":
    """ "5000", "5000-5010", "5000,5010-5012" as a list of ports; raises ValueError with a sentence for the user."""
    ports: "list[int]" = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.strip().isdecimal() or (dash and not last.strip().isdecimal()):
            raise ValueError("%r is neither a port (5000) nor a range of ports (5000-5010)" % part.strip())
        low, high = int(first), int(last if dash else first)
        if not 1 <= low <= high <= 65535:
            raise ValueError("%r is not within 1-65535, lowest first" % part.strip())
        ports.extend(range(low, high + 1))
    return list(dict.fromkeys(ports))


def checked(told: "dict[str, float]") -> "dict[str, float]":
    """The valid limits of an end (see _end.patience); raises ValueError for any other."""
    names = sorted(vars(Patience()))
    for name, seconds in told.items():
        if name not in names:
            raise ValueError("patience: there is no %r: there are %s" % (name, ", ".join(names)))
        if not isinstance(seconds, (int, float)) or isinstance(seconds, bool) or not 0 <= seconds < float("inf"):
            raise ValueError("patience: %s must be a number of seconds, not %r" % (name, seconds))
    return dict(told)


def new_secret() -> str:
    """32 random bytes, as text.  The module secrets would load OpenSSL, which takes as long as half of a run."""
    return os.urandom(32).hex()


def drawn(pool: "Sequence[int]", count: int) -> "list[int]":
    """So many different members of a pool, in random order."""
    places: "dict[int, None]" = {}  # an ordered set
    while len(places) < min(count, len(pool)):
        places[int.from_bytes(os.urandom(8), "big") % len(pool)] = None
    return [pool[place] for place in places]


class Plan:
    """The ends, stages and links of one run, with fresh secrets."""

    def __init__(self, options: "Options"):
        """``options``: settings of links and ends.

        ``patience``: for tests, see _end.patience.
        """
        self.run = os.urandom(16).hex()
        self.options = options
        self.ends: "dict[str, EndSpec]" = {}
        self.links: "list[Joint]" = []
        self.dial: "dict[tuple[str, str], Place]" = {}
        self.branches: "list[Branch]" = []
        self.branches_required = 0
        self.controls: "list[Joint]" = []  # control connections, of a run that is to outlive its controller
        self.certify: "Callable[[], Certificate] | None" = None  # makes certificates, if links are to be encrypted
        self.home = ""  # the end that keeps the result of such a run
        self.job: "Job | None" = None
        self.asked: "list[str]" = []  # the ends that others ask how far the run is
        self.expected: "int | None" = None  # bytes that should cross the first link between two ends

    def add_end(self, name: str, listen: bool = True, sample: float = 0.0, connect_timeout: float = 0.0) -> None:
        """A host that runs stages.

        ``sample``: seconds between its live reports, 0 for none; ``connect_timeout``: 0 for that of the plan.
        """
        self.ends[name] = {
            "listen": listen,
            "ports": self.candidates(self.options.get("ports", [])),
            "stages": [],
            "sample": sample,
            "connect_timeout": connect_timeout or self.options.get("connect_timeout", 30),
        }

    def candidates(self, allowed: "list[int]") -> "list[int]":
        """Ports on which an end tries to listen; ``allowed``: [] for the default."""
        most = CHECKED if self.options.get("preflight") and not allowed else CANDIDATES
        pool = allowed or DEFAULT_PORTS
        return drawn(pool, most)

    def add_stage(self, end: str, command: "Command") -> None:
        stage: "StageSpec" = {**command, "fds": {}, "end": end, "padding": padding(command["argv"])}
        self.ends[end]["stages"].append(stage)

    def stage(self, name: str) -> "StageSpec":
        for end in self.ends.values():
            for stage in end["stages"]:
                if stage["name"] == name:
                    return stage
        raise KeyError(name)

    def connect(self, writer: str, reader: str, fd: int = 1) -> None:
        """Join the output ``fd`` of one stage to the standard input of another."""
        source, sink = self.stage(writer), self.stage(reader)
        link: "Joint" = {
            "id": "%s \u2192 %s" % (writer, reader),
            "source": writer,
            "destination": reader,
            "index": len(self.links),
            "secret": new_secret(),
            "writer": source["end"],
            "reader": sink["end"],
        }
        self.links.append(link)
        source["fds"][str(fd)] = link["id"]
        sink["fds"]["0"] = link["id"]

    def reach(self, dialler: str, target: str, addresses: "list[str]", ssh_client: bool = False) -> None:
        """Add addresses at which one end dials another; ``ssh_client``: also the source address of its ssh login."""
        self.dial[(dialler, target)] = {"addresses": addresses, "ssh_client": ssh_client}

    def detach(self, home: str, job: "Job") -> None:
        """Have the run outlive its controller, once all links are there; ``home``: the end that keeps its result."""
        self.home, self.job = home, job
        for end in self.ends:
            if end != home:
                control: "Joint" = {
                    "id": "control of %s" % end,
                    "source": "",
                    "destination": "",
                    "index": len(self.links) + len(self.controls),
                    "secret": new_secret(),
                    "writer": end,
                    "reader": home,
                }
                self.controls.append(control)
                self._certify(control)

    def account(self) -> "Account":
        """What home needs of this plan for the result: no secrets, and nothing that only another host may know."""
        kept = ("name", "argv", "ok_rc", "early_exit", "fds", "end", "padding", "keep", "fan")
        ends: "dict[str, EndSpec]" = {}
        for name, end in self.ends.items():
            stages: "Any" = [{key: value for key, value in stage.items() if key in kept} for stage in end["stages"]]
            ends[name] = {**end, "stages": stages}
        links: "Any" = [{**link, "secret": ""} for link in self.links]
        for link in links:
            if "certificates" in link:
                link["certificates"] = {}  # it has to be encrypted
        return {
            "run": self.run,
            "options": self.options,
            "ends": ends,
            "links": links,
            "dial": list(self.dial.items()),
            "expected": self.expected,
            "branches": self.branches,
            "branches_required": self.branches_required,
        }

    @classmethod
    def restored(cls, account: "Account") -> "Plan":
        plan = cls(account["options"])
        plan.run, plan.ends, plan.links = account["run"], account["ends"], account["links"]
        plan.expected = account["expected"]
        plan.branches, plan.branches_required = account["branches"], account["branches_required"]
        plan.dial = {(dialler, target): place for (dialler, target), place in account["dial"]}
        return plan

    def chain(self, stages: "list[tuple[str, Command]]") -> None:
        """Add these stages, [(end, stage), …]; each writes to the next."""
        for end, stage in stages:
            self.add_stage(end, stage)
        names = [stage["name"] for _end, stage in stages]
        for writer, reader in zip(names, names[1:]):
            self.connect(writer, reader)

    def add_branch(self, stages: "list[tuple[str, Command]]") -> str:
        """Add one of several chains that get the same data (see fork); returns the name of its first stage."""
        self.chain(stages)
        end, last = stages[-1]
        names = [stage["name"] for _end, stage in stages]
        self.branches.append({"name": last["name"], "end": end, "stages": names})
        return names[0]

    def branch_of(self, stage: str) -> str:
        """The name of the branch of a stage; "" if it is common to all."""
        return next((branch["name"] for branch in self.branches if stage in branch["stages"]), "")

    def depending(self, end: str) -> "set[str]":
        """The ends that cannot succeed if this one fails: all, or those of the same branches."""
        branches = self.branches_at(end)
        return {each for each in self.ends if "" in branches or branches & self.branches_at(each)}

    def branches_at(self, end: str) -> "set[str]":
        """The branches with stages at this end; "" for the common part."""
        return {self.branch_of(stage["name"]) for stage in self.ends[end]["stages"]} or {""}

    def stall_timeout(self, link: "Joint") -> int:
        seconds = self.options.get("stall_timeout", 0)
        return (
            seconds + LATER_STALL if seconds and self.branches and not self.branch_of(link["destination"]) else seconds
        )

    def barrier(self) -> "set[str]":
        """The links on which ends exchange "ready" and "go" (see _end.barrier): a path from a source to each end.

        Between two ends no message is needed.  Each starts when all its own links are made; a stage with an input
        waits also for its first byte, which only a stage that has started can send.
        """
        between = [link for link in self.links if link["writer"] != link["reader"]]
        if len({end for link in between for end in (link["writer"], link["reader"])}) < 3:
            return set()
        readers = {link["destination"] for link in self.links}
        found: "set[str]" = set()
        reached: "set[str]" = set()
        for root in [end for end, spec in self.ends.items() for s in spec["stages"] if s["name"] not in readers]:
            waiting = [] if root in reached else [root]
            while waiting:
                end = waiting.pop()
                reached.add(end)
                for link in between:
                    if link["writer"] == end and link["reader"] not in reached:
                        found.add(link["id"])
                        reached.add(link["reader"])
                        waiting.append(link["reader"])
        return found

    def neighbours(self) -> "dict[str, tuple[str, str]]":
        """{link id: (the stage that writes to it, the stage that reads it)}."""
        return {link["id"]: (link["source"], link["destination"]) for link in self.links}

    def expectation(self) -> "tuple[str, int] | None":
        """(the first link between two ends, the bytes that should cross it); None if their number is unknown."""
        between = [link["id"] for link in self.links if link["writer"] != link["reader"]]
        return (between[0], self.expected) if between and self.expected else None

    def encrypt(self, make: "Callable[[], Certificate]") -> None:
        """Have every connection of two ends encrypted; each side of it gets a certificate of its own from ``make``."""
        self.certify = make
        for link in self.links + self.controls:
            self._certify(link)

    def _certify(self, link: "Joint") -> None:
        if self.certify and link["writer"] != link["reader"]:
            link["certificates"] = {"W": self.certify(), "R": self.certify()}

    def encryption(self, link: "Joint", side: str) -> "Encryption | None":
        if not link.get("certificates"):
            return None
        own, peer = (link["certificates"][each] for each in (side, {"W": "R", "R": "W"}[side]))
        found: "Any" = {**own, "peer": peer["certificate"], **self.options.get("sessions", {})}
        told: "Encryption" = found
        return told

    def reads_blocks(self, link: "Joint") -> bool:
        reader = self.stage(link["destination"])
        return reader.get("blocks", reads_blocks(reader["argv"]))

    def for_end(self, name: str) -> "EndPlan":
        """The part of the plan for one end: its own stages and links, and the addresses of other ends."""
        end, options, barrier = self.ends[name], self.options, self.barrier()
        links: "list[LinkSpec]" = []
        for link in self.links + self.controls:
            if name in (link["writer"], link["reader"]):
                both = link["writer"] == link["reader"]
                side = "local" if both else "W" if link["writer"] == name else "R"
                control = link in self.controls
                blocks = not control and self.reads_blocks(link)
                whole = False if control else options.get("full_reads")
                links.append(
                    {
                        "id": link["id"],
                        "index": link["index"],
                        "secret": link["secret"],
                        "side": side,
                        "end": link["reader"] if side == "W" else link["writer"],
                        "full_reads": FULL_READS if whole or (whole is None and blocks) else 0,
                        "polled": not blocks,
                        "rate_limit": options.get("rate_limit", 0),
                        "congestion_control": options.get("congestion_control", ""),
                        "stall_timeout": self.stall_timeout(link),
                        "dead_peer": options.get("dead_peer", 120),
                        "encryption": self.encryption(link, side),
                        "branch": bool(self.branch_of(link["destination"])),
                        "barrier": link["id"] in barrier,
                        "control": control,
                    }
                )
        dial: "dict[str, Target]" = {}
        for (dialler, target), where in self.dial.items():
            if dialler == name and self.ends[target]["listen"]:
                dial[target] = {**where, "ports": self.ends[target]["ports"]}
        told: "EndPlan" = {
            "run": self.run,
            "end": name,
            "listen": end["listen"],
            "ports": end["ports"],
            "links": links,
            "dial": dial,
            "stages": end["stages"],
            "connect_timeout": end["connect_timeout"],
            "kernel_tls": options.get("kernel_tls", ""),
            "preflight": bool(options.get("preflight", False)),
            "heartbeat": HEARTBEAT,
            "sample": end["sample"],
            "patience": checked(options.get("patience", {})),
            "detach": bool(self.home),
        }
        if name in self.asked:
            told["answers"] = True
        if name == self.home and self.job:
            told["job"] = {**self.job, "plan": self.account()}
        return told
