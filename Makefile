# Everything here runs on a bare Debian machine with Go, Node and root; what is
# missing is installed by the targets that need it.

SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
GO      ?= go
CONSOLE := dashboards/console
SAMPLES := bin/functions
GO_SOURCES := $(shell find . -name '*.go' -not -path './node_modules/*' -not -path './$(CONSOLE)/node_modules/*' -not -path './.cache/*') go.mod go.sum
LINT    := .cache/golangci-lint

.PHONY: help build binaries plugin demo test lint bench bench-schema loss chaos generate engine console samples clean deps-test

help: ## Show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

binaries: bin/coldscope bin/coldscope-collector samples

# Two at a time: the console's tools and the Go compiler don't wait for each other.
build: ## Build bin/coldscope (console included), the collector alone and the sample functions
	@$(MAKE) --no-print-directory -j2 binaries

plugin: bin/out_coldscope.so ## Build the Fluent Bit output plugin (needs a C compiler)

bin/out_coldscope.so: $(GO_SOURCES)
	CGO_ENABLED=1 $(GO) build -buildmode=c-shared -trimpath -ldflags '-s -w' -o $@ ./plugins/fluentbit

bin/coldscope: $(GO_SOURCES) $(CONSOLE)/dist/index.html
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $@ ./cmd/coldscope

bin/coldscope-collector: $(GO_SOURCES)
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $@ ./cmd/coldscope-collector

samples: $(SAMPLES)/webapp $(SAMPLES)/inference

$(SAMPLES)/%: $(GO_SOURCES)
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o $@ ./internal/functionhost/samples/$*

console: $(CONSOLE)/dist/index.html

$(CONSOLE)/node_modules/.package-lock.json: $(CONSOLE)/package.json $(CONSOLE)/package-lock.json
	cd $(CONSOLE) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error

$(CONSOLE)/dist/index.html: $(CONSOLE)/node_modules/.package-lock.json query/api/openapi.json $(shell find $(CONSOLE)/src $(CONSOLE)/index.html $(CONSOLE)/vite.config.ts 2>/dev/null)
	cd $(CONSOLE) && npm run --silent build

engine: build ## Install the embedded engine (libchdb) into the user's cache
	bin/coldscope engine install

demo: engine ## Run the demo: a function host, real cold starts, the console
	bin/coldscope demo

deps-test: engine $(CONSOLE)/node_modules/.package-lock.json
	./test/install

test: deps-test ## Run all tests, the real engine, dockerd, Chromium and kill -9 included
	./test/run

lint: $(LINT) $(CONSOLE)/node_modules/.package-lock.json ## Check style, floors and generated files
	$(GO) vet ./...
	$(LINT) run ./...
	$(GO) test ./test/arch
	cd $(CONSOLE) && npm run --silent types:check && npm run --silent lint

$(LINT): tools/go.mod
	cd tools && $(GO) build -o ../$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

generate: ## Write generated files anew: OpenAPI document, console types, dashboards
	$(GO) generate ./...
	cd $(CONSOLE) && npm run --silent types

bench: engine ## Run the benchmarks: of the hot paths, and of collector, aggregator, engine and queries as whole processes
	$(GO) test -run '^$$' -bench . -benchmem ./aggregator/... ./collector/... ./internal/wire/... ./query/...
	$(GO) run ./test/bench

bench-schema: engine ## Measure shapes of the table of lines against one another (about two hours; BENCH='-lines 2000000' for less)
	$(GO) run ./test/schemabench $(BENCH)

chaos: engine ## Kill, freeze and fill what the aggregator stands on, and look for what it lost (about twelve minutes)
	$(GO) run ./test/chaos

loss: ## Torture the collector and look for lost or doubled lines (about ten minutes)
	$(GO) run ./test/loss -kills 200

clean: ## Remove what was built
	rm -rf bin .cache $(CONSOLE)/node_modules
	find $(CONSOLE)/dist -mindepth 1 -not -name placeholder.html -delete 2>/dev/null || true
