# The verbs of the project; CI calls `check` and `test`, and nothing else. All of them build the whole workspace: one package alone has
# other features of its dependencies, and builds them a second time.
.DEFAULT_GOAL := help
SHELL := /bin/bash
URL ?=
SEEDS ?= 20
SEED ?=
CARGO ?= cargo
FUZZ_SECONDS ?= 60
FUZZ_SEED ?= 1

.PHONY: help
help: ## Lists the verbs
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## /  make \1\t/' | expand -t 16

.PHONY: run
run: ## Builds, starts the whole mesh, crawls something real, shows the result (URL=… for a page of yours)
	@tools/install run
	$(CARGO) build --release --locked --bin crawlmesh
	@tools/run "$(URL)"

.PHONY: test
test: ## Runs every test, with real servers
	@tools/install test
	$(CARGO) build --locked --workspace --bins
	$(CARGO) test --locked --workspace

.PHONY: faults
faults: ## Runs the long rows of the fault matrix, and schedules of faults by seeds (SEEDS=20, or one: SEED=n)
	@tools/install test
	$(CARGO) build --locked --workspace --bins
ifeq ($(SEED),)
	SEEDS=$(SEEDS) $(CARGO) test --locked --workspace --test faults -- --nocapture --test-threads 1
else
	SEED=$(SEED) $(CARGO) test --locked --workspace --test faults seeds -- --nocapture
endif

.PHONY: fuzz
fuzz: ## Feeds broken input to everything that reads what strangers send (FUZZ_SECONDS=60 for each target, FUZZ_SEED=1)
	FUZZ_SECONDS=$(FUZZ_SECONDS) FUZZ_SEED=$(FUZZ_SEED) $(CARGO) test --locked --workspace --test fuzz -- --nocapture
	FUZZ_SECONDS=$(FUZZ_SECONDS) FUZZ_SEED=$(FUZZ_SEED) $(CARGO) test --locked --workspace --lib fuzz:: -- --nocapture

.PHONY: check
check: ## Formatting, lints, layering, protos
	@tools/install check
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) test --locked --workspace --test tidy
	.tools/node_modules/.bin/buf lint

.PHONY: mesh
mesh: ## Starts the six services as six processes, and runs a job over them
	@tools/install run
	$(CARGO) build --release --locked --bins
	@tools/mesh

.PHONY: bench
bench: ## Measures speed, delay and size against references in the same run
	@tools/install run
	$(CARGO) build --release --locked --bins
	target/release/loadtest bench

.PHONY: load
load: ## Crawls a site of 100 000 pages, and measures what it adds to each service
	@tools/install run
	$(CARGO) build --release --locked --bins
	target/release/loadtest load

.PHONY: soak
soak: ## Renders 2 000 pages, hostile ones among them, and measures what they leave behind
	@tools/install run
	$(CARGO) build --release --locked --bins
	target/release/loadtest soak

.PHONY: fmt
fmt: ## Formats
	$(CARGO) fmt --all
