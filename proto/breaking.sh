#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Refuses protos that break a peer of the last release:
#
#   proto/breaking.sh BUF
#
# The last release is the newest v* tag that HEAD descends from. Before the first
# one there is nobody to break.
set -euo pipefail

if [ "$#" -ne 1 ]; then
  echo "usage: $0 BUF" >&2
  exit 2
fi
cd "$(dirname "$0")/.."
if tag=$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null); then
  "$1" breaking proto --against ".git#tag=$tag,subdir=proto"
else
  echo "proto: no release yet, so nothing to break"
fi
