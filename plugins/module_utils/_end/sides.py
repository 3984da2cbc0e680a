# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the sides of all links of an end, from its authenticated connections."""

from .link import Side
from .names import address_of
from .transport import local_pair, make_ready

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .connect import Connection
    from .records import EndPlan, EndWarning, LinkSpec, Refusal


def make_sides(plan: "EndPlan", made: "dict[str, Connection]", patience: float) -> "tuple[list[Side], Refusal | None]":
    """(the sides of all links of this end, with those of relays; the reason to refuse them).

    ``patience``: seconds for relays to complete their handshake.
    """
    sides: "list[Side]" = []
    for spec in plan["links"]:
        if spec["control"]:
            continue
        if spec["side"] == "local":
            sides += local_sides(spec)
            continue
        connection = made[spec["id"]]
        relays = spec["encryption"] and plan["kernel_tls"] != "must"
        if plan["kernel_tls"] and connection.cipher is None and not relays:
            return sides, {"kind": "no common cipher"}
        spec["address"], spec["peer"] = address_of(connection.sock), address_of(connection.sock, peer=True)
        side = tcp_side(spec, connection)
        if connection.attempt and connection.attempt.segment:
            where: "EndWarning" = {
                "kind": "small packets",
                "address": spec["address"],
                "peer": spec["peer"],
                "segment": connection.attempt.segment,
            }
            side.warnings.append(where)
        sides.append(side)
        if spec["encryption"] and connection.cipher is None:
            from .encrypted import between  # shipped only then

            refused = between(side, spec["encryption"], patience, sides)
            if refused:
                return sides, refused
    return sides, None


def tcp_side(spec: "LinkSpec", connection: "Connection") -> Side:
    """The side of a link from an authenticated connection."""
    side = Side(spec, make_ready(spec, connection))
    side.prove = connection.prove if spec["barrier"] else None
    return side


def local_sides(spec: "LinkSpec") -> "tuple[Side, Side]":
    """Both sides, (writer, reader), of a link between two neighbours on one host."""
    writer, reader = (Side(spec, transport) for transport in local_pair())
    writer.twin, reader.twin = reader, writer
    return writer, reader
