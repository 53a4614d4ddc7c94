# Wheelhouse: `make help` lists the targets. Nothing but Go, git, make and root on
# Debian 12 is expected; every target does the set-up that it needs.

SHELL := /bin/bash
export PATH := $(CURDIR)/bin:$(PATH)
GOLANGCI_VERSION := v2.15.0
GOVULNCHECK_VERSION := v1.8.0
PKG := ./...
ARCH := amd64 arm64 armhf
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
# kubectl tells its own version by these; it is that of the k8s.io modules in go.mod.
KUBECTL := -X k8s.io/component-base/version.gitVersion=v1.36.3 -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36
# Functions begin at multiples of 8 bytes: at the default, 32 on amd64, what lies between them is 1.4 MB.
LDFLAGS := -s -w -funcalign=8 -X main.version=$(VERSION) $(KUBECTL)

# make lint vets the tests, and none reads debug symbols. Without cgo and with -trimpath, as the program is
# built: what its build has compiled is compiled for no test again, nor for lint, nor in another clone of the tree.
GOTEST := CGO_ENABLED=0 go test -trimpath -vet=off -ldflags '-s -w'

.PHONY: help build assets lab-all setup browser images demo test quick lint unit unit-tests features features-tests deb bundle handout budget vagrant-archive test-kits test-labs test-clients test-vm test-engine test-machines test-chaos bench slides clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

build: assets ## bin/wheelhouse, bin/kubectl and bin/kubectl-why (links to it) and bin/lab
	@mkdir -p bin
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o bin/wheelhouse ./cluster/cmd/wheelhouse
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w' -o bin/lab ./lab-runner/cmd/lab
	@mkdir -p bin/workbench
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w $(KUBECTL)' -o bin/workbench/kubectl ./labs/images/workbench/kubectl
	@[ bin/workbench/completion -nt bin/workbench/kubectl ] || bin/workbench/kubectl completion bash >bin/workbench/completion
	@ln -sf wheelhouse bin/kubectl
	@ln -sf wheelhouse bin/kubectl-why

assets: ## the pages of a class, from TypeScript (lab-runner/classroom/web); again only when their sources have changed
	@lab-runner/classroom/web/build.sh

lab-all: ## bin/lab-all: the programs lab and kubectl for linux, darwin and windows, on amd64 and arm64
	@mkdir -p bin/lab-all
	@set -e; for system in linux darwin windows; do for arch in amd64 arm64; do \
	  suffix=; [ $$system != windows ] || suffix=.exe; \
	  CGO_ENABLED=0 GOOS=$$system GOARCH=$$arch go build -trimpath -buildvcs=false -ldflags '-s -w' -o bin/lab-all/lab-$$system-$$arch$$suffix ./lab-runner/cmd/lab; \
	  CGO_ENABLED=0 GOOS=$$system GOARCH=$$arch go build -trimpath -buildvcs=false -ldflags '-s -w $(KUBECTL)' -o bin/lab-all/kubectl-$$system-$$arch$$suffix ./labs/images/workbench/kubectl; \
	  ls -l bin/lab-all/*-$$system-$$arch$$suffix; \
	done; done

setup: ## what the machine needs: Docker Engine, iptables, iproute2 (installs only what is missing)
	@cluster/local/setup.sh

browser: ## Chromium of the distribution, in which the tests drive the pages (80 MB; installs it only where it is missing)
	@lab-runner/classroom/web/browser.sh

images: build setup ## the images the labs use, built here under the names the manifests use
	@labs/images/build.sh

demo: images ## a two-node cluster, and nine labs proven on it; the cluster stays up
	@bin/wheelhouse up --nodes 2
	@bin/wheelhouse lab run influxdb inspector nginx container monolith deployments updates notes more
	@echo
	@echo "The cluster is up. Go on by hand:"
	@echo "  export PATH=$(CURDIR)/bin:\$$PATH"
	@echo "  kubectl get nodes -o wide                  # the real kubectl, speaking to this cluster"
	@echo "  wheelhouse lab start inspector             # a lab, step by step; it says how to go on"
	@echo "  wheelhouse ssh minion-1                    # log in to a node"
	@echo "  wheelhouse down                            # leaves nothing behind"

test: lint images browser ## lint and all tests, the features included, apart from a running demo cluster
	$(MAKE) --no-print-directory unit-tests
	WHEELHOUSE_TEST_TAGS='~@alone' $(MAKE) --no-print-directory features-tests
	WHEELHOUSE_TEST_TAGS='@alone' $(GOTEST) -timeout 20m -count=1 -v -run 'TestPlatform$$' ./features
	$(GOTEST) -tags machines -timeout 20m -count=1 -v -skip 'TestAddressOfAMaster$$' ./features/machines

quick: ## in a minute: the tests that need neither Docker nor root, which are those in files without '//go:build !quick'
	DOCKER_HOST=unix:///nonexistent $(GOTEST) -tags quick -parallel 4 -p 4 $$(go list -e -tags quick -f '{{if or .GoFiles .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' $(PKG) | grep -v -E '/features$$|/bench$$')
	@echo "quick: left out: $$(grep -rl --include=*_test.go '^//go:build !quick' . | wc -l) files with //go:build !quick, ./features, ./cluster/bench"

lint: bin/golangci-lint bin/govulncheck ## formatting, static checks, banned turns, known vulnerabilities
	CGO_ENABLED=0 GOFLAGS="$$(go env GOFLAGS) -trimpath" bin/golangci-lint run --timeout 15m ./...
	$(GOTEST) -run 'TestWords|TestBannedTurns' ./cluster
	@if [ -z "$$HTTPS_PROXY$$https_proxy" ] && ! getent hosts vuln.go.dev >/dev/null; then \
	  echo "govulncheck: NOT CHECKED: the vulnerability database cannot be reached from here"; exit 0; fi; \
	bin/govulncheck ./... > out.govulncheck 2>&1; status=$$?; \
	if grep -qE 'no such host|dial tcp|connection refused|proxyconnect' out.govulncheck; then \
	  echo "govulncheck: NOT CHECKED: the vulnerability database cannot be reached from here"; status=0; \
	else cat out.govulncheck; fi; rm -f out.govulncheck; exit $$status

bin/golangci-lint:
	GOBIN=$(CURDIR)/bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)

bin/govulncheck:
	GOBIN=$(CURDIR)/bin go install golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION)

unit: $(if $(filter ./...,$(PKG)),images browser) unit-tests ## the packages' own tests, on real etcd, Docker and iptables; PKG=./cluster/store: of one

features: images features-tests ## what the labs and the platform promise, on clusters of their own

# Tests wait more than they compute: more of them run at a time than there are processors. The
# packages that take longest come first, so that none is left alone at the end.
LONGEST := /kubelet$$|/cmd/wheelhouse$$|/howto$$|/arm$$|/cmd/lab$$|/classroom/web$$|/apiserver$$|/proxy$$|/local$$|/kubelet/network$$
unit-tests:
	@list=$$(go list $(PKG) | grep -v -E '/features$$|/bench$$'); set -x; \
	$(GOTEST) -timeout 15m -parallel 4 -p 4 $$(grep -E '$(LONGEST)' <<<"$$list"; grep -v -E '$(LONGEST)' <<<"$$list")

features-tests:
	$(GOTEST) -timeout 60m -count=1 -v ./features

deb: assets ## Debian packages for amd64, arm64 and armhf, into bin/deb (the kit for Raspberry Pis, arm/); ARCH="arm64": some
	@arm/setup.sh
	@rm -f bin/deb/*.deb
	@LDFLAGS='$(LDFLAGS)' arm/deb/build.sh $(ARCH)
	lintian --allow-root --fail-on error,warning bin/deb/*.deb
	@arm/deb/emulated.sh bin/deb/*.deb

bundle: build images lab-all ## bin/class.tar: programs, images, labs, slides and packages for a class without internet; ARCH="amd64": some
	@arm/setup.sh
	@LDFLAGS='$(LDFLAGS)' arm/deb/build.sh $(ARCH)
	@lab-runner/bundle/fill.sh bin/bundle $(ARCH)
	@bin/wheelhouse bundle create --from bin/bundle -o bin/class.tar

handout: ## the instructor's hand-out of both kits as a PDF, into bin/handout.pdf
	@arm/handout.sh

slides: build ## the slides and the class's hand-out as PDFs, into bin/slides; checks that everything fits on its slide
	@slides/print.sh

test-chaos: ## three masters, one of them killed, stopped or cut off at a time, 200 times (FAULTS=200); make test does it 10 times
	WHEELHOUSE_FAULTS=$(or $(FAULTS),200) $(GOTEST) -timeout 6h -count=1 -v -run 'TestThreeMasters$$' ./cluster/cmd/wheelhouse

budget: build ## what an idle cluster costs, against the budget of a Raspberry Pi with 1 GB (arm/README.md)
	@arm/budget.sh

vagrant-archive: images ## what the machines of a class are made from (the kit for Vagrant, vagrant/)
	@arm/setup.sh zstd=zstd
	@rm -rf bin/kit
	@LDFLAGS='$(LDFLAGS)' arm/deb/build.sh -o bin/kit $$(dpkg --print-architecture)
	@vagrant/archive.sh bin/kit/wheelhouse_*.deb

test-kits: images ## the kits proven on machines that start, emulated; goes on where it was broken off; STAGE="vagrant-up": some
	@LDFLAGS='$(LDFLAGS)' features/kits/prove.sh $(STAGE)

test-labs: images ## each step of each lab, proven before and after, broken, solved and reset (lab test), on three clusters
	$(GOTEST) -tags labs -timeout 60m -count=1 -v -run 'TestLabSteps$$' ./features

# A module of its own: the product does not depend on the clients.
test-clients: build images ## build clients of other projects, and drive them against the API server
	features/clients/setup.sh
	cd features/clients && go test -timeout 120m -count=1 -v ./...
	$(GOTEST) -tags conformance -timeout 20m -count=1 -v -run 'TestConformance$$' ./lab-runner/classroom/registry

test-machines: build images ## machines that share no link, each with a Docker Engine of its own, behind a router
	$(GOTEST) -tags machines -timeout 60m -count=1 -v ./features/machines

test-vm: images ## what needs systemd, cgroup v2 and a reboot, proven in a virtual machine of Debian 12; TEST="TestUp TestOOM": some
	@features/vm/run.sh $(TEST)

test-engine: images ## the labs and the platform on a Docker Engine newer than the distribution's; STAGE="up nginx": some
	@features/engine/run.sh $(STAGE)

bench: images ## the figures of the README's table
	go test -run '^$$' -bench . -benchtime 1x -timeout 30m ./cluster/bench
	go test -run '^$$' -bench 'EditAmong1000Services|Sync|FirstPacket' -benchtime 1x -timeout 30m ./cluster/proxy
	go test -run '^$$' -bench Takeover -benchtime 10x ./cluster/announce
	go test -run '^$$' -bench 'ChangeAmong100Policies' -benchtime 20x ./cluster/netpol
	go test -run '^$$' -bench Ingress ./cluster/ingress
	go test -run '^$$' -bench DNS -benchtime 1x ./cluster/dns
	go test -run '^$$' -bench 'Hostile|Goto|FirstCheck' -benchtime 1x -timeout 40m ./features
	go test -run '^$$' -bench View -benchtime 1x ./lab-runner/runner
	go test -tags machines -run '^$$' -bench 'Paths|LastPacket' -benchtime 1x -timeout 20m ./features/machines

clean: ## stop the demo cluster, remove what was built here
	-@[ ! -x bin/wheelhouse ] || bin/wheelhouse down
	rm -rf bin lab-runner/classroom/web/node_modules
	find lab-runner/classroom/web/dist -mindepth 1 ! -name stub.html -delete
