# Every target sets up what it needs by itself and is quick when nothing has changed.
#   make demo | test | test-all | lint | peers | benchmarks
# TORCH=cuda takes the CUDA build of torch (constraints/cuda.txt); the choice stays until the next one.

VENV ?= .venv
PEERS ?= .venv-peers
TORCH ?= $(or $(patsubst $(VENV)/.made-with-%,%,$(firstword $(wildcard $(VENV)/.made-with-*))),cpu)
READY := $(VENV)/.made-with-$(TORCH)
RUN := PATH="$(abspath $(VENV))/bin:$$PATH"

.PHONY: demo test test-all lint peers benchmarks environment

demo: $(READY)
	$(RUN) .ci/demo out/demo

test: lint
	$(RUN) python -m pytest -q

test-all: lint peers
	$(RUN) python -m pytest -q -m "not gpu and not weights and not ros and not browser and not peers"
	PATH="$(abspath $(PEERS))/bin:$$PATH" python -m pytest -q -m peers

lint: $(READY)
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(RUN) lint-imports

# The packages of Debian are photographs that no training has seen, and a labelled set for probes.
peers: $(PEERS)/.made
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	    && ! dpkg -s opencv-doc mate-backgrounds gnome-backgrounds dataset-fashion-mnist >/dev/null 2>&1; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
	    apt-get install -y -qq --no-install-recommends opencv-doc mate-backgrounds gnome-backgrounds dataset-fashion-mnist; \
	fi

# One number after the other: each script prints ours beside its peers'.
benchmarks: peers
	@set -e; for script in benchmarks/*.py; do \
	    echo "== $$script"; PATH="$(abspath $(PEERS))/bin:$$PATH" python "$$script"; \
	done

environment: $(READY)

$(READY): pyproject.toml constraints/$(TORCH).txt .ci/environment
	.ci/environment $(VENV) -c constraints/$(TORCH).txt -e '.[retrieval,serve,train-language,video,dev]'
	@rm -f $(VENV)/.made-with-* && touch $@

$(PEERS)/.made: pyproject.toml constraints/cpu.txt benchmarks/peers.txt .ci/environment .ci/peer-models
	.ci/environment $(PEERS) -c constraints/cpu.txt -r benchmarks/peers.txt
	.ci/peer-models $(PEERS)
	@touch $@
