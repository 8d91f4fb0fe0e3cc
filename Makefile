# Andon's verbs. Bare `make` lists them. Everything that is fetched is pinned: Go modules by go.sum, npm packages by package-lock.json.
SHELL := /bin/sh
GO ?= go
export CGO_ENABLED := 1

.PHONY: help run build deps deps-libs deps-ui deps-browser deps-video deps-kafka deps-gpu test test-kafka ui-test check fmt vet lint imports ui bench chaos drama clean
help: ## list the verbs
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

run: build ## fetch what is missing, build, and start the appliance with the demo fleet flowing
	@bin/andon up --demo

build: deps-libs ui ## build bin/andon with its console
	@echo "building bin/andon"
	@$(GO) build -trimpath -ldflags "-X main.version=$$(git describe --tags --always --dirty 2>/dev/null || echo unknown)" -o bin/andon .

deps: deps-libs deps-ui deps-browser deps-video ## fetch all that building and testing need
	@$(GO) mod download

deps-libs: lib/.complete
lib/.complete: deploy/libs/package-lock.json deploy/libs/fetch.sh
	@sh deploy/libs/fetch.sh lib

deps-ui: console/ui/node_modules/.complete
console/ui/node_modules/.complete: console/ui/package-lock.json
	@echo "fetching the console's npm packages"
	@npm ci --prefix console/ui --no-audit --no-fund --loglevel=error
	@touch $@

deps-browser: ## Chromium for the console's tests, from the system's package manager
	@sh deploy/libs/browser.sh

deps-video: ## ffmpeg and libturbojpeg for cameras and frames, from the system's package manager
	@sh deploy/libs/video.sh

deps-gpu: lib/gpu/.complete ## ONNX Runtime for CUDA 13 and NVIDIA's libraries, 1.4 GB from PyPI
lib/gpu/.complete: deploy/libs/gpu.txt deploy/libs/fetch-gpu.sh
	@sh deploy/libs/fetch-gpu.sh lib/gpu

deps-kafka: ## Apache Kafka from Maven Central, for the tests against a real broker
	@sh deploy/kafka/fetch.sh lib/kafka

UI_SOURCES := $(shell find console/ui -path console/ui/node_modules -prune -o -path console/ui/dist -prune -o -type f -print 2>/dev/null)
ui: console/ui/dist/index.html
console/ui/dist/index.html: $(UI_SOURCES) | deps-ui
	@echo "building the console's page"
	@npm run --silent --prefix console/ui build

test: deps ui ui-test ## run all tests
	@$(GO) test ./...

test-kafka: deps-libs deps-kafka ## run the tests of everything that speaks Kafka against Apache Kafka
	@ANDON_TEST_KAFKA=1 $(GO) test -count=1 -p 1 -timeout 15m ./deploy/kafka/... ./ingest ./ingest/replay ./sinks/kafka
	@ANDON_TEST_KAFKA=1 $(GO) test -count=1 -timeout 10m -run Kafka .

ui-test: deps-ui
	@npm test --silent --prefix console/ui

check: deps ui fmt vet lint imports ui-test ## what CI runs: format, vet, lint, import rule, tests with the race detector and against Apache Kafka, clean tree
	@$(GO) test -race -timeout 20m ./...
	@$(MAKE) --no-print-directory test-kafka
	@sh deploy/clean-tree.sh

fmt:
	@out=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$out" ] || { echo "gofmt: run 'gofmt -w' on:"; echo "$$out"; exit 1; }
vet:
	@$(GO) vet ./...
lint:
	@$(GO) tool staticcheck ./...
	@npm run --silent --prefix console/ui lint
imports:
	@$(GO) test -count=1 -run TestImports .

bench: build ## the benchmarks; what each shows is in bench/README.md
	@sh bench/run.sh

chaos: build ## break the appliance ROUNDS times at moments drawn from SEED; fails if a record is lost or doubled
	@$(GO) run ./bench/chaos -rounds $(or $(ROUNDS),20) -seed $(or $(SEED),1)

drama: build ## play a stale model's whole story with a real appliance, of engines and of cameras: alarm, challenger, gate, canary, promotion, sabotage, rollback; fails unless every act goes as written
	@$(GO) run ./bench/drama

clean: ## remove what was built; the fetched libraries stay
	@rm -rf bin
	@find console/ui/dist -mindepth 1 ! -name .gitkeep -delete
