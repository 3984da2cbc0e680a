#!/bin/sh
# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
number=1
while [ "$number" -le "$1" ]; do
  echo "$number"
  number=$((number + 1))
done
