# make verify reads only, make fix writes. Nothing but Go, git and bash (and a C compiler for -race) is needed.

SEEDS ?= 2000
STATICCHECK := go tool -modfile=tools/go.mod staticcheck

# Packages without goroutines gain nothing from the race detector.
QUIET := internal/tidy|internal/sim|internal/invariant
RACED = $(shell go list ./... | grep -Ev '/($(QUIET))')

.PHONY: help verify fmt vet staticcheck tidy test race sim fix bench

help: ## show this
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

verify: ## what CI runs, with a tenth of its seeds; without a C compiler it leaves the race detector out
	go mod tidy -diff
	SEEDS=200 .ci/run

fmt: ## list files that are not formatted
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo 'run: make fix'; exit 1; }

vet: ## go vet
	go vet ./...

staticcheck: ## the version that tools/go.mod pins
	$(STATICCHECK) ./...

tidy: ## the rules of the house, and go.mod
	go test -count=1 ./internal/tidy
	go mod tidy -diff

test: ## all tests
	go test ./...

race: ## tests of the packages with goroutines, under the race detector
	go test -race $(RACED)

sim: ## SEEDS=2000 fresh seeds through the simulator
	go test ./internal/sim -run 'TestSeeds$$' -seeds $(SEEDS) -fresh -timeout 60m -v

fix: ## format, and tidy every go.mod
	gofmt -w .
	@for m in $$(find . -name go.mod -not -path '*/testdata/*'); do \
		(cd $$(dirname $$m) && go mod tidy) || exit 1; done

bench: ## write latency and throughput next to this machine's limits
	cd bench && go run .
