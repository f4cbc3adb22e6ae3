BIN := .venv/bin

.PHONY: help setup demo check system test test-all soak train-demo

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):[^#]*##  *\(.*\)/  make \1\t\2/p' Makefile | expand -t 18

setup:  ## make .venv, or bring it up to date
	@tools/setup.sh

demo: setup  ## show the whole chain on this machine, without GPU, camera or arm
	$(BIN)/dreamvla demo

check: setup  ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python tools/typeview.py
	$(BIN)/mypy

system:
	-@tools/system.sh

test: check system  ## check, then the fast tests
	$(BIN)/pytest -m "not slow" -n 2 --dist loadfile --max-worker-restart 0

test-all: check system  ## check, then every test, then the base install under Python 3.10
	$(BIN)/pytest
	tools/python310.sh

train-demo: setup  ## the demo's weights from nothing into build/demo; hours, goes on where it was stopped
	$(BIN)/python -m dreamvla_edge.train.demo build/demo

soak: setup  ## half an hour of faults on a virtual arm, and a day of them in lock step
	$(BIN)/python tests/guardian/soak.py
