# nginx-track: one Makefile for all that is compiled. Products land in $(BUILD).
#
#   make            everything: module, loader, SDK, embedded ClickHouse
#   make module     the nginx module; NGINX_SRC=DIR for any nginx tree >= 1.22
#   make module-asan  build/asan/ngx_http_track_module.so, with ASan and UBSan
#   make loader     track-loader
#   make tools      track-spool
#   make sdk        the browser script
#   make bench      what bench/run edge needs besides
#   make unit       C unit tests with ASan and UBSan (prove t/00-unit.t runs them)
#   make fuzz       libFuzzer targets (clang); fuzz/run runs them
#   make fuzz-replay  the same with their corpora only, for t/03-fuzz.t
#   make check      linters, formatting, layering
#   make clickhouse the embedded ClickHouse's launcher
#   make install    DESTDIR=, PREFIX=, MODULES=
#   make clean      all but downloads and the tree copies of nginx
#
# V=1 shows the commands.
#
# lib/, loader/, src/ and t/unit/ are read by wildcard: a new file is built
# without being named here (src/ by way of nginx's addon file `config`).

BUILD     ?= build
PREFIX    ?= /usr/local
MODULES   ?= /usr/lib/nginx/modules
NGINX_SRC ?= /usr/share/nginx/src
CC        ?= cc
PKGCONFIG ?= pkg-config

CSTD      := -std=c11 -D_GNU_SOURCE
WARN      := -Wall -Wextra -Werror
OPT       ?= -O2 -g -fno-omit-frame-pointer
SANITIZE  := -fsanitize=address,undefined -fno-sanitize-recover=all -O1 -g \
             -fno-omit-frame-pointer
TRACK_C   := $(CSTD) $(WARN) -fvisibility=hidden -Ilib -It/unit -MMD -MP

TOOLS_PC  := rdkafka
TOOLS_C    = $(shell $(PKGCONFIG) --cflags $(TOOLS_PC))
TOOLS_LD   = $(shell $(PKGCONFIG) --libs $(TOOLS_PC))
LOADER_PC := rdkafka libpq libcurl libmicrohttpd inih
LOADER_C   = $(shell $(PKGCONFIG) --cflags $(LOADER_PC))
LOADER_LD  = $(shell $(PKGCONFIG) --libs $(LOADER_PC)) -lpthread -lm

# $(call do,WHAT) prints "WHAT target", or with V=1 lets the command show itself.
do         = $(if $(V),,@printf '  %-5s %s\n' $(1) $@;)

LIB_SRC   := $(wildcard lib/*.c)
LOAD_SRC  := $(wildcard loader/*.c)
BENCH_SRC := $(wildcard bench/load/*.c)
UNIT_SRC  := $(wildcard t/unit/test_*.c)
SDK_SRC   := $(shell find sdk \( -name node_modules -o -name dist \) -prune \
                          -o -type f -print 2>/dev/null)
CHDB_LIB  := $(firstword $(wildcard node_modules/@chdb/*/libchdb.so))

LIB_OBJ   := $(LIB_SRC:%.c=$(BUILD)/%.o)
LIB_ASAN  := $(LIB_SRC:%.c=$(BUILD)/asan/%.o)
LOAD_OBJ  := $(LOAD_SRC:%.c=$(BUILD)/%.o)
TOOLS_SRC := $(wildcard tools/*.c) $(wildcard src/ngx_http_track_spool_io.c) \
             $(wildcard src/ngx_http_track_spool_file.c)
TOOLS_OBJ := $(TOOLS_SRC:%.c=$(BUILD)/tools/%.o)
BENCH_OBJ := $(BENCH_SRC:%.c=$(BUILD)/%.o)
UNIT_BIN  := $(UNIT_SRC:t/unit/%.c=$(BUILD)/unit/%)

FUZZ_SRC  := $(wildcard fuzz/fuzz_*.c)
FUZZ_BIN  := $(FUZZ_SRC:%.c=$(BUILD)/%)
FUZZ_LIB  := $(LIB_SRC:%.c=$(BUILD)/fuzz/%.o)
REPLAY    := $(FUZZ_SRC:fuzz/fuzz_%.c=$(BUILD)/fuzz/replay_%)

# What cannot be built in a tree that lacks its sources is left out of `all`.
PARTS     := $(if $(wildcard config),module) $(if $(LOAD_SRC),loader) \
             $(if $(wildcard tools/*.c),tools) \
             $(if $(wildcard sdk/package.json),sdk) clickhouse unit \
             $(if $(wildcard config),fuzz-replay)

.PHONY: all module module-asan loader tools sdk bench unit check install clean clickhouse
.PHONY: fuzz fuzz-replay
.SECONDARY:
.DELETE_ON_ERROR:

all: $(PARTS)


# Objects. $(BUILD)/asan/ holds the same code compiled for the unit tests.

$(BUILD)/lib/%.o: lib/%.c
	@mkdir -p $(@D)
	$(call do,CC)$(CC) $(TRACK_C) $(OPT) -fPIC -c -o $@ $<

$(BUILD)/loader/%.o: loader/%.c
	@mkdir -p $(@D)
	$(call do,CC)$(CC) $(TRACK_C) $(OPT) $(LOADER_C) -c -o $@ $<

$(BUILD)/asan/lib/%.o: lib/%.c
	@mkdir -p $(@D)
	$(call do,CC)$(CC) $(TRACK_C) $(SANITIZE) -c -o $@ $<

$(BUILD)/libtrk.a: $(LIB_OBJ)
	@rm -f $@
	$(call do,AR)$(AR) rcs $@ $^

$(BUILD)/asan/libtrk.a: $(LIB_ASAN)
	@mkdir -p $(@D) && rm -f $@
	$(call do,AR)$(AR) rcs $@ $^


loader: $(BUILD)/track-loader

$(BUILD)/track-loader: $(LOAD_OBJ) $(BUILD)/libtrk.a
	$(call do,LINK)$(CC) $(OPT) -o $@ $(LOAD_OBJ) $(BUILD)/libtrk.a $(LOADER_LD)


# track-spool reads spools with the module's own code: plain C in src/.

tools: $(BUILD)/track-spool

$(BUILD)/tools/%.o: %.c
	@mkdir -p $(@D)
	$(call do,CC)$(CC) $(TRACK_C) $(OPT) $(TOOLS_C) -Isrc -c -o $@ $<

$(BUILD)/track-spool: $(TOOLS_OBJ) $(BUILD)/libtrk.a
	$(call do,LINK)$(CC) $(OPT) -o $@ $(TOOLS_OBJ) $(BUILD)/libtrk.a $(TOOLS_LD)


unit: $(UNIT_BIN)

$(BUILD)/unit/%: t/unit/%.c $(BUILD)/asan/libtrk.a
	@mkdir -p $(@D)
	$(call do,CC)$(CC) $(TRACK_C) $(SANITIZE) -o $@ $< $(BUILD)/asan/libtrk.a -lpthread -lm


# Fuzz targets, twice: with libFuzzer, and with fuzz/replay.c under any compiler.
# gzip's is the module's own file, against the headers of the configured nginx.

FUZZER    := -fsanitize=fuzzer-no-link,address,undefined \
             -fno-sanitize-recover=all -O1 -g -fno-omit-frame-pointer
NGX_TREE  := $(BUILD)/nginx-src
NGX_INC   := $(addprefix -isystem $(NGX_TREE)/,objs src/core src/event \
             src/event/modules src/os/unix src/http src/http/modules \
             src/http/v2)

fuzz: $(FUZZ_BIN)
fuzz-replay: $(REPLAY) $(BUILD)/fuzz/verdict

$(BUILD)/fuzz/fuzz_gzip $(BUILD)/fuzz/replay_gzip: MORE = \
    src/ngx_http_track_inflate.c -Isrc $(NGX_INC) -lz
$(BUILD)/fuzz/fuzz_gzip $(BUILD)/fuzz/replay_gzip: \
    src/ngx_http_track_inflate.c $(wildcard src/*.h) \
    | $(NGX_TREE)/objs/ngx_auto_config.h

$(BUILD)/fuzz/lib/%.o: lib/%.c
	@mkdir -p $(@D)
	$(call do,CC)clang $(TRACK_C) $(FUZZER) -c -o $@ $<

$(BUILD)/fuzz/fuzz_%: fuzz/fuzz_%.c $(FUZZ_LIB)
	$(call do,CC)clang $(TRACK_C) $(FUZZER) -fsanitize=fuzzer -MF $@.d -o $@ \
	    $< $(FUZZ_LIB) $(MORE) -lm

$(BUILD)/fuzz/replay_%: fuzz/fuzz_%.c fuzz/replay.c $(BUILD)/asan/libtrk.a
	@mkdir -p $(@D)
	$(call do,CC)$(CC) $(TRACK_C) $(SANITIZE) -MF $@.d -o $@ \
	    $< fuzz/replay.c $(BUILD)/asan/libtrk.a $(MORE) -lm

$(BUILD)/fuzz/verdict: fuzz/verdict.c $(BUILD)/asan/libtrk.a
	@mkdir -p $(@D)
	$(call do,CC)$(CC) $(TRACK_C) $(SANITIZE) -MF $@.d -o $@ $< \
	    $(BUILD)/asan/libtrk.a -lm


# nginx's own makefile decides what of the module is stale; it is asked each time.

module:
	+dev/module-build "$(NGINX_SRC)" "$(BUILD)"

module-asan:
	+dev/module-build "$(NGINX_SRC)" "$(BUILD)/asan" --sanitize


# The second one is for the nginx that `module` has configured.

bench: $(BUILD)/bench-load $(BUILD)/bench-read.so

$(BUILD)/bench/%.o: bench/%.c
	@mkdir -p $(@D)
	$(call do,CC)$(CC) $(CSTD) $(WARN) -MMD -MP $(OPT) -c -o $@ $<

$(BUILD)/bench-load: $(BENCH_OBJ)
	$(call do,LINK)$(CC) $(OPT) -o $@ $^ -lz

$(BUILD)/nginx-src/objs/ngx_auto_config.h:
	$(MAKE) module

$(BUILD)/bench-read.so: bench/read/ngx_http_bench_read_module.c \
                        $(BUILD)/nginx-src/objs/ngx_auto_config.h
	$(call do,CC)cd $(BUILD)/nginx-src && $(CC) $(OPT) -Wall -Werror -shared \
	    -fPIC -I objs $(addprefix -I src/,core event event/modules os/unix \
	    http http/modules http/v2) -o $(abspath $@) $(abspath $<)


sdk: sdk/dist/track.js

sdk/dist/track.js: $(SDK_SRC) node_modules/.package-lock.json
	$(call do,NPM)npm run --silent --workspace sdk build
	@touch $@

node_modules/.package-lock.json:
	@echo "node_modules/ is missing: run dev/setup (or npm ci)" >&2; exit 1


clickhouse: $(BUILD)/clickhouse-embedded

$(BUILD)/clickhouse-embedded: dev/clickhouse-embedded/launcher.c \
                              node_modules/.package-lock.json
	@test -n "$(CHDB_LIB)" || { echo "libchdb.so is missing from" \
	    "node_modules/@chdb: run dev/setup" >&2; exit 1; }
	@mkdir -p $(@D)
	$(call do,CC)$(CC) $(CSTD) $(WARN) $(OPT) -o $@ $< -L$(dir $(CHDB_LIB)) -lchdb -lpthread \
	    -Wl,-rpath,$(abspath $(dir $(CHDB_LIB)))


check:
	dev/check/all


install: module loader tools
	install -d $(DESTDIR)$(MODULES) $(DESTDIR)$(PREFIX)/bin \
	    $(DESTDIR)$(PREFIX)/share/nginx-track/migrations
	install -m 644 $(BUILD)/ngx_http_track_module.so \
	    $(DESTDIR)$(MODULES)/ngx_http_track_module.so.new
	mv $(DESTDIR)$(MODULES)/ngx_http_track_module.so.new \
	    $(DESTDIR)$(MODULES)/ngx_http_track_module.so
	install -m 755 $(BUILD)/track-loader $(BUILD)/track-spool \
	    $(DESTDIR)$(PREFIX)/bin/
	install -m 644 nginx.conf.example loader/loader.conf.example \
	    $(DESTDIR)$(PREFIX)/share/nginx-track/
	cp -R migrations/. $(DESTDIR)$(PREFIX)/share/nginx-track/migrations/
	$(if $(wildcard sdk/dist/track.js),install -m 644 sdk/dist/track.js \
	    $(DESTDIR)$(PREFIX)/share/nginx-track/)


# Kafka's jars and nginx's configured tree stay: neither is a product.
clean:
	rm -rf $(BUILD)/lib $(BUILD)/loader $(BUILD)/tools $(BUILD)/asan $(BUILD)/unit \
	    $(BUILD)/bench/load $(BUILD)/bench-load $(BUILD)/bench-read.so \
	    $(BUILD)/libtrk.a $(BUILD)/track-loader $(BUILD)/track-spool \
	    $(BUILD)/clickhouse-embedded $(BUILD)/ngx_http_track_module.so \
	    $(BUILD)/nginx-src*/objs $(BUILD)/fuzz sdk/dist


-include $(LIB_OBJ:.o=.d) $(LIB_ASAN:.o=.d) $(LOAD_OBJ:.o=.d) $(TOOLS_OBJ:.o=.d)
-include $(FUZZ_LIB:.o=.d) $(FUZZ_BIN:%=%.d) $(REPLAY:%=%.d) $(BUILD)/fuzz/verdict.d
-include $(UNIT_BIN:%=%.d) $(BENCH_OBJ:.o=.d)
