BIN := .venv/bin

.PHONY: help setup demo demo-export check system test test-all soak train-demo wheelhouse

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):[^#]*##  *\(.*\)/  make \1\t\2/p' Makefile | expand -t 18

setup:  ## make .venv, or bring it up to date
	@tools/setup.sh

demo:  ## a trained robot does what it is told, without GPU, camera, arm or torch
	@tools/demo.sh

demo-export: setup  ## the same with a bundle exported anew, compared with the shipped one
	$(BIN)/dreamvla demo --export --tasks 1

check: setup  ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python tools/typeview.py
	$(BIN)/mypy

system:
	-@tools/system.sh

test: check system  ## check, then the fast tests
	$(BIN)/pytest -m "not slow" -n 2 --dist loadfile --max-worker-restart 0

test-all: check system  ## check, then every test, then the base install under Python 3.10 and on arm64
	$(BIN)/pytest
	tools/python310.sh
	-@tools/system.sh arm64
	$(BIN)/python tools/arm64.py

train-demo: setup  ## the demo's weights from nothing into build/demo; hours, goes on where it was stopped
	$(BIN)/python -m dreamvla_edge.train.demo build/demo

wheelhouse: setup  ## wheels for Jetsons without internet into build/wheelhouse/
	$(BIN)/python tools/wheelhouse.py

soak: setup  ## half an hour of faults on a virtual arm, and a day of them in lock step
	$(BIN)/python tests/guardian/soak.py
