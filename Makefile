# Hushwire. `make` lists what there is.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
# With the packages of tests/vectors/requirements.txt; scripts/setup makes it.
PYTHON := $(TARGET)/python/bin/python
# Where `make run` keeps its database.
DATA ?= .hushwire
# The demonstration's rule: one message so often, in milliseconds (the product's is 10000).
INTERVAL_MS ?= 10000

# What the two implementations of the vectors write for each other: drawn anew each time.
ifndef SEED
SEED := $(shell od -An -N4 -tu4 /dev/urandom | tr -d ' ')
endif
ROUND := $(abspath $(TARGET))/vectors

# `make cluster`: where people reach it.
LISTEN ?= 127.0.0.1:8080
# `make chaos`: for how many minutes faults befall; SEED=... repeats them, CHAOS=--help tells more.
MINUTES ?= 5
CHAOS ?=
# `make fuzz`: seconds for each target.
FUZZ_SECONDS ?= 60
# `make fuzz-live`: requests and frames; SEED=... repeats a run.
COUNT ?= 2000000

# `make model`: which worlds; see `make model WORLDS=--help`.
WORLDS ?=

.PHONY: help run test demo cluster chaos lint bench fuzz fuzz-live model setup fmt clippy rules vectors api build binary-rules

help: ## lists the targets
	@echo "Hushwire: an end-to-end encrypted messaging engine. Targets:"
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1 \2/p' $(MAKEFILE_LIST) | while read -r name what; do printf '  make %-9s %s\n' "$$name" "$$what"; done

run: setup ## builds and starts a server on this machine, with nothing else installed
	@scripts/run "$(DATA)"

test: setup ## everything: format, lints, rules, vectors, then all tests
	@$(MAKE) --no-print-directory fmt clippy rules vectors api build binary-rules
	@$(MAKE) --no-print-directory demo INTERVAL_MS=2000
	$(CARGO) test --workspace --locked

demo: setup build ## two people talk through a real server that is killed half-way
	$(CARGO) xtask demo --server $(TARGET)/debug/hushwire --client $(TARGET)/debug/hush --interval-ms $(INTERVAL_MS)

lint: setup fmt clippy rules ## format, clippy, architecture rules, licences and bans
	@if command -v cargo-deny >/dev/null; then \
	  $(CARGO) deny check bans licenses sources; \
	else \
	  echo "cargo-deny is not installed: licences and bans were checked by xtask from deny.toml."; \
	fi
	@echo "Advisories are not part of this: run 'cargo deny check advisories' with a network."

cluster: setup build ## three servers behind a balancer on this machine, to talk through and to kill
	@scripts/setup tests
	$(CARGO) build --locked -p hushwire-testbed
	@$(TARGET)/debug/hushwire-cluster --server $(TARGET)/debug/hushwire --listen $(LISTEN)

chaos: setup build ## breaks every part of a cluster for MINUTES=5 while people talk, and counts what is lost
	@scripts/setup tests
	$(CARGO) build --locked -p hushwire-chaos
	$(TARGET)/debug/hushwire-chaos --server $(TARGET)/debug/hushwire --minutes $(MINUTES) --seed $(SEED) $(CHAOS)

bench: setup ## figures: cryptography, the server beside a bare relay, and in bad weather (a quarter of an hour)
	$(CARGO) build --release --locked -p hushwire -p hushwire-benches
	$(TARGET)/release/hushwire-benches crypto --json $(TARGET)/crypto.json
	$(TARGET)/release/hushwire-benches figures --server $(TARGET)/release/hushwire --json $(TARGET)/figures.json
	$(TARGET)/release/hushwire-benches scenarios --server $(TARGET)/release/hushwire --json $(TARGET)/scenarios.json

fuzz: setup ## fuzzes every parser, FUZZ_SECONDS=60 for each; `make test` replays what was found
	@FUZZ_SECONDS=$(FUZZ_SECONDS) scripts/fuzz

fuzz-live: setup ## attacks a running server with COUNT=2000000 malformed requests and frames
	$(CARGO) build --locked -p hushwire -p hushwire-fuzz-live
	$(TARGET)/debug/hushwire-fuzz-live run --server $(TARGET)/debug/hushwire --count $(COUNT) --seed $(SEED)

model: setup ## checks delivery with a model: every interleaving of bounded worlds (minutes)
	$(CARGO) build --locked -p hushwire-model
	$(TARGET)/debug/hushwire-model $(WORLDS)

setup: ## checks for the tools, and installs what is missing where it can
	@scripts/setup

fmt:
	$(CARGO) fmt --all --check

clippy:
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	$(CARGO) clippy -p hushwire-wire -p xtask --features hushwire-wire/schema,xtask/api --all-targets --locked -- -D warnings

rules:
	$(CARGO) xtask rules

vectors:
	@scripts/setup tests
	python3 tests/vectors/check_first.py
	$(PYTHON) tests/vectors/check_edges.py
	$(PYTHON) tests/vectors/check.py
	$(PYTHON) -m unittest discover --start-directory tests/vectors
	@echo "Each implementation checks what the other writes. To repeat it: make vectors SEED=$(SEED)"
	rm -rf $(ROUND)
	$(PYTHON) tests/vectors/produce.py --seed $(SEED) --out $(ROUND)/python
	HUSHWIRE_VECTORS_SEED=$(SEED) HUSHWIRE_VECTORS_IN=$(ROUND)/python HUSHWIRE_VECTORS_OUT=$(ROUND)/rust \
	  $(CARGO) test --locked -p hushwire-e2ee --lib -- --include-ignored vectors_handed_in written_here
	$(PYTHON) tests/vectors/check.py $(ROUND)/rust

# docs/api and docs/limits.md: `cargo xtask api` writes them, this checks them.
api:
	@scripts/setup tests
	$(CARGO) test --locked -p hushwire-wire -p xtask --features hushwire-wire/schema,xtask/api -- schema api
	$(PYTHON) tests/python/check_api.py

build:
	$(CARGO) build --locked -p hushwire -p hushwire-chat

binary-rules: build
	$(CARGO) xtask rules --binary $(TARGET)/debug/hushwire --control $(TARGET)/debug/hush
