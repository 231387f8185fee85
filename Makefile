# Everything starts here: `make help`. Needs Python >= 3.11, make and a shell; nothing else.

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-frameworks test check lock clean

# What surrounds us must not leak in: an active virtual environment, or someone's import paths.
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME CONDA_PREFIX

PYTHONS := python3.13 python3.12 python3.11 python3 python
VENV    := .venv
PY      := $(VENV)/bin/python
# The system's certificates, because a company's proxy may have one of its own.
UV      := $(VENV)/bin/uv --system-certs
STAMP   := $(VENV)/.installed
# A worker's packages and one framework each; some allow none but older versions of what others pin.
FRAMEWORKS := openai-agents pydantic-ai strands adk crewai
# Those that the demo shows.
ONLY       := $(FRAMEWORKS)
COMPILE := $(UV) pip compile --quiet --universal --generate-hashes --python-version 3.11 \
	--no-header --no-annotate --no-emit-index-url --no-emit-find-links --exclude-newer '7 days'

help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile

setup: $(STAMP) ## make .venv with the pinned packages; does nothing when it is up to date
	@echo "$(VENV) is ready."

demo: $(STAMP) ## start the hub and show one run over MCP, A2A and REST
	@$(PY) -m agenthub_server demo

demo-frameworks: $(STAMP) ## the same for each framework's example, in environments of their own (ONLY="adk strands")
	@made=$$(PYTHONPATH=conformance $(PY) -m testkit.environments $(ONLY)) && \
	  $(PY) -m agenthub_server demo $$(printf ' --framework %s' $$made)

test: $(STAMP) ## what CI runs: format, lint, types, imports, sizes, tests
	@conformance/check

check: $(STAMP) ## the same without slow tests
	@conformance/check --fast

lock: $(STAMP) ## pin the newest allowed versions anew in hub/locks
	@rm -f hub/locks/dev.txt hub/locks/server.txt hub/locks/base.txt hub/locks/uv.txt \
	  hub/locks/langgraph-dev.txt hub/locks/schemathesis.txt hub/locks/mcp-1.28.txt hub/locks/langchain-mcp.txt \
	  $(FRAMEWORKS:%=hub/locks/%.txt)
	@$(COMPILE) pyproject.toml --extra server --extra embedded --group dev -o hub/locks/dev.txt
	@$(COMPILE) pyproject.toml -c hub/locks/dev.txt --extra server --extra embedded -o hub/locks/server.txt
	@$(COMPILE) pyproject.toml -c hub/locks/dev.txt -o hub/locks/base.txt
	@printf 'uv\nhatchling\neditables\n' | $(COMPILE) - -c hub/locks/dev.txt -o hub/locks/uv.txt
	@{ echo 'langgraph-cli[inmem]'; sed -nE 's/^((langgraph|langchain-core)==[^ ;]+).*/\1/p' hub/locks/dev.txt; } | \
	  $(COMPILE) - -o hub/locks/langgraph-dev.txt
	@for framework in $(FRAMEWORKS); do \
	  same='langgraph|langchain|pydantic'; [ $$framework != crewai ] || same='langgraph|langchain'; \
	  sed -nE "s/^(($$same)[a-z-]*==[^ ;]+).*/\1/p" hub/locks/base.txt | \
	    $(COMPILE) pyproject.toml -c /dev/stdin --extra $$framework -o hub/locks/$$framework.txt || exit 1; \
	done
	@echo schemathesis | $(COMPILE) - -o hub/locks/schemathesis.txt
	@echo langchain-mcp-adapters | $(COMPILE) pyproject.toml - -c hub/locks/base.txt -o hub/locks/langchain-mcp.txt
	@echo 'mcp~=1.28.0' | $(COMPILE) - -o hub/locks/mcp-1.28.txt
	@! grep -nE '://|^-|file:|\.whl' hub/locks/*.txt || { echo 'A lock names an address or a path.'; exit 1; }
	@wc -l hub/locks/*.txt

clean: ## remove what was built and cached; keeps .agenthub, which has data
	@rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis .import_linter_cache .cache dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): hub/locks/dev.txt hub/locks/uv.txt pyproject.toml
	@test -x $(PY) || { \
	  for python in $(PYTHONS); do \
	    $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	    found=$$python; \
	    $$python -c 'import ensurepip, venv' 2>/dev/null && break; \
	    bare=$$python; found=; \
	  done; \
	  if [ -n "$$found" ]; then echo "Making $(VENV) with `$$found --version`"; $$found -m venv $(VENV); \
	  elif [ -n "$$bare" ]; then \
	    echo "`$$bare --version` cannot make virtual environments: its ensurepip module is missing." >&2; \
	    echo "Install it (Debian and Ubuntu: apt-get install python3-venv) and try again." >&2; exit 1; \
	  else echo "Python 3.11 or newer is needed, and none of these is it: $(PYTHONS)." >&2; exit 1; fi; }
	@test -x $(VENV)/bin/uv || { $(PY) -m ensurepip >/dev/null 2>&1; \
	  $(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r hub/locks/uv.txt; }
	@$(UV) pip sync --quiet --python $(PY) --require-hashes hub/locks/dev.txt hub/locks/uv.txt
	@$(UV) pip install --quiet --python $(PY) --no-build-isolation --no-deps -e .
	@touch $(STAMP)
