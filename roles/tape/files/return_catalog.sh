# shellcheck shell=sh
# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# return_catalog.sh DIR: takes a copy of a catalog, a tar archive on standard input, as the catalog DIR, which must have none.
set -eu
umask 077
target=$1
new=$target.$$
trap 'rm -rf -- "$new"' EXIT
trap 'exit 1' HUP INT TERM

if [ -e "$target/tapes" ]; then
    echo "$target has a catalog already: move $target/tapes out of the way if it is not the one that you want" >&2
    exit 1
fi
mkdir -p -- "$target"
mkdir -- "$new"
tar --extract --file=- --directory="$new"
if [ -e "$new/lists" ]; then
    rm -rf -- "$target/lists"
    mv -- "$new/lists" "$target/lists"
fi
# the tapes are what counts, so they come last, in one step
mv -T -- "$new/tapes" "$target/tapes"
