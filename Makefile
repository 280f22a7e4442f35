SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT ?= $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)
IMAGE ?= ghcr.io/lethe-dev/lethe:$(VERSION)
LDFLAGS = -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)
TESTFLAGS ?=
PACKAGES ?= ./...

##@ Everyday

.PHONY: help
help: ## Show this help
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-zA-Z0-9_-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/lethe and bin/kubectl-lethe
	CGO_ENABLED=0 go build -trimpath -ldflags "$(LDFLAGS)" -o bin/lethe ./cmd/lethe
	CGO_ENABLED=0 go build -trimpath -ldflags "$(LDFLAGS)" -o bin/kubectl-lethe ./cmd/kubectl-lethe

.PHONY: test
test: bin/helm bin/kustomize ## Run all tests against real etcd, kube-apiserver, PostgreSQL and SQLite
	@# -count=1: suites that start the operator as a program of its own change with it, which the test cache cannot see.
	hack/test.sh go test -count=1 -timeout 30m $(TESTFLAGS) $(PACKAGES)

.PHONY: test-race
test-race: bin/helm bin/kustomize ## Run all tests with the race detector (needs a C compiler)
	CGO_ENABLED=1 hack/test.sh go test -race -timeout 60m $(TESTFLAGS) $(PACKAGES)

.PHONY: bench
bench: ## Run the benchmark programs under test/bench (lines: BENCH name value)
	@hack/test.sh hack/bench.sh

.PHONY: demo
demo: build ## Show the whole story on a local control plane (ONCE=1: end by itself)
	@controlplane=$$(hack/controlplane.sh); \
	export LETHE_CONTROLPLANE=$$controlplane/controlplane ONCE="$(ONCE)" PATH="$$PATH:$$controlplane"; \
	exec hack/demo.sh

##@ Code

.PHONY: generate
generate: bin/controller-gen bin/crd-ref-docs ## Generate deepcopy, CRDs, RBAC, chart copies and API reference
	hack/generate.sh

.PHONY: fmt
fmt: bin/golangci-lint ## Format the code
	bin/golangci-lint fmt

.PHONY: vet
vet: ## Run go vet
	go vet ./...

.PHONY: lint
lint: bin/golangci-lint ## Run the linters, kube-api-linter on api/ among them
	bin/golangci-lint config verify
	bin/golangci-lint run

.PHONY: lint-fix
lint-fix: bin/golangci-lint ## Let the linters mend what they can
	bin/golangci-lint run --fix

.PHONY: verify
verify: bin/kustomize ## Check that generated files, chart and kustomize trees are in order
	hack/verify.sh

##@ Local control plane

.PHONY: controlplane
controlplane: ## Build etcd and kube-apiserver as one program, once, and print its folder
	@hack/controlplane.sh

.PHONY: envtest-assets
envtest-assets: ## Download or build envtest's binaries and print their folder
	@hack/envtest-assets.sh

##@ Delivery

.PHONY: image
image: ## Build the container image
	docker build --build-arg VERSION=$(VERSION) --build-arg COMMIT=$(COMMIT) -t $(IMAGE) .

.PHONY: helm-lint
helm-lint: bin/helm ## Lint and render the chart
	hack/helm-lint.sh

.PHONY: kubeconform
kubeconform: bin/kubeconform bin/kustomize bin/helm ## Hold samples, install trees and the chart against the schemas of their kinds
	hack/kubeconform.sh

.PHONY: secret-scan
secret-scan: bin/gitleaks ## Look for secrets in what git tracks
	hack/secret-scan.sh

.PHONY: vulncheck
vulncheck: bin/govulncheck ## Look for known vulnerabilities in what is called
	hack/vulncheck.sh

.PHONY: manifests
manifests: bin/kustomize ## Print the install manifests
	@bin/kustomize build config/default

.PHONY: release
release: bin/kustomize bin/cyclonedx-gomod ## Make binaries, SBOMs, chart, install manifest and checksums in dist/ (VERSION=v1.2.3)
	hack/release.sh "$(VERSION)"

.PHONY: release-check
release-check: bin/kustomize bin/cyclonedx-gomod ## Make a release twice, in two places, and compare them byte by byte
	hack/release-check.sh

.PHONY: docs
docs: ## Build the documentation site into dist/site (needs node 20 and npm)
	go run ./hack/linkcheck
	npm --prefix hack/site ci --no-audit --no-fund --loglevel=error
	rm -rf hack/site/pages && cp -r docs hack/site/pages
	npm --prefix hack/site run build

.PHONY: pictures
pictures: build ## Make the pictures of the documentation anew, from the demo (needs poppler-utils)
	hack/pictures.sh

.PHONY: clean
clean: ## Remove what was built here (the shared cache stays: rm -r ~/.cache/lethe)
	rm -rf bin dist

# Tools are built from the modules that pin them, and again only when the pins change.

tools_pins := hack/tools/go.mod hack/tools/go.sum
kal_sources := $(wildcard hack/tools/golangci-kal/*.go) hack/tools/golangci-kal/go.mod hack/tools/golangci-kal/go.sum
build_tool = @echo "building $@ ($<)" >&2; go build -C $(1) -trimpath -buildvcs=false -ldflags "-s -w" -o $(CURDIR)/$@ $(2)

bin/controller-gen: $(tools_pins)
	$(call build_tool,hack/tools,sigs.k8s.io/controller-tools/cmd/controller-gen)

bin/crd-ref-docs: $(tools_pins)
	$(call build_tool,hack/tools,github.com/elastic/crd-ref-docs)

bin/kustomize: $(tools_pins)
	$(call build_tool,hack/tools,sigs.k8s.io/kustomize/kustomize/v5)

bin/helm: $(tools_pins)
	$(call build_tool,hack/tools,helm.sh/helm/v4/cmd/helm)

bin/setup-envtest: $(tools_pins)
	$(call build_tool,hack/tools,sigs.k8s.io/controller-runtime/tools/setup-envtest)

# Those of releases and checks have a module of their own, so that their many libraries choose no version for the generators.
release_pins := hack/tools/release/go.mod hack/tools/release/go.sum

bin/cyclonedx-gomod: $(release_pins)
	$(call build_tool,hack/tools/release,github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod)

bin/kubeconform: $(release_pins)
	$(call build_tool,hack/tools/release,github.com/yannh/kubeconform/cmd/kubeconform)

bin/govulncheck: $(release_pins)
	$(call build_tool,hack/tools/release,golang.org/x/vuln/cmd/govulncheck)

bin/gitleaks: $(release_pins)
	$(call build_tool,hack/tools/release,github.com/zricethezav/gitleaks/v8)

bin/golangci-lint: $(kal_sources)
	@echo "building $@ with kube-api-linter (3 minutes, once)" >&2
	@go build -C hack/tools/golangci-kal -trimpath -buildvcs=false -ldflags "-s -w" -o $(CURDIR)/$@ .
