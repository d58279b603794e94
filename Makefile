# Nivel: the commands a person types. Each does its own set-up and says what it does.
#
#   make demo    build Nivel and watch three sandbox tools become one (nothing else needed)
#   make test    everything that can fail: format, lints, unit and integration tests, then real tools
#   make bench   the figures of the README, measured here, ratios in one run
#   make fuzz    the property tests with CASES (20000) random cases each instead of a few hundred
#   make test-guests  real Singer taps and Airbyte sources as connectors, installed from PyPI (500 MB); needs Postgres
#   make soak    random kills with every fault at once for SOAK_MINUTES (10); prints its seed, SEED plays it again
#   make walk    WALKERS (10000) customers walk from marketing to sales to support while tools fail and Nivel is killed; SEED varies it
#   make image   the container image; `make image-test` tries it as an admin would
#   make test-clients   the vendors' own clients against the sandbox (part of `make test`)
#
# CLIENTS=none leaves the vendors' own clients out of `make test`
# REAL=none    leaves the real tools out of `make test`
# REAL=some    Request Tracker and Tryton (the default)
# REAL=all     Ghost as well (its first install compiles for several minutes)

SHELL := /bin/bash
CARGO ?= cargo
REAL ?= some
CLIENTS ?= all
IMAGE ?= nivel
DOCKER ?= docker
ARGS ?=
CASES ?= 20000
SOAK_MINUTES ?= 10
WALKERS ?= 10000
SEED ?= 0
# Most integration tests wait for tools and jobs: twice as many at once as there are cores.
TEST_THREADS ?= $(shell echo $$((2 * $$(nproc))))

.NOTPARALLEL:
.PHONY: help demo test test-guests setup fmt lint unit real test-clients bench fuzz soak walk image image-test

help:
	@sed -n 's/^#   //p' Makefile

demo:
	@tests/setup.sh build
	$(CARGO) run -- demo $(ARGS)

test: setup fmt lint unit real test-clients

setup:
	@tests/setup.sh test

fmt:
	@echo "== format"
	$(CARGO) fmt --check

lint:
	@echo "== lints"
	$(CARGO) clippy --all-targets -- -D warnings

unit:
	@echo "== unit and integration tests"
	RUST_TEST_THREADS=$(TEST_THREADS) $(CARGO) test

real:
	@if [ "$(REAL)" = none ]; then echo "== real tools: left out (REAL=none)"; else \
	  echo "== real tools (REAL=$(REAL))" && $(CARGO) build && REAL=$(REAL) tests/real/run; fi

# The vendors' own clients from npm and PyPI, installed once below target/ (half a minute), then a few seconds.
test-clients:
	@if [ "$(CLIENTS)" = none ]; then echo "== clients: left out (CLIENTS=none)"; else \
	  echo "== the vendors' own clients against the sandbox" && $(CARGO) build && tests/clients/run; fi

bench:
	@tests/setup.sh build
	$(CARGO) bench --bench '*' $(if $(ARGS),-- $(ARGS))

# A failure prints the smallest input that fails; it becomes a test.
fuzz:
	@tests/setup.sh build
	PROPTEST_CASES=$(CASES) $(CARGO) test --release --lib

soak:
	@tests/setup.sh build
	SOAK_MINUTES=$(SOAK_MINUTES) $(CARGO) test --test it soak:: -- --nocapture

# `make test` walks with 120. The ledger and the tools' own histories must tell the same at the end, passage by passage.
walk:
	@tests/setup.sh build
	NIVEL_WALKERS=$(WALKERS) NIVEL_SEED=$(SEED) $(CARGO) test --test it handoffs::funnel -- --nocapture

# Not part of `make test`: what it installs takes half a gigabyte and minutes.
test-guests:
	@tests/setup.sh build
	CARGO="$(CARGO)" tests/guests/run

image:
	$(DOCKER) build -t $(IMAGE) .

image-test:
	@tests/docker/run
