#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Generates the Python code of proto/strongroom/v1 into a folder:
#
#   proto/generate.sh PYTHON OUT
#
# PYTHON is an interpreter with the packages of requirements/proto.lock; OUT is
# `client` to renew the committed code (make proto) or a scratch folder to compare
# it with (make proto-check). Only *_service.proto files have a gRPC half.
set -euo pipefail
export LC_ALL=C

if [ "$#" -ne 2 ]; then
  echo "usage: $0 PYTHON OUT" >&2
  exit 2
fi
cd "$(dirname "$0")/.."
python=$1
out=$2
plugins=$(dirname "$python")

mkdir -p "$out/strongroom/v1"
rm -f "$out"/strongroom/v1/*_pb2*.py "$out"/strongroom/v1/*_pb2*.pyi
"$python" -m grpc_tools.protoc --proto_path=proto \
  --python_out="$out" --pyi_out="$out" proto/strongroom/v1/*.proto
"$python" -m grpc_tools.protoc --proto_path=proto \
  --plugin=protoc-gen-mypy_grpc="$plugins/protoc-gen-mypy_grpc" \
  --grpc_python_out="$out" --mypy_grpc_out="quiet,only_sync:$out" proto/strongroom/v1/*_service.proto
