# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A database into a new one on another server. What fails leaves a part, and the next run drops it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hosts import Fleet
from tests.system.traces import leaves_nothing

from .page import recipe, same
from .site import Site, missing, slowly, wait_until

PAGE = recipe("MariaDB and MySQL")
[PLAY] = PAGE.plays
KILLED, REFUSED = PAGE.messages
SERVER = """
mount -t tmpfs none /var/lib/mysql && chown mysql /var/lib/mysql && install -d -o mysql /run/mysqld
options="--no-defaults --user=mysql --datadir=/var/lib/mysql"
mariadb-install-db $options --skip-test-db --auth-root-authentication-method=socket
exec mariadbd $options --socket=/run/mysqld/mysqld.sock --skip-networking --innodb-flush-log-at-trx-commit=0
"""
SHOP = """
create database shop;
use shop;
create table customers as select seq as id, concat('Smith ', seq) as name from seq_1_to_1000;
create table orders as select seq as id, repeat('x', 500000) as what from seq_1_to_40;
"""


@pytest.fixture(scope="module")
def server(fleet: Fleet) -> Iterator[Site]:
    reason = missing({"mariadbd": "mariadb-server"})
    if reason:
        pytest.skip(reason)
    site = Site(fleet, {"db1": "h1", "db2": "h2"})
    for name in site.names:
        log = fleet.directory / f"mariadb-{name}.log"
        site[name].popen(["bash", "-ec", f"exec >{log} 2>&1\n{SERVER}"])
    ping = ["mariadb-admin", "ping"]
    wait_until(lambda: all(site[name].run(ping, check=False).returncode == 0 for name in site.names), "the servers")
    site["db1"].run(["mariadb"], input=SHOP)
    yield site


@pytest.fixture
def site(server: Site) -> Iterator[Site]:
    """Nothing that a test starts is left but the servers."""
    with leaves_nothing(server.fleet):
        yield server


def rows(site: Site, table: str) -> int:
    """The rows that have come to db2; -1: there is no such table."""
    words = ["mariadb", "--skip-column-names", "--execute", f"select count(*) from shop_new.{table}"]
    done = site["db2"].run(words, check=False)
    return int(done.stdout) if done.returncode == 0 else -1


def test_a_part_stays_until_the_next_run(site: Site) -> None:
    started = site.start(slowly(PLAY))
    wait_until(lambda: rows(site, "customers") == 1000, "the first table on db2")
    site.kill("db1", "mariadb-dump")
    assert same(started.wait().outcomes[-1].result["cause"]["msg"]) == KILLED
    assert rows(site, "customers") == 1000 and rows(site, "orders") < 40
    site.run(PLAY)
    assert rows(site, "customers") == 1000 and rows(site, "orders") == 40


def test_a_table_that_is_refused_is_a_failure(site: Site) -> None:
    site.sh("db2", "mariadb -e 'set global enforce_storage_engine = MEMORY'")
    result = site.run(PLAY, rc=2).outcomes[-1].result
    assert same(result["cause"]["msg"]) == REFUSED
    assert rows(site, "customers") == 1000 and rows(site, "orders") == -1
