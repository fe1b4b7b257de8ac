# The front door: make run, make test. CMake does the work.

BUILD ?= build
PREFIX ?= /usr/local
PHOTO ?=
MODEL ?= default
JOBS := $(shell nproc)
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

# What building and downloading checkpoints need; what the tests need beyond it to be built, and to run.
PACKAGES := g++ cmake make ninja-build libhwy-dev libeigen3-dev libstb-dev libdeflate-dev zlib1g-dev libwebp-dev libcli11-dev nlohmann-json3-dev curl ca-certificates
SERVE_PACKAGES := libcpp-httplib-dev pkg-config
TEST_BUILD_PACKAGES := doctest-dev python3 $(SERVE_PACKAGES)
TEST_RUN_PACKAGES := python3-numpy python3-pil python3-torch python3-torchvision python3-sklearn \
  python3-protobuf protobuf-compiler python3-selenium chromium chromium-driver zsh ffmpeg man-db groff-base bsdextrautils mypy libomp5 \
  python3-jsonschema
TEST_CLUSTER_PACKAGES := slurm-wlm munge parallel openssh-server openssh-client python3-numpy python3-pil
WHEEL_PACKAGES := python3 binutils patchelf
WEB_PACKAGES := emscripten cmake make ninja-build libhwy-dev libstb-dev nlohmann-json3-dev python3
FORMAT_PACKAGES := clang-format
CLANG_PACKAGES := clang libomp-dev libclang-rt-14-dev doctest-dev
DEB_PACKAGES := dpkg-dev file gzip
TEST_DEB_PACKAGES := lintian debootstrap binutils file ninja-build g++-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user python3-numpy python3-venv python3-pil

.PHONY: help run test test-full test-cluster test-serve test-build build serve deps test-deps test-build-deps test-run-deps install deb wheel web test-web test-packages format format-check asan tsan fuzz clean

help:
	@echo "make run       install what is missing, build, segment a street (your own: PHOTO=my.jpg MODEL=deeplabv3_resnet101)"
	@echo "make test      install what is missing, build, run every test (full-size parity apart: make test-full)"
	@echo "make build     build only"
	@echo "make serve     atrous-serve, which answers by HTTP (make test-serve: under load for two minutes)"
	@echo "make test-cluster  runs in shards under kill -9, GNU parallel, Slurm; what they cost"
	@echo "make install   install under PREFIX ($(PREFIX))"
	@echo "make deb       Debian packages, in $(BUILD)-deb (make test-packages: install them on a bare Debian)"
	@echo "make wheel     the Python package with the library inside, for pip, in $(BUILD)-wheel"
	@echo "make web       the page that segments in the browser, in $(BUILD)-web (SINGLE=1: one file, too; make test-web: its tests)"
	@echo "make deps      install what building needs (Debian)"
	@echo "make asan      every test under AddressSanitizer and UndefinedBehaviorSanitizer"
	@echo "make tsan      the load tests under ThreadSanitizer"
	@echo "make fuzz      every reader and the convolutions on made-up inputs (SECONDS_EACH=60, TARGETS=\"image pickle\")"
	@echo "make ladder    one convolution from plain loops to Winograd, timed: the table of layers/cpu/README.md"
	@echo "make format    clang-format on every source"

# $(call install_missing,packages): only those that are missing, so that a second run needs neither root nor a network. Where
# there is no apt-get they are named, and what is installed has to do. An installation that was interrupted is ended first:
# apt-get refuses to begin another.
define install_missing
	@if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then \
	  echo "no apt-get here: what these of Debian's packages hold is needed: $(strip $(1)); going on with what is installed"; \
	  exit 0; fi; \
	missing=""; for p in $(1); do dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'install ok installed' || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then echo "installing:$$missing"; \
	  $(SUDO) env DEBIAN_FRONTEND=noninteractive dpkg --configure -a && $(SUDO) apt-get update -q && \
	  $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $$missing; fi
endef

# $(call configure,folder,preset,options): as CMakePresets.json has it. Ninja where present. Asked when the recipe runs, since deps may just have installed it, and
# only for a new folder: a configured one keeps its generator.
configure = cmake -S . -B $(1) --preset $(2) $$([ -f $(1)/CMakeCache.txt ] || ! command -v ninja >/dev/null || echo -G Ninja) $(3)

deps:
	$(call install_missing,$(PACKAGES))
	@for p in cmake $(firstword $(CXX)); do command -v $$p >/dev/null || { \
	  echo "no $$p here: building needs CMake 3.25 or later and a compiler of C++20" >&2; exit 1; }; done

test-build-deps: deps
	$(call install_missing,$(TEST_BUILD_PACKAGES))

test-run-deps:
	$(call install_missing,$(TEST_RUN_PACKAGES))

test-deps: test-build-deps
	$(call install_missing,$(TEST_RUN_PACKAGES))

build: deps
	@echo "building atrous in $(BUILD)"
	@$(call configure,$(BUILD),release) >/dev/null
	@cmake --build $(BUILD) -j $(JOBS)

# The street is drawn (tests/street/street.py), so its true labels are known and the result can be graded.
run: build
	@mkdir -p $(BUILD)/run
	@echo
ifeq ($(PHOTO),)
	@cp tests/street/street.png $(BUILD)/run/
	@$(BUILD)/atrous segment $(BUILD)/run/street.png -m $(MODEL) --sheet \
	  $(if $(filter default,$(MODEL)),--truth tests/street/street.labels.png)
	@echo; echo "The photo beside them: $(BUILD)/run/street.png. All in one picture: $(BUILD)/run/street.sheet.png."
	@echo "Your own: make run PHOTO=my.jpg, or with torchvision's network, downloaded once, that knows people, animals"
	@echo "and vehicles: make run PHOTO=my.jpg MODEL=deeplabv3_resnet101"
else
	@$(if $(filter default,$(MODEL)),echo "The default network knows streets only. For people\, animals\, vehicles: MODEL=deeplabv3_resnet101"; echo)
	@$(BUILD)/atrous segment '$(PHOTO)' -m $(MODEL) --sheet -o $(BUILD)/run
endif

serve: deps
	$(call install_missing,$(SERVE_PACKAGES))
	@echo "building atrous-serve in $(BUILD)"
	@$(call configure,$(BUILD),release) >/dev/null
	@cmake -S . -B $(BUILD) -DATROUS_SERVE=ON >/dev/null
	@cmake --build $(BUILD) -j $(JOBS) --target atrous_cli atrous_serve
	@ls -l $(BUILD)/atrous-serve

# The tests build beside the plain build, so that make run never waits for them, and while what they run with is installed.
test-build:
	@echo "building the tests in $(BUILD)-test"
	@$(call configure,$(BUILD)-test,test,$(CONFIGURE)) >/dev/null
	@cmake --build $(BUILD)-test -j $(JOBS)

test: test-build-deps
	@$(MAKE) --no-print-directory -j 2 test-run-deps test-build
	ctest --test-dir $(BUILD)-test -j $(JOBS) --output-on-failure $(or $(CTEST),-LE full)

.PHONY: ladder
ladder: test-build-deps
	@echo "building the ladder in $(BUILD)-test"
	@$(call configure,$(BUILD)-test,test,$(CONFIGURE)) >/dev/null
	@cmake --build $(BUILD)-test -j $(JOBS) --target atrous_ladder >/dev/null
	@$(BUILD)-test/tests/atrous_ladder

test-full:
	$(MAKE) test CTEST="-L full"

# Runs in shards as schedulers start them, on this machine; as root, which Slurm's daemon wants.
test-cluster: build
	$(call install_missing,$(TEST_CLUSTER_PACKAGES))
	KILLS=50 tests/cluster/run $(BUILD)/atrous
	tests/cluster/figures $(BUILD)/atrous

# All that make test has, a network that finds instances, the page in a browser; eight clients for two minutes, with a flood beside them.
test-serve: serve
	$(call install_missing,python3-jsonschema python3-selenium chromium chromium-driver)
	/usr/bin/python3 -B tests/programs/serve/answers.py $(BUILD)/atrous-serve $(BUILD)/atrous full
	/usr/bin/python3 -B tests/programs/serve/floods.py $(BUILD)/atrous-serve
	/usr/bin/python3 -B tests/python/serve_page.py $(BUILD)/atrous-serve $(BUILD)/atrous
	/usr/bin/python3 -B tests/programs/serve/load.py $(BUILD)/atrous-serve $(BUILD)/atrous

# clang compiles with the sanitizers, and for libFuzzer: the tests and the fuzz targets share one library.
sanitized = $(call configure,$(BUILD)-sanitized,asan)

asan: test-deps
	$(call install_missing,$(CLANG_PACKAGES))
	@echo "building the tests in $(BUILD)-sanitized"
	@$(sanitized) >/dev/null
	@cmake --build $(BUILD)-sanitized -j $(JOBS)
	ctest --test-dir $(BUILD)-sanitized -j $(JOBS) --output-on-failure $(or $(CTEST),-LE full)

# What is found stays in the build folder.
fuzz: deps
	$(call install_missing,$(CLANG_PACKAGES))
	@echo "building the fuzz targets in $(BUILD)-sanitized"
	@$(sanitized) >/dev/null
	@cmake --build $(BUILD)-sanitized -j $(JOBS) --target fuzz_targets
	SECONDS_EACH=$(or $(SECONDS_EACH),60) tests/fuzz/run $(BUILD)-sanitized $(TARGETS)

tsan: deps
	$(call install_missing,$(CLANG_PACKAGES))
	sh tests/programs/tsan/run $(BUILD)-tsan

# As root where PREFIX asks for it; then the loader is told of the library, too.
as_installer = $(if $(DESTDIR),,$(if $(shell [ -w $(PREFIX) ] && echo y),,$(SUDO)))
install: build
	$(as_installer) cmake --install $(BUILD) --prefix $(PREFIX)
	@$(if $(DESTDIR),,$(as_installer) sh -c '[ "$$(id -u)" != 0 ] || ! command -v ldconfig >/dev/null || ldconfig')

deb: deps
	$(call install_missing,$(DEB_PACKAGES) $(SERVE_PACKAGES))
	@echo "building packages in $(BUILD)-deb"
	@$(call configure,$(BUILD)-deb,deb) >/dev/null
	@cmake --build $(BUILD)-deb -j $(JOBS)
	@rm -f $(BUILD)-deb/*.deb
	@export SOURCE_DATE_EPOCH=$$(dpkg-parsechangelog -l runtime/install/debian/changelog -S Timestamp); \
	  cd $(BUILD)-deb && cpack -G DEB >cpack.log 2>&1 || { cat cpack.log; exit 1; }
	@ls -l $(BUILD)-deb/*.deb

# Minutes: what others get from here is built, installed and used as they do it. The quick ones come first. The wheel is of the
# packages' library, so that there is no second build of the same sources.
test-packages: deb
	$(call install_missing,$(TEST_DEB_PACKAGES) $(WHEEL_PACKAGES))
	tests/programs/c/run $(BUILD)-deb
	tests/programs/wheel/run $(BUILD)-deb
	tests/programs/packages/run $(BUILD)-deb
	tests/programs/subproject/run
	tests/programs/voc/run $(BUILD)-deb tests/street/street.png
	tests/programs/aarch64/program $(BUILD)-deb/atrous

# The library alone is in it: neither the programs nor the CUDA module are built.
wheel: deps
	$(call install_missing,$(WHEEL_PACKAGES))
	@echo "building the library in $(BUILD)"
	@$(call configure,$(BUILD),release) >/dev/null
	@cmake --build $(BUILD) -j $(JOBS) --target atrous_shared
	@/usr/bin/python3 runtime/python/wheel.py $(BUILD)/libatrous.so $(BUILD)-wheel

# The page's module twice: for one thread, and for several, which few hosts allow (runtime/wasm/README.md). acorn, which
# emscripten runs, is found by Debian's node alone unless it is told where.
web: export NODE_PATH := $(NODE_PATH):/usr/share/nodejs
web:
	$(call install_missing,$(WEB_PACKAGES))
	@for threads in $(or $(WASM_THREADS),OFF ON); do \
	  folder=$(BUILD)-wasm-$$threads; echo "building the module in $$folder"; \
	  emcmake $(call configure,$$folder,release,-DATROUS_WASM_THREADS=$$threads) >/dev/null && cmake --build $$folder -j $(JOBS) || exit 1; done
	@mkdir -p $(BUILD)-web
	@cp runtime/wasm/page/* $(BUILD)-wasm-*/atrous*.js $(BUILD)-wasm-*/atrous*.wasm $(BUILD)-web/
	@cp weights_tools/default_model.safetensors $(BUILD)-web/default.safetensors
	@cp tests/street/street.png $(BUILD)-web/
	$(if $(SINGLE),/usr/bin/python3 runtime/wasm/single.py $(BUILD)-web $(BUILD)-web/atrous.html)

# Minutes: both modules, the single file, and a browser that uses them. Screenshots are in the page's folder afterwards.
test-web: SINGLE := 1
test-web: test-run-deps build web
	tests/programs/wasm/layouts
	/usr/bin/python3 tests/python/web_page.py $(BUILD)-web $(BUILD)/atrous $(BUILD)-web/screenshots

format:
	$(call install_missing,$(FORMAT_PACKAGES))
	git ls-files '*.h' '*.cc' '*.cu' | xargs clang-format -i

format-check:
	$(call install_missing,$(FORMAT_PACKAGES))
	git ls-files '*.h' '*.cc' '*.cu' | xargs clang-format --dry-run --Werror

clean:
	rm -rf $(BUILD) $(BUILD)-test $(BUILD)-sanitized $(BUILD)-tsan $(BUILD)-deb $(BUILD)-wheel $(BUILD)-wasm-OFF $(BUILD)-wasm-ON $(BUILD)-web
