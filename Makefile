# Parklamp. `make help` lists the targets; CI calls only these.

export CGO_ENABLED = 0
GO          ?= go
OUT         := out
VERSION     := $(shell git describe --tags --always --dirty 2>/dev/null || echo unversioned)
LDFLAGS     := -s -w -X main.version=$(VERSION)
PROGRAMS    := phoned parkd parkctl
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

# What the tests need beyond Go, git and make: a C compiler for the race detector, real SIP peers, a browser.
DEBIAN_PACKAGES := gcc libc6-dev sip-tester baresip linphone-cli ffmpeg kamailio kamailio-tls-modules chromium iproute2 procps mtools dnsmasq-base busybox-static lldpd python3-zeroconf

# What `make image-test` needs on top: a cross compiler and source for the kernel, emulators.
IMAGE_PACKAGES := linux-source-6.1 gcc-arm-linux-gnueabihf libc6-dev-armhf-cross libc6-dev flex bison bc lz4 xz-utils cpio gcc make qemu-system-arm
# What booted guests need that call each other and are called.
GUEST_PACKAGES := $(IMAGE_PACKAGES) sip-tester iproute2 mtools dnsmasq-base
# What `make image` needs: the tools that put a card together. Those of the target come through a private apt root.
CARD_PACKAGES  := device-tree-compiler genimage mtools dosfstools e2fsprogs u-boot-tools zstd cpio kmod
ARM_PACKAGES   := qemu-user-static
# What `make bench` measures side by side; where it is missing, Parklamp runs alone.
BENCH_PACKAGES := rtpengine-daemon asterisk-core-sounds-en-wav asterisk-core-sounds-it-wav asterisk-core-sounds-ru-wav

# What an appliance runs: the programs and all of our packages in them. Their tests also run for arm, in an emulator of programs
# (qemu-user 7.2), but for those of ARM_SKIP: of what it has not (PR_SET_CHILD_SUBREAPER, BLKPG_RESIZE_PARTITION, MCAST_JOIN_GROUP
# and PACKET_ADD_MEMBERSHIP, which TestVoiceVLAN has in the guest) and of what it is too slow for (a browser that counts blinks, 74
# minutes of speech). Those of sound card and lines run on the booted ARM kernel.
ARM_TESTS    = $(shell GOARCH=arm $(GO) list -deps $(PROGRAMS:%=./cmd/%) ./cmd/init | grep ^parklamp/)
ARM_SKIP    := ^(TestOrphansAreReaped|TestGrowPartitionWritesOneSector|TestLLDPWithRealPeers|TestOffersOfTheLink|TestNewcomerOfTheLink|TestPage|TestTalkOff)$$
GUEST_TESTS := ./media/audio/alsa
GUEST_LINES := ./board/gpio
GUEST_SOUND := ./media/audio

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: build ## three appliances and an outside caller on this machine; SCRIPT=park-fetch tells the story without a browser
	@$(GO) build -o $(OUT)/bin/demo ./cmd/internal/demo
	@exec $(OUT)/bin/demo -bin $(OUT)/bin $(if $(SCRIPT),-script $(SCRIPT))

.PHONY: build
build: ## phoned, parkd and parkctl for this machine into out/bin
	@mkdir -p $(OUT)/bin
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(OUT)/bin/ $(PROGRAMS:%=./cmd/%)

.PHONY: cross
cross: ## the programs for every board: linux/amd64, arm v6, arm v7, arm64
	@set -e; for target in amd64: arm:6 arm:7 arm64:; do \
		arch=$${target%%:*}; arm=$${target##*:}; dir=$(OUT)/linux-$$arch$${arm:+v$$arm}; mkdir -p $$dir; \
		echo "build $$dir"; \
		GOOS=linux GOARCH=$$arch GOARM=$$arm $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $$dir/ $(PROGRAMS:%=./cmd/%); \
	done

.PHONY: test
test: test-deps build ## install what the tests need, then run every test with the race detector and real peers
	.ci/gotest ./...

.PHONY: test-deps
test-deps: ## install the Debian packages that the tests use, or say how
	@missing=""; for p in $(DEBIAN_PACKAGES) $(MORE_PACKAGES); do \
		dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; done; \
	[ -n "$$missing" ] || exit 0; \
	if [ "$$(id -u)" = 0 ]; then sudo=""; elif sudo -n true 2>/dev/null; then sudo="sudo"; else \
		echo "The tests need Debian packages that are not installed:$$missing"; \
		echo "Install them with: sudo apt-get install --no-install-recommends$$missing"; exit 1; fi; \
	echo "installing$$missing"; mkdir -p $(OUT); \
	$$sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y -qq --no-install-recommends $$missing >$(OUT)/apt.log 2>&1 \
		|| { tail -20 $(OUT)/apt.log; echo "apt-get could not install:$$missing"; exit 1; }

.PHONY: test-arm
test-arm: ## every package of an appliance: its tests built for 32- and 64-bit arm, run in an emulator
	@$(MAKE) --no-print-directory test-deps MORE_PACKAGES='$(ARM_PACKAGES)'
	@mkdir -p $(OUT)/bin
	$(GO) build -o $(OUT)/bin/emulator ./cmd/internal/emulator
	GOARCH=arm GOARM=7 $(GO) test -exec '$(CURDIR)/$(OUT)/bin/emulator' -skip '$(ARM_SKIP)' $(ARM_TESTS)
	GOARCH=arm64 $(GO) test -exec '$(CURDIR)/$(OUT)/bin/emulator' -skip '$(ARM_SKIP)' $(ARM_TESTS)

.PHONY: image
BOARD ?= qemu-virt
IMAGE := $(OUT)/image/$(BOARD)
image: ## card, slot and boot files of BOARD (qemu-virt, rpi, rpi-zero-w, beaglebone-black; rpi-zero-2w with BUILDROOT=folder) into out/image/BOARD
	@$(MAKE) --no-print-directory test-deps DEBIAN_PACKAGES= MORE_PACKAGES='$(CARD_PACKAGES) $(if $(filter qemu-virt,$(BOARD)),$(IMAGE_PACKAGES))'
	@PARKLAMP_VERSION='$(VERSION)' PARKLAMP_UPDATE_PUB='$(abspath $(UPDATE_PUB))' LDFLAGS='$(LDFLAGS)' GO='$(GO)' KERNEL='$(KERNEL)' REFRESH='$(REFRESH)' \
		buildroot/image.sh '$(BOARD)' $(IMAGE)

.PHONY: flash flash-many
FLASH = $(OUT)/bin/flash $(if $(filter file,$(origin BOARD)),,-board '$(BOARD)') -allow '$(ALLOW)' -site '$(SITE)' -source '$(VERSION) $(shell git log -1 --format=%cs 2>/dev/null)' $(if $(IMAGE_FILE),-image '$(IMAGE_FILE)')
flash: ## write a card: BOARD=rpi-3 DEV=/dev/sdX (or a file) [SITE=folder ID=dock-7] [ALLOW="internal large"] [IMAGE_FILE=card.img]; asks before it erases
	@$(GO) build -o $(OUT)/bin/flash ./cmd/internal/flash
	@exec $(FLASH) -dev '$(DEV)' -id '$(ID)'

flash-many: ## write many cards: SITE=folder CSV=file with columns id, device (a disk, a file, or "next card"), board if site.toml has none
	@[ -n "$(CSV)" ] || { echo "which cards? make flash-many SITE=folder CSV=file"; exit 2; }
	@$(GO) build -o $(OUT)/bin/flash ./cmd/internal/flash
	@exec $(FLASH) -csv '$(CSV)'

.PHONY: bundle
bundle: ## a signed update of BOARD's image: KEY=site/update.key, OPTIONS='--min-version V'; parkctl update installs it
	@[ -n "$(KEY)" ] || { echo "which key? make bundle BOARD=$(BOARD) KEY=site/update.key (parkctl site new makes it)"; exit 2; }
	@[ -r 'buildroot/boards/$(BOARD).env' ] || buildroot/image.sh '$(BOARD)' $(IMAGE) # it names the image of the board, and fails
	@$(GO) run ./cmd/parkctl bundle $(IMAGE) $(KEY) $(OPTIONS)

.PHONY: image-check
image-check: ## build the image of BOARD twice and compare them byte for byte
	@$(MAKE) --no-print-directory image BOARD=$(BOARD)
	@cd $(IMAGE) && find card.img slot.img boot slot -type f -exec sha256sum {} + >first.sum
	@$(MAKE) --no-print-directory image BOARD=$(BOARD)
	@cd $(IMAGE) && sha256sum --quiet -c first.sum && echo "$(BOARD): two builds are the same, byte for byte"

.PHONY: buildroot-check
buildroot-check: ## check each board's configuration and the packages with Buildroot in BUILDROOT=folder; downloads and builds nothing
	@$(MAKE) --no-print-directory test-deps DEBIAN_PACKAGES= MORE_PACKAGES='python3-magic flake8 rsync bc file unzip'
	@set -e; for b in $(basename $(notdir $(wildcard buildroot/boards/*.env))); do CHECK=1 PATH="/usr/bin:$$PATH" buildroot/buildroot.sh $$b '$(BUILDROOT)' $(OUT)/check/$$b; done

.PHONY: image-test
image-test: ## boot the card of qemu-virt in QEMU; boot an ARM kernel in QEMU and run the tests of sound card and GPIO lines in it; boot phones that park and fetch, update the card; builds the kernel once (12 CPU minutes)
	@$(MAKE) --no-print-directory test-deps DEBIAN_PACKAGES= MORE_PACKAGES='$(GUEST_PACKAGES)'
	@$(MAKE) --no-print-directory image BOARD=qemu-virt
	buildroot/test/boot.sh $(OUT)/image/qemu-virt
	ICOUNT=2 buildroot/test/run.sh $(GUEST_TESTS)
	ICOUNT=2 buildroot/test/run.sh $(GUEST_LINES)
	ICOUNT=0 RUN=Loop buildroot/test/run.sh $(GUEST_SOUND)
	$(GO) test -tags image -count=1 -v -timeout 60m ./cmd/internal/guesthost

.PHONY: update-test
CUTS ?= 10
update-test: ## boot script and updates under U-Boot in QEMU: damaged bundles, bad systems, power cut at CUTS=10 random moments
	@$(MAKE) --no-print-directory test-deps DEBIAN_PACKAGES= MORE_PACKAGES='$(IMAGE_PACKAGES) $(CARD_PACKAGES) u-boot-qemu'
	PARKLAMP_CUTS=$(CUTS) $(GO) test -tags uboot -count=1 -v -timeout 8h ./cmd/internal/slots/slotstest ./cmd/internal/updateguest

.PHONY: footprint
footprint: SHELL := /bin/bash
footprint: .SHELLFLAGS := -o pipefail -c
footprint: ## image, memory, time to ready and idle load of the image for QEMU, as rows of the README's table
	@$(MAKE) --no-print-directory test-deps DEBIAN_PACKAGES= MORE_PACKAGES='$(GUEST_PACKAGES)'
	@$(MAKE) --no-print-directory image BOARD=qemu-virt
	$(GO) test -tags image -count=1 -v -timeout 30m -run 'Footprint|Killed' ./cmd/internal/guesthost | grep -e '|' -e 'want below' -e FAIL -e '^ok'

.PHONY: check
check: cross ## gofmt, vet, staticcheck, repository rules, generated files unchanged, shellcheck
	@$(MAKE) --no-print-directory test-deps DEBIAN_PACKAGES= MORE_PACKAGES=shellcheck
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$unformatted" ] || { echo "gofmt -w $$unformatted"; exit 1; }
	$(GO) vet ./...
	GOARCH=arm $(GO) vet -tags guest ./...
	$(GO) vet -tags image,uboot ./...
	$(GO) run $(STATICCHECK) ./...
	$(GO) run $(STATICCHECK) -tags guest,image,uboot ./...
	$(GO) test -count=1 ./cmd/internal/repocheck ./cmd/internal/config
	shellcheck $$(git ls-files '*.sh' .ci)

.PHONY: bench
bench: SHELL := /bin/bash
bench: .SHELLFLAGS := -o pipefail -c
bench: build ## latency, media and memory figures, printed and saved in out/bench.txt
	-@$(MAKE) --no-print-directory test-deps DEBIAN_PACKAGES= MORE_PACKAGES='$(BENCH_PACKAGES)'
	$(GO) run ./cmd/internal/benchmark -bin $(OUT)/bin | tee $(OUT)/bench.txt
	$(GO) run ./cmd/internal/listening -out $(OUT)/listening | tee -a $(OUT)/bench.txt
	$(GO) test -count=1 -v -run '^TestMouthToEar$$' ./media/audio | sed -n 's/.*| mouth to ear/| mouth to ear/p' | tee -a $(OUT)/bench.txt
	$(GO) test -run '^$$' -bench . -benchmem ./sip/... ./media/... ./parkd/... | tee -a $(OUT)/bench.txt

.PHONY: fuzz
FUZZTIME ?= 30s
fuzz: ## every fuzz test for FUZZTIME each
	@set -e; for pkg in $$(grep -rl '^func Fuzz' --include '*_test.go' . | xargs -n1 dirname | sort -u); do \
		for f in $$(grep -ho '^func Fuzz[A-Za-z0-9_]*' $$pkg/*_test.go | cut -c6-); do \
			echo "$$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$pkg; done; done

.PHONY: generate
generate: ## write the generated files anew: configuration reference, music, prompts
	$(GO) generate ./...

.PHONY: picture
picture: test-deps ## take the README's picture of the panel anew
	PARKLAMP_PICTURE=$(CURDIR)/parkd/panel/panel.jpg $(GO) test -count=1 -run TestPanelInTheBrowser ./cmd/internal/e2e

.PHONY: clean
clean: ## remove what was built
	rm -rf $(OUT)
