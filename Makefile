# SPDX-License-Identifier: Apache-2.0
# Two commands matter: `make demo` shows FlexiNS at work, `make check` runs every test. Meson and Ninja do the building.

BUILD ?= build
MESON_ARGS ?=

.PHONY: demo check build bench fuzz soak interop deps format install clean help

demo: build
	@scripts/demo $(BUILD)

check: deps
	@scripts/check --build $(BUILD)

build: deps $(BUILD)/build.ninja
	@ninja -C $(BUILD)

$(BUILD)/build.ninja:
	@meson setup $(MESON_ARGS) $(BUILD)

bench: build
	@bench/run-write-bw-vs-iperf3
	@bench/run-send-lat-vs-udp

fuzz: deps
	@tests/fuzz/run --build $(BUILD) --time $(or $(TIME),20)

interop: build
	@tests/interop/run --build $(BUILD)

soak: build
	@$(BUILD)/sim/flexins-sim --soak $(or $(TIME),60)

deps:
	@scripts/deps

format:
	@scripts/check-format --fix

# Under the prefix that `meson setup --prefix` was given (MESON_ARGS), or /usr/local.
install: build
	@meson install -C $(BUILD) --no-rebuild

clean:
	rm -rf $(BUILD)

help:
	@echo 'make demo     install what is missing, build, and watch ib_write_bw move data without any RDMA hardware'
	@echo 'make check    the tests (but fuzz, soak, interop); ends with "N passed, N failed, N skipped"'
	@echo 'make build    build into $(BUILD)/; then: ./$(BUILD)/flexins run -- COMMAND'
	@echo 'make bench    FlexiNS against its references on this machine (takes some minutes)'
	@echo 'make fuzz     every fuzzer for TIME=20 seconds'
	@echo 'make soak     the simulator on all cores over new seeds for TIME=60 seconds'
	@echo 'make interop  against the Linux kernel in an emulated machine (QEMU; some minutes)'
	@echo 'make format   rewrite the C files in the house format'
	@echo 'make install  install under the prefix (MESON_ARGS=--prefix=...)'
	@echo 'make clean    remove $(BUILD)/'
