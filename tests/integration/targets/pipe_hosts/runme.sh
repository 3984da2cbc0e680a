#!/usr/bin/env bash
# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# The tasks of the target pipe, over ssh: between the controller and a host, then between two hosts. The hosts are
# network namespaces (tests/hosts); we are in a network of our own, so that nothing of this machine's has to change.
set -euo pipefail
# ansible-test runs this from a copy of tests/integration alone; the collection is where Ansible finds it
root="${ANSIBLE_COLLECTIONS_PATH%%:*}/ansible_collections/plumbing/socketpipe"
if [ -z "${SOCKETPIPE_APART:-}" ]; then
  reason=$(cd "$root" && python -c 'from tests.hosts import requirements; print(requirements() or "")')
  if [ -n "$reason" ]; then
    echo "pipe_hosts: skipped: $reason"
    exit 0
  fi
  SOCKETPIPE_APART=1 exec unshare --net "$0" "$@"
fi
ip link set lo up
fleet="$OUTPUT_DIR/fleet"
masters=$(mktemp -d /tmp/cp.XXXXXX) # short enough for the names of ssh's control sockets
down() {
  (cd "$root" && python -m tests.hosts down --directory "$fleet")
  rm -rf "$masters"
}
trap down EXIT
inventory=$(cd "$root" && python -m tests.hosts up --join --directory "$fleet" h1 h2 | sed -n 's/^inventory: //p')
export ANSIBLE_ROLES_PATH=..
ssh="-o ControlMaster=auto -o ControlPersist=5s"
ansible-playbook -i "$inventory" -e "{\"ansible_ssh_args\": \"$ssh\", \"ansible_control_path_dir\": \"$masters\"}" play.yml "$@"
