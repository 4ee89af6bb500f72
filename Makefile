# What can be done with a checkout: `make help`. Each target does its own set-up, on Debian as root, and may be repeated.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
# Two builds at once would fight for the same processors and wait for the same lock.
.NOTPARALLEL:

cache := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/imarchive
# Outside the checkout, so that a fresh clone need not compile everything again.
export CARGO_TARGET_DIR ?= $(cache)/target
# Who builds by hand builds often. .ci/run says 0: what is benchmarked and archived with is optimized as a whole.
export CARGO_INCREMENTAL ?= 1
export PYTHONDONTWRITEBYTECODE := 1

# Always the same profile, target and features (--workspace), so that each crate is compiled once for tests and image.
cargo_flags := --release --workspace
release := imarchive --namespace imarchive-system

.PHONY: help
help: ## this list
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

.PHONY: check
check: format clippy ## what to run while working: format, clippy, unit tests
	@echo "== unit tests"
	cargo test $(cargo_flags) --lib --bins

.PHONY: test
test: format clippy lint crates reliability stories ## all that CI runs: the above, lints, every test, the stories on a real node

.PHONY: image
image: ## builds the image imarchive:dev; gives it to the node when that is up
	@echo "== image"
	@e2e/image

.PHONY: up
up: ## starts a real Kubernetes node here, with the image and the chart
	@echo "== node"
	@e2e/cluster up
	@$(MAKE) image
	@echo "== chart"
	@# With what was set before, which is whom to trust, when the demo or the stories ran already.
	@e2e/cluster exec -- helm upgrade --install $(release) --create-namespace charts/imarchive \
	  --reset-then-reuse-values --set image.repository=imarchive,image.tag=dev --wait --timeout 180s >/dev/null
	@e2e/cluster exec -- helm list --namespace imarchive-system

.PHONY: demo
demo: up ## chat messages in, mails in real mailboxes out; CORPUS=FILE adds real ones
	@echo "== demo"
	@e2e/demo $(if $(CORPUS),--corpus '$(CORPUS)')

.PHONY: demo-outage
demo-outage: up ## the demo, with an archive that is down for a while
	@echo "== demo, with an outage"
	@e2e/demo --outage

.PHONY: sim
sim: ## ninety days in seconds: outages under virtual time with seeded faults; SEEDS=n for so many, SEED=n for one and its trace
	@echo "== simulation"
	cargo test $(cargo_flags) --test sim

.PHONY: faults
faults: archiver up ## all that may happen to the archiver and to the operator, at full size: kills, power cuts, disks; hours
	@e2e/faults

.PHONY: scale
scale: up ## how the operator's start, memory and writes grow with the resources
	@e2e/scale

.PHONY: bench
# Optimized as a whole, whatever is usual here.
bench: export CARGO_INCREMENTAL = 0
bench: ## the archiver beside peers that do the same work here, about ten minutes; BENCH=part for one, ROUNDS=n
	@echo "== bench"
	@e2e/prepare
	cargo build $(cargo_flags) --bins --examples
	@e2e/bench --rounds $(or $(ROUNDS),5) $(BENCH)

.PHONY: down
down: ## stops the mail servers and the node, and leaves nothing running
	@e2e/mail down $(cache)/mail
	@e2e/cluster down

.PHONY: crds
crds: ## writes the CustomResourceDefinitions anew, from the types to crds/yaml and to the chart
	REGENERATE=1 cargo test $(cargo_flags) --test yaml
	cp crds/yaml/*.yaml charts/imarchive/files/crds/

# The pieces of check and test.

.PHONY: format
format:
	@echo "== format"
	cargo fmt --check

.PHONY: clippy
clippy:
	@echo "== clippy"
	cargo clippy $(cargo_flags) --all-targets -- -D warnings

.PHONY: lint
lint:
	@echo "== lint"
	@.ci/lint

.PHONY: crates
crates:
	@echo "== tests of the crates"
	cargo test $(cargo_flags)
	@echo "== the benchmark works"
	@e2e/bench --small --rounds 1 append start

# What the proofs run, built as for the image.
.PHONY: archiver
archiver:
	cargo build $(cargo_flags) --bins

.PHONY: reliability
reliability: archiver
	@echo "== the archiver killed, cut off and lied to"
	@e2e/prepare
	@e2e/python python3 -m pytest e2e/reliability

.PHONY: stories
stories: up
	@echo "== examples"
	@e2e/cluster exec -- kubectl apply --dry-run=server -f examples
	@echo "== helm test"
	@e2e/cluster exec -- helm test $(release) --logs
	@echo "== stories"
	@begun=$$(date -u +%FT%TZ); e2e/python python3 -m pytest -p no:cacheprovider -v e2e/stories; \
	  echo "== rights used"; e2e/python e2e/rights audit --since "$$begun"
