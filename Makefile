# The gateway's tasks. "make help" lists them; Go, make, git and apt are all that a machine needs, and npm for one of the tests.

# Tools of "make lint", built from source into .cache by the Go command. Pinned: a new version may find
# new faults, and that should be a commit of its own.
GOLANGCI_LINT_VERSION := v2.15.0
GOVULNCHECK_VERSION   := v1.9.0

CACHE         := $(CURDIR)/.cache
GOLANGCI_LINT := $(CACHE)/bin/golangci-lint-$(GOLANGCI_LINT_VERSION)/golangci-lint
GOVULNCHECK   := $(CACHE)/bin/govulncheck-$(GOVULNCHECK_VERSION)/govulncheck

# What "make build" makes, with time zones for machines that have none, and where "make install" puts it; DESTDIR is before all of it.
BINARY     := $(CURDIR)/gateway
VERSION    := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
RELEASED   := $(shell git log -1 --format=%cs 2>/dev/null)
PREFIX     := /usr/local
SYSCONFDIR := /etc
BINDIR     := $(PREFIX)/bin
MANDIR     := $(PREFIX)/share/man
UNITDIR    := $(PREFIX)/lib/systemd/system
BASH_DIR   := $(PREFIX)/share/bash-completion/completions
ZSH_DIR    := $(PREFIX)/share/zsh/site-functions
FISH_DIR   := $(PREFIX)/share/fish/vendor_completions.d

# The race detector needs cgo and so a C compiler; without one the tests run, but without it.
RACE := $(if $(shell command -v "$${CC:-gcc}"),-race)

# gotest is go test that tells which tests were left out; in CI that is a failure.
GOTEST := go run ./tests/gotest

# These start hundreds of processes and sessions, which the race detector makes several times as slow.
SLOW := ^(TestReal.*Killed.*|TestRealMount|TestRealFetchStop)$$

# All but the end-to-end tests and those of the servers themselves.
QUICK = $(shell go list ./... | grep -v '^gateway/tests/servers$$' | grep -v '^gateway/tests$$')

.DEFAULT_GOAL := help
.PHONY: help run build install uninstall image test test-quick test-kill test-minio bench bench-fronts bench-s3 bench-scale soak listing-report fetch lint fmt vet clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## run the gateway with its defaults
	go run ./cmd/gateway serve

build: ## build the static binary ./gateway (BINARY=file)
	CGO_ENABLED=0 go build -trimpath -tags timetzdata -ldflags='-s -X main.version=$(VERSION) -X main.released=$(RELEASED)' -o $(BINARY) ./cmd/gateway

install: build ## install binary, manual, completions, unit and a first configuration (PREFIX=/usr/local, DESTDIR=)
	install -d $(addprefix $(DESTDIR),$(BINDIR) $(MANDIR)/man1 $(MANDIR)/man5 $(UNITDIR) $(BASH_DIR) $(ZSH_DIR) $(FISH_DIR) $(SYSCONFDIR)/gateway)
	install -m 755 $(BINARY) $(DESTDIR)$(BINDIR)/gateway
	$(BINARY) man --dir $(DESTDIR)$(MANDIR)
	$(BINARY) completion bash >$(DESTDIR)$(BASH_DIR)/gateway
	$(BINARY) completion zsh >$(DESTDIR)$(ZSH_DIR)/_gateway
	$(BINARY) completion fish >$(DESTDIR)$(FISH_DIR)/gateway.fish
	chmod 644 $(DESTDIR)$(BASH_DIR)/gateway $(DESTDIR)$(ZSH_DIR)/_gateway $(DESTDIR)$(FISH_DIR)/gateway.fish
	sed 's|/usr/local/bin/|$(BINDIR)/|; s|/etc/gateway/|$(SYSCONFDIR)/gateway/|g' dist/gateway.service >$(DESTDIR)$(UNITDIR)/gateway.service
	chmod 644 $(DESTDIR)$(UNITDIR)/gateway.service
	[ -e $(DESTDIR)$(SYSCONFDIR)/gateway/gateway.yaml ] || install -m 644 dist/gateway.yaml $(DESTDIR)$(SYSCONFDIR)/gateway/gateway.yaml

image: ## build the image gateway:local (docker/README.md)
	docker build -f docker/Dockerfile --build-arg VERSION=$(VERSION) -t gateway:local .

uninstall: ## remove what "make install" put there; configuration and data stay
	rm -f $(DESTDIR)$(BINDIR)/gateway $(DESTDIR)$(MANDIR)/man1/gateway.1 $(DESTDIR)$(MANDIR)/man1/gateway-*.1 $(DESTDIR)$(MANDIR)/man5/gateway.yaml.5
	rm -f $(DESTDIR)$(BASH_DIR)/gateway $(DESTDIR)$(ZSH_DIR)/_gateway $(DESTDIR)$(FISH_DIR)/gateway.fish $(DESTDIR)$(UNITDIR)/gateway.service

test: fetch vet ## fetch what the tests need and run them all
	@[ -n "$(RACE)" ] || echo "no C compiler: the tests run without the race detector"
	$(GOTEST) $(RACE) -timeout 30m -skip '$(SLOW)' ./...
	$(GOTEST) -timeout 20m -run '$(SLOW)' ./ftpbridge

test-quick: ## run all but the end-to-end tests, without the race detector
	$(GOTEST) -timeout 5m -skip '^TestReal' $(QUICK)

test-kill: fetch ## move 100,000 files and be killed ten times on the way (10 minutes; FILES=n, TMPDIR where there is room)
	GATEWAY_KILL_FILES=$(or $(FILES),100000) go test ./ftpbridge -run '^TestRealManyKilled$$' -v -count=1 -timeout 60m

soak: fetch ## 50 clients at random work over both protocols (30 minutes; TIME=2h, SEED=n of an earlier run, RACE_BINARY=1)
	GATEWAY_SOAK_TIME=$(or $(TIME),30m) GATEWAY_SOAK_SEED=$(SEED) GATEWAY_RACE=$(RACE_BINARY) \
		go test ./tests -run '^TestSoak$$' -v -count=1 -timeout 24h

bench: fetch ## how quickly files are moved, beside lftp, rclone, wget and curl (an hour; ARGS="-work small -n 3")
	go test ./tests/bench -v -count=1 -timeout 3h -run TestRealBench -args -full $(ARGS)

bench-fronts: fetch ## SFTP and HTTPS beside OpenSSH, pkg/sftp, nginx, Apache and x/net (20 minutes; ARGS="-work sftp -n 3")
	go test ./tests/frontbench -v -count=1 -timeout 2h -run TestRealFronts -args -full $(ARGS)

test-minio: ## the tests of buckets once more, against MinIO (builds it the first time, which takes minutes)
	GATEWAY_S3_SERVER=minio $(GOTEST) -timeout 30m ./storage/s3

bench-s3: ## 1 GiB into a bucket and out again, beside minio-go alone (5 minutes; GATEWAY_S3_MIB=n for another size)
	go test ./storage/s3 -run '^$$' -bench Real -benchtime 3x -timeout 60m

bench-scale: fetch ## what connections, listings, transfers and lines of the ledger cost (10 minutes): docs/scaling.md
	go test ./tests -run '^$$' -bench ScaleIdle -benchtime 5000x -timeout 20m
	go test ./tests -run '^$$' -bench ScaleList -benchtime 100000x -timeout 20m
	go test ./tests -run '^$$' -bench ScaleTransfers -benchtime 1x -timeout 20m
	go test ./tests -run '^$$' -bench ScaleMigrate -benchtime 5000x -timeout 20m
	go test ./state/sqlite ./state/postgres -run '^$$' -bench RealLedger -benchtime 20000x -timeout 20m

listing-report: ## how well and how quickly listings are read (3 minutes; WRITE=1 puts it into the documentation)
	./tests/listing-report.sh $(if $(WRITE),--write)

fetch: ## unpack the servers and clients of the tests into .cache
	./tests/fetch-debs.sh

vet: ## go vet
	go vet ./...

lint: vet $(GOLANGCI_LINT) $(GOVULNCHECK) ## golangci-lint and govulncheck; the first time builds them (2 minutes)
	$(GOLANGCI_LINT) run ./...
	$(GOVULNCHECK) ./...

$(GOLANGCI_LINT):
	GOBIN=$(dir $@) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)

$(GOVULNCHECK):
	GOBIN=$(dir $@) go install golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION)

fmt: ## format the source
	gofmt -w $$(git ls-files --cached --others --exclude-standard '*.go')

clean: ## remove what was built and fetched
	rm -rf gateway $(CACHE)
