# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the plumbing.socketpipe contributors
"""The SCSI cable between the guest and the devices that a test makes: a vhost-user back end for virtio-scsi.

https://qemu-project.gitlab.io/qemu/interop/vhost-user.html, and the SCSI host device of the virtio specification. The
guest's memory is a file that it hands over; rings and data are read and written there, by one thread of the test's
process. So the devices keep what they know when the guest's power goes, as a real drive does.
"""

from __future__ import annotations

import mmap
import os
import selectors
import socket
import struct
import threading
import typing as t
from pathlib import Path

DEVICE_ID = 8  # a SCSI host, in virtio's list of devices
QUEUE_SIZE = 256
FIRST_REQUEST_QUEUE = 2  # 0 is for task management, 1 for events

GET_FEATURES, SET_MEM_TABLE, SET_VRING_NUM, SET_VRING_ADDR, SET_VRING_BASE = 1, 5, 8, 9, 10
SET_VRING_KICK, SET_VRING_CALL, GET_PROTOCOL_FEATURES, SET_CHANNEL, GET_CONFIG = 12, 13, 15, 21, 24
REPLY, NEED_REPLY, NO_DESCRIPTOR = 4, 8, 0x100
FEATURES = 1 << 28 | 1 << 30 | 1 << 32  # indirect descriptors, protocol features, virtio 1
# acknowledgements, configuration, and a channel of our own: without it the guest's driver (Linux 6.1) has no interrupt
PROTOCOL_FEATURES = 1 << 3 | 1 << 5 | 1 << 9

MORE, WRITABLE, INDIRECT = 1, 2, 4  # a descriptor's flags
BAD_TARGET = 3

GOOD, CHECK_CONDITION = 0, 2


class Answer(t.NamedTuple):
    """What a device says to a command; `data` goes to the guest."""

    data: bytes = b""
    sense: bytes = b""  # if any, the status is CHECK CONDITION


class Device(t.Protocol):
    def command(self, cdb: bytes, data: bytes) -> Answer:
        """What it answers."""
        raise NotImplementedError

    def reset(self) -> None:
        """The guest has been switched on."""


class Memory:
    """The guest's, by its physical addresses."""

    def __init__(self, payload: bytes, descriptors: t.Sequence[int]) -> None:
        self.regions = []
        for index, descriptor in enumerate(descriptors):
            start, size, _address, offset = struct.unpack_from("<QQQQ", payload, 8 + 32 * index)
            self.regions.append((start, size, memoryview(mmap.mmap(descriptor, offset + size))[offset:]))
            os.close(descriptor)

    def at(self, address: int, length: int) -> memoryview:
        for start, size, view in self.regions:
            if start <= address and address + length <= start + size:
                return view[address - start : address - start + length]
        raise ValueError(f"no memory of the guest is at {address:#x}")


class Ring:
    """A virtqueue."""

    def __init__(self) -> None:
        self.size = self.seen = 0
        self.descriptors = self.available = self.used = 0
        self.kick = self.call = -1

    def chains(self, memory: Memory) -> t.Iterator[tuple[int, list[memoryview], list[memoryview]]]:
        """What has been made available since: the number of a chain, what we may read, what we may write."""
        while self.seen != struct.unpack("<H", memory.at(self.available + 2, 2))[0]:
            slot = memory.at(self.available + 4 + 2 * (self.seen % self.size), 2)
            self.seen = (self.seen + 1) % 0x10000
            head = struct.unpack("<H", slot)[0]
            out: list[memoryview] = []
            into: list[memoryview] = []
            for address, length, flags in self._chain(memory, self.descriptors, head):
                (into if flags & WRITABLE else out).append(memory.at(address, length))
            yield head, out, into

    def _chain(self, memory: Memory, table: int, index: int) -> t.Iterator[tuple[int, int, int]]:
        while True:
            address, length, flags, following = struct.unpack("<QIHH", memory.at(table + 16 * index, 16))
            if flags & INDIRECT:
                yield from self._chain(memory, address, 0)
            else:
                yield address, length, flags
            if not flags & MORE:
                return
            index = following

    def done(self, memory: Memory, head: int, written: int) -> None:
        index = memory.at(self.used + 2, 2)
        count = struct.unpack("<H", index)[0]
        memory.at(self.used + 4 + 8 * (count % self.size), 8)[:] = struct.pack("<II", head, written)
        index[:] = struct.pack("<H", (count + 1) % 0x10000)
        try:
            os.write(self.call, struct.pack("<Q", 1))
        except BrokenPipeError:  # the guest's power has gone
            pass


class Connection:
    """One guest, from its boot to the end of its power."""

    def __init__(self, connection: socket.socket, devices: t.Sequence[Device], errors: list[Exception]) -> None:
        self.socket = connection
        self.devices = devices
        self.errors = errors
        self.memory: Memory | None = None
        self.rings = [Ring() for _queue in range(FIRST_REQUEST_QUEUE + 1)]
        self.channel = -1
        self.waiting = selectors.DefaultSelector()
        self.waiting.register(connection, selectors.EVENT_READ)

    def serve(self) -> None:
        try:
            while True:
                for key, _events in self.waiting.select():
                    if key.fileobj is self.socket:
                        if not self._message():
                            return
                    else:
                        os.read(key.fd, 8)
                        self._ring(key.data)
        except ConnectionError:
            return
        finally:
            self.waiting.close()
            self.socket.close()
            for descriptor in (self.channel, *(each for ring in self.rings for each in (ring.kick, ring.call))):
                if descriptor >= 0:
                    os.close(descriptor)

    def _message(self) -> bool:
        header, descriptors, _flags, _address = socket.recv_fds(self.socket, 12, 8)
        if not header:
            return False
        request, flags, size = struct.unpack("<III", header)
        payload = self.socket.recv(size, socket.MSG_WAITALL) if size else b""
        answer = self._answer(request, payload, descriptors)
        if answer is None and flags & NEED_REPLY:
            answer = struct.pack("<Q", 0)
        if answer is not None:
            self.socket.sendall(struct.pack("<III", request, 1 | REPLY, len(answer)) + answer)
        return True

    def _answer(self, request: int, payload: bytes, descriptors: t.Sequence[int]) -> bytes | None:
        if request == SET_CHANNEL:
            self.channel = descriptors[0]
        elif request == GET_FEATURES:
            return struct.pack("<Q", FEATURES)
        if request == GET_PROTOCOL_FEATURES:
            return struct.pack("<Q", PROTOCOL_FEATURES)
        if request == GET_CONFIG:
            offset, size, flags = struct.unpack_from("<III", payload)
            return struct.pack("<III", offset, size, flags) + self._configuration()[offset : offset + size]
        if request == SET_MEM_TABLE:
            self.memory = Memory(payload, descriptors)
        elif request in (SET_VRING_NUM, SET_VRING_BASE):
            index, number = struct.unpack("<II", payload)
            setattr(self.rings[index], "size" if request == SET_VRING_NUM else "seen", number)
        elif request == SET_VRING_ADDR:
            index, _flags, *addresses, _log = struct.unpack("<IIQQQQ", payload)
            ring = self.rings[index]
            ring.descriptors, ring.used, ring.available = addresses
        elif request in (SET_VRING_KICK, SET_VRING_CALL):
            number = struct.unpack("<Q", payload)[0]
            if not number & NO_DESCRIPTOR:
                self._notifier(self.rings[number & 0xFF], request, descriptors[0])
        return None

    def _notifier(self, ring: Ring, request: int, descriptor: int) -> None:
        if request == SET_VRING_CALL:
            ring.call = descriptor
        else:
            ring.kick = descriptor
            self.waiting.register(descriptor, selectors.EVENT_READ, ring)

    def _configuration(self) -> bytes:
        # queues, segments, sectors, commands a LUN, event size, sense size, CDB size, last channel, target and LUN
        return struct.pack("<IIIIIIIHHI", 1, 254, 0xFFFF, 8, 16, 96, 32, 0, len(self.devices) - 1, 0)

    def _ring(self, ring: Ring) -> None:
        memory = self.memory
        assert memory is not None
        kind = self.rings.index(ring)
        if kind == 1:
            return  # buffers for events: there are none
        for head, out, into in ring.chains(memory):
            if kind == 0:
                into[0][-1:] = b"\0"  # task management: it is done
                ring.done(memory, head, len(into[0]))
            else:
                ring.done(memory, head, self._request(b"".join(out), into))

    def _request(self, request: bytes, into: t.Sequence[memoryview]) -> int:
        """A virtio_scsi_cmd_req and the data behind it; returns how much has been written."""
        target, cdb, data = request[1], request[19:51], request[51:]
        room = sum(map(len, into)) - 108
        if target >= len(self.devices) or request[2:4] not in (b"\x40\0", b"\0\0"):
            return self._respond(into, struct.pack("<IIHBB", 0, room, 0, GOOD, BAD_TARGET))
        try:
            answer = self.devices[target].command(cdb, data)
        except Exception as error:  # the device's own fault: the guest shall not wait for it
            self.errors.append(error)
            answer = Answer(sense=b"\x70\0\x04".ljust(18, b"\0"))
        sent = answer.data[:room]
        status = CHECK_CONDITION if answer.sense else GOOD
        head = struct.pack("<IIHBB", len(answer.sense), room - len(sent), 0, status, 0) + answer.sense
        return self._respond(into, head.ljust(108, b"\0") + sent)

    def _respond(self, into: t.Sequence[memoryview], content: bytes) -> int:
        position = 0
        for view in into:
            piece = content[position : position + len(view)]
            view[: len(piece)] = piece
            position += len(piece)
        return position


class Cable:
    """Listens on a socket for as long as the test likes; guests come and go, one at a time."""

    def __init__(self, path: Path, devices: t.Sequence[Device]) -> None:
        self.path = path
        self.devices = devices
        self.errors: list[Exception] = []  # of devices that did not know what to do
        self.idle = threading.Event()
        self.idle.set()
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen(1)
        threading.Thread(target=self._serve, name="SCSI cable", daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _address = self._listening.accept()
            except OSError:
                return
            self.idle.clear()
            for device in self.devices:
                device.reset()
            try:
                Connection(connection, self.devices, self.errors).serve()
            except Exception as error:
                self.errors.append(error)
            self.idle.set()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
