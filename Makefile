# SPDX-License-Identifier: Apache-2.0
# Two commands matter: `make demo` shows FlexiNS at work, `make check` runs every test. Meson and Ninja do the building.

BUILD ?= build
MESON_ARGS ?=

.PHONY: demo check build bench fuzz soak interop renew-insn deps deps-full deps-bench format install clean help

demo: build
	@scripts/demo $(BUILD)

check: deps-full
	@scripts/check --build $(BUILD)

build: deps $(BUILD)/build.ninja
	@ninja -C $(BUILD)

$(BUILD)/build.ninja:
	@meson setup $(MESON_ARGS) $(BUILD)

bench: deps-bench build
	@bench/run --build $(BUILD)

fuzz: deps-full
	@tests/fuzz/run --build $(BUILD) --time $(or $(TIME),20)

renew-insn: build
	@tests/insn/guard $(BUILD)/tests/insn/insn --renew

interop: deps-full build
	@tests/interop/run --build $(BUILD)

# 77: there can be no guest here, and the reason was said.
soak: deps-full build
	@$(BUILD)/sim/flexins-sim --soak $(or $(TIME),60)
	@tests/interop/run --build $(BUILD) --full --time $(or $(TIME),60) || [ $$? -eq 77 ]

deps:
	@scripts/deps

deps-full:
	@scripts/deps --full

deps-bench:
	@scripts/deps --bench

format:
	@scripts/check-format --fix

# Under the prefix that `meson setup --prefix` was given (MESON_ARGS), or /usr/local.
install: build
	@meson install -C $(BUILD) --no-rebuild

clean:
	rm -rf $(BUILD)

help:
	@echo 'make demo     install what is missing, build, and watch ib_write_bw move data without any RDMA hardware'
	@echo 'make check    every test; up to half an hour; ends with "N passed, N failed, N skipped"'
	@echo 'make build    build into $(BUILD)/; then: ./$(BUILD)/flexins run -- COMMAND'
	@echo 'make bench    FlexiNS beside its peers on this machine, and its mechanisms; under a quarter of an hour (bench/run --list)'
	@echo 'make fuzz     every fuzzer for TIME=20 seconds'
	@echo 'make soak     new seeds: the simulator on all cores for TIME=60 seconds, then all that interop can do for TIME seconds'
	@echo 'make interop  against the Linux kernel in an emulated machine (QEMU; some minutes; part of check)'
	@echo 'make renew-insn  write tests/insn/baseline, the instructions of a packet, anew'
	@echo 'make format   rewrite the C files in the house format'
	@echo 'make install  install under the prefix (MESON_ARGS=--prefix=...)'
	@echo 'make clean    remove $(BUILD)/'
