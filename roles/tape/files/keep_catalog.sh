# shellcheck shell=sh
# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# keep_catalog.sh DIR: takes a tape host's catalog, a tar archive on standard input, as the copy DIR, in one step.
#
# DIR is a symbolic link to the copy. A broken copy never gets its name: tar fails on what is not a whole archive.
set -eu
umask 077
target=$1
new=$target.$$
trap 'rm -rf -- "$new" "$new.link"' EXIT
trap 'exit 1' HUP INT TERM

mkdir -p -- "$(dirname -- "$target")"
if [ -e "$target" ] && [ ! -L "$target" ]; then
    echo "$target is there and is no copy of a catalog: remove it" >&2
    exit 1
fi
mkdir -- "$new"
tar --extract --file=- --directory="$new"
old=$(readlink -- "$target" || true)
ln -s -- "$(basename -- "$new")" "$new.link"
mv -T -- "$new.link" "$target"
trap - EXIT
if [ -n "$old" ]; then
    old=$(dirname -- "$target")/$(basename -- "$old")
    rm -rf -- "${old:?}"
fi
