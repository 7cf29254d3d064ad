# The seven words, and a few more. Everything runs from a fresh Debian 12; `make setup` installs what it needs.
PYTHON := .venv/bin/python
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: setup check test soak fmt demo bench docs install clean
.DEFAULT_GOAL := check

.venv/ready: pyproject.toml uv.lock scripts/setup
	scripts/setup
	touch .venv/ready

setup: .venv/ready

check: setup
	.venv/bin/ruff check src tests bench
	.venv/bin/ruff format --check src tests bench
	.venv/bin/mypy
	scripts/shellcheck
	$(PYTHON) -m pytest -q -n 3 -m "not tools and not root and not boot and not soak" -p no:cacheprovider

test: check
	$(SUDO) $(PYTHON) -m pytest -m "(tools or root or boot) and not soak" -p no:cacheprovider

soak: setup
	$(SUDO) $(PYTHON) -m pytest -m soak -p no:cacheprovider

fmt: setup
	.venv/bin/ruff check --fix src tests bench
	.venv/bin/ruff format src tests bench

demo: setup
	$(SUDO) scripts/demo

bench: setup
	$(SUDO) $(PYTHON) -m bench

docs: setup
	$(PYTHON) -m muster.cli.manual build/man
	$(PYTHON) -m pytest -q tests/test_docs.py

install: setup
	$(SUDO) scripts/install

clean:
	rm -rf build dist .venv
