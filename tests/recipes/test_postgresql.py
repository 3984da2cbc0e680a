# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A database from one server into another. What is killed leaves nothing of it there; over ssh it leaves the half."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.hosts import Fleet, Host
from tests.system.traces import leaves_nothing

from .page import readme, recipe, same
from .site import PATIENCE, Site, missing, slowly, wait_until

PAGE = recipe("PostgreSQL")
ARCHIVE, SQL, FILE = PAGE.plays
[TAPE] = recipe("A chain", "topologies").plays
[BOTH] = recipe("A fork", "topologies").plays
KILLED, REFUSED, SQL_KILLED, *FILE_MESSAGES = PAGE.messages
IDS = ["pg_restore", "psql"]
HOME = "/var/lib/postgresql"
ROWS = 70_000  # of 300 bytes: more than all buffers between the two servers have room for
CLUSTER = f"""
cd {HOME}
initdb=$(ls /usr/lib/postgresql/*/bin/initdb | tail -n 1)
$initdb --no-sync --auth=peer --pgdata={HOME}/data >{HOME}/log
${{initdb%/*}}/pg_ctl --wait --pgdata={HOME}/data --log={HOME}/log --options="$0" start
"""
# by one superuser, without a disk or a network, and without processes that come and go
SETTINGS = "-c fsync=off -c listen_addresses= -c autovacuum=off -c unix_socket_directories=/run/postgresql"
SHOP = f"""
create table customers as select n as id, 'Smith ' || n as name from generate_series(1, 1000) n;
create table orders as select repeat('x', 290) || n as what from generate_series(1, {ROWS}) n;
alter table orders alter what set not null;
"""


def sql(host: Host, database: str, text: str) -> str:
    words = ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]
    return host.run([*words, database], user="postgres", env={"HOME": HOME}, cwd="/", input=text).stdout.strip()


@pytest.fixture(scope="module")
def site(fleet: Fleet) -> Iterator[Site]:
    reason = missing({"pg_createcluster": "postgresql", "zstd": "zstd"})
    if reason:
        pytest.skip(reason)
    made = Site(fleet, {"db1": "h1", "db2": "h2", "fast1": "h2", "store": "h3", "tapehost": "h3"})
    starting = []
    made.sh("store", "mount -t tmpfs -o size=8m none /srv && mkdir /srv/dumps")
    for name in ("db1", "db2"):
        made.sh(name, f"mount -t tmpfs -o mode=755,uid=postgres none {HOME} && install -d -o postgres /run/postgresql")
        words = ["bash", "-ec", CLUSTER, SETTINGS]
        starting.append(made[name].popen(words, user="postgres", env={"HOME": HOME}, cwd="/"))
    assert [each.wait(PATIENCE) for each in starting] == [0, 0]
    sql(made["db1"], "postgres", "create database shop")
    sql(made["db1"], "shop", SHOP)
    yield made


@pytest.fixture(autouse=True)
def empty(site: Site) -> Iterator[None]:
    """The database to restore to; nothing that a test starts is left but the servers."""
    sql(site["db2"], "postgres", "create database shop")
    with leaves_nothing(site.fleet):
        yield
    sql(site["db2"], "postgres", "drop database shop")


def contents(site: Site) -> list[str]:
    """The tables that have come to db2, with their rows."""
    names = sql(site["db2"], "shop", "select tablename from pg_tables where schemaname = 'public' order by 1").split()
    return [f"{name} {sql(site['db2'], 'shop', f'select count(*) from {name}')}" for name in names]


def backends(site: Site, where: str) -> bool:
    query = f"select count(*) from pg_stat_activity where datname = 'shop' and {where}"
    return sql(site["db2"], "postgres", query) != "0"


@contextlib.contextmanager
def held(site: Site) -> Iterator[None]:
    """No table can be made on db2 meanwhile: what restores a dump there waits before the first row."""
    words = ["psql", "--no-psqlrc", "--quiet", "shop"]
    with site["db2"].popen(words, user="postgres", env={"HOME": HOME}, cwd="/", stdin=subprocess.PIPE) as holder:
        assert holder.stdin is not None
        holder.stdin.write("begin; lock table pg_catalog.pg_class in share mode;\n")
        holder.stdin.flush()
        wait_until(lambda: backends(site, "state = 'idle in transaction'"), "a lock on db2")
        yield


def kill_the_dump(site: Site, written: int = 0) -> None:
    """When it has written so much: what restores it waits, and there is no room for all of it in between."""
    wait_until(lambda: backends(site, "wait_event_type = 'Lock'"), "a restore that waits on db2")
    [pid] = site.pids("db1", "pg_dump")
    wait_until(lambda: int(site.sh("db1", f"sed -n 's/^wchar: //p' /proc/{pid}/io")) >= written, "a part of the dump")
    site.kill("db1", "pg_dump")


@pytest.mark.parametrize("play", [ARCHIVE, SQL], ids=IDS)
def test_a_database_is_copied(site: Site, play: dict[str, Any]) -> None:
    result = site.run(play).result
    assert [stage["rc"] for stage in result["stages"]] == [0, 0]
    assert contents(site) == ["customers 1000", f"orders {ROWS}"]


@pytest.mark.parametrize(("play", "message"), [(ARCHIVE, KILLED), (SQL, SQL_KILLED)], ids=IDS)
def test_of_a_dump_that_is_killed_nothing_is_committed(site: Site, play: dict[str, Any], message: str) -> None:
    with held(site):
        started = site.start(play)
        kill_the_dump(site)
    assert same(started.wait().result["cause"]["msg"]) == message
    assert contents(site) == []


def test_of_a_restore_that_fails_nothing_is_committed(site: Site) -> None:
    sql(site["db2"], "shop", "create table orders (what text)")
    result = site.run(ARCHIVE, rc=2).result
    assert same(result["cause"]["msg"]) == REFUSED
    assert (
        'pg_restore: error: could not execute query: ERROR:  relation "orders" already exists'
        in result["stages"][-1]["stderr"]
    )
    assert contents(site) == ["orders 0"]


def test_over_ssh_the_half_is_committed(site: Site) -> None:
    """The command line of the page, and why there is a recipe."""
    [command] = PAGE.commands
    ssh = f'ssh() {{ command ssh -F {site.fleet.ssh_config} -o HostName={site["db1"].name} "$@"; }}'
    with held(site):
        shell = site["db2"].popen(["bash", "-c", f"{ssh}; {command}"], cwd="/")
        kill_the_dump(site, written=100_000)  # all customers, and some orders
    assert shell.wait(PATIENCE) == 0
    customers, orders = contents(site)
    assert customers == "customers 1000" and 0 < int(orders.removeprefix("orders ")) < ROWS


def test_the_first_screen_has_the_play_the_command_and_the_message_that_are_tested_here() -> None:
    page = readme("Why not ssh?")
    [play], [message] = page.blocks("yaml"), page.blocks("text")
    (command, _shown), (status, zero) = page.typed()
    assert yaml.safe_load(play) == [SQL] and same(message) == SQL_KILLED
    assert (command, status, zero) == (PAGE.commands[0], "echo $?", "0\n")


def test_a_dump_that_is_not_stored_leaves_the_last_one(site: Site) -> None:
    messages = []
    site.sh("store", "echo yesterday >/srv/dumps/shop.zst")
    for name, program in (("db1", "pg_dump"), ("fast1", "zstd")):
        started = site.start(slowly(FILE))
        wait_until(lambda: site.pids("fast1", "zstd"), "a zstd that runs")
        site.kill(name, program)
        messages.append(same(started.wait().result["cause"]["msg"]))
    site.sh("store", "cat /dev/zero >/srv/other || true")
    messages.append(same(site.run(FILE, rc=2).result["cause"]["msg"]))
    site.sh("store", "rm /srv/other")
    assert messages == FILE_MESSAGES
    assert site.sh("store", "ls -A /srv/dumps && cat /srv/dumps/shop.zst") == "shop.zst\nyesterday"


def taped(play: dict[str, Any], file: str) -> dict[str, Any]:
    """The same play, with a file in place of the tape."""
    changed: dict[str, Any] = json.loads(json.dumps(play).replace("/dev/nst0", file))
    return changed


def test_a_dump_is_stored(site: Site) -> None:
    """Also on the tape of the guide Topologies."""
    site.run(FILE, taped(TAPE, "/srv/dumps/tape"))
    assert site.sh("store", "ls -A /srv/dumps") == "shop.zst\ntape"
    stored(site, "shop.zst", "tape")


def stored(site: Site, *names: str) -> None:
    for name in names:
        assert site.sh("store", f"zstd -dc </srv/dumps/{name} | pg_restore --file=- | grep -c ^xxx") == str(ROWS)


def test_a_dump_is_stored_twice_or_at_least_once(site: Site) -> None:
    site.sh("store", "rm -f /srv/dumps/*")
    [disk] = site.run(taped(BOTH, "/srv/none/tape"), rc=2).of("Dump, compress and write twice").result["branches"][1:]
    assert disk["ok"]
    stored(site, "shop.zst")
    site.sh("store", "rm /srv/dumps/*")
    site.run(taped(BOTH, "/srv/dumps/tape"))
    stored(site, "shop.zst", "tape")


def test_several_streams_are_left_out_for_a_reason(site: Site) -> None:
    """As the page says: pg_dump wants files of its own, and who reads from a FIFO does not see that the writer died."""
    dump = "cd $(mktemp -d) && mkfifo toc.dat && pg_dump --format=directory --jobs=2 --file=. shop; rm -r $PWD"
    done = site["db1"].run(["bash", "-c", dump], user="postgres", env={"HOME": HOME}, cwd="/")
    assert "could not create directory" in done.stderr and "File exists" in done.stderr
    fifo = "mkfifo f; (echo half; kill -KILL $BASHPID) >f & cat f; echo $?; wait $!; echo $?"
    assert site["db1"].run(["bash", "-c", f"cd $(mktemp -d); {fifo}; rm -r $PWD"]).stdout.split() == [
        "half",
        "0",
        "137",
    ]
