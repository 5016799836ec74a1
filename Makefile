# SPDX-License-Identifier: GPL-2.0
#
# The commands of this tree. Kbuild describes the module itself.
#
#   make                 build wireguard.ko for the running kernel, or KDIR=...
#   make install clean   install it below updates/; remove what was built
#   make demo            watch it work in a VM (Debian 12 or 13, root)
#   make shell           a prompt in that VM
#   make test            host tests and VM tests
#   make check           formatting, lints and gates
#   make help            everything else

KDIR ?= /lib/modules/$(shell uname -r)/build
# Where objects go; empty: beside the sources.
MO ?=
# Put before a tool of the Debian 13 root; "make RUN= fmt" takes this machine's.
RUN ?= qemu/root.sh
# For the VM targets: ours, stock (the C driver) or the path of a .ko.
MODULE ?= ours

kbuild = $(MAKE) -C $(KDIR) M=$(CURDIR) $(if $(MO),MO=$(abspath $(MO)))
rust_files = $$(git ls-files --cached --others --exclude-standard '*.rs')

export MODULE SUITE ONLY NIGHTLY FAR SEED FUZZ_SECONDS PARTS RESUME ROWS FRESH QUICK GO TIME MERGE WG_SIGN_KEY WG_SIGN_CERT

.PHONY: all
all: modules

.PHONY: modules
modules:
	@RUSTC="$(RUSTC)" BINDGEN="$(BINDGEN)" scripts/preflight.sh $(KDIR)
	$(if $(MO),@mkdir -p $(MO))
	$(kbuild) W=e modules

.PHONY: install
install: modules
	$(kbuild) INSTALL_MOD_DIR=updates modules_install
	@[ -n "$(INSTALL_MOD_PATH)" ] || depmod $$(cat $(KDIR)/include/config/kernel.release)

.PHONY: clean
clean:
	$(if $(wildcard $(KDIR)/Makefile),$(kbuild) clean)
	rm -rf build

.PHONY: fmt
fmt:
	$(RUN) rustfmt --edition 2021 $(rust_files)

.PHONY: fmt-check
fmt-check:
	@qemu/check.sh fmt

.PHONY: clippy
clippy:
	@qemu/check.sh clippy

.PHONY: check
check:
	@qemu/check.sh

# Documentation/contract.md: what holds, and which tests prove it.
.PHONY: contract
contract:
	@$(RUN) scripts/contract.py

# The module for the stock Debian kernel, built in the Debian 13 root.
.PHONY: module
module:
	@qemu/build.sh

.PHONY: demo
demo:
	@qemu/demo.sh

.PHONY: shell
shell:
	@qemu/demo.sh --shell

.PHONY: test test-host test-vm test-netns test-twovm test-smoke test-arm64-smoke test-operator test-all fuzz
test:
	@qemu/test.sh all
# TARGET=s390x: on a big-endian machine, emulated.
test-host:
	@qemu/test.sh $(if $(filter s390x,$(TARGET)),be,host)
test-vm:
	@qemu/test.sh vm
test-netns:
	@qemu/test.sh netns
test-smoke:
	@qemu/test.sh smoke
test-arm64-smoke:
	@ARCH=arm64 qemu/test.sh smoke
fuzz:
	@qemu/test.sh fuzz
test-twovm:
	@qemu/twovm.sh
test-operator:
	@qemu/test.sh operator

# wg-trace; its path is on the last line.
.PHONY: tools
tools:
	@qemu/tools.sh
# Hours without KVM; PARTS="host netns" for some of it, RESUME=1 to go on.
test-all:
	@qemu/test-all.sh

# Debian packages, in build/deb; what they do on a whole Debian in a VM.
.PHONY: deb test-deb test-in-tree
deb:
	@qemu/deb.sh
test-deb:
	@qemu/test-deb.sh
test-in-tree:
	@qemu/test-deb.sh in-tree

# Both drivers side by side; ROWS="bulk rtt" for some of it.
.PHONY: bench
bench:
	@bench/run.sh

# A newer point release of the stock kernel, if there is one.
.PHONY: update
update:
	@WG_UPDATE=1 qemu/kernel.sh version

.PHONY: help
help:
	@sed -n '2,/^$$/s/^# \{0,1\}//p' Makefile
	@echo "  make module          the module for the stock Debian kernel (path on the last line)"
	@echo "  make test-vm         guest tests; SUITE=\"tunnel config\" MODULE=ours|stock|PATH KERNEL=7.2|7.3 ARCH=amd64|arm64"
	@echo "  make test-host       cargo test in the Debian 13 root; TARGET=s390x: emulated, big-endian"
	@echo "  make fuzz            fuzz wg_proto; TARGET=\"messages tunnel\" TIME=SECONDS for each"
	@echo "  make test-netns      the kernel's own test of WireGuard, from its source package"
	@echo "  make test-all        everything there is, hours without KVM; PARTS=\"check host\""
	@echo "  make contract        the table of contract items and their tests"
	@echo "  make test-smoke      the demo's steps with less data, counted; KERNEL= ARCH="
	@echo "  make test-arm64-smoke    the same on arm64"
	@echo "  make test-twovm      two guests, ours and the C driver; SUITE=\"data loss\" ONLY=REGEX NIGHTLY=1"
	@echo "  make test-operator   events by the kernel's netlink client, and wg-trace, in a guest"
	@echo "  make tools           wg-trace, built in the Debian 13 root"
	@echo "  ... KERNEL=debug     on a debug kernel: KASAN, lockdep, kmemleak (builds it first)"
	@echo "  ... KERNEL=kcsan     on a kernel with the data race detector"
	@echo "  make fmt fmt-check clippy    Rust formatting and lints"
	@echo "  make bench           our driver beside the C driver; ROWS=\"bulk rtt small\" MODULE=ours|PATH"
	@echo "  make deb             Debian packages in build/deb: DKMS, and prebuilt for the stock kernel"
	@echo "  make test-deb        install, use, upgrade and remove them on a Debian 13 with systemd in a VM"
	@echo "  make test-in-tree    build the driver inside of the kernel source"
	@echo "  make update          look for a newer stock kernel"
	@echo "  WG_CACHE=DIR         where downloads and builds are kept"
