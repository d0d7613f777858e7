# make serve, make test: a fresh Debian or Ubuntu machine with Rust needs nothing else.

BUILD_PACKAGES = build-essential pkg-config libclang-dev ccache
TEST_PACKAGES = python3 python3-venv curl openssl procps isync offlineimap3 interimap neomutt swaks postfix \
	libio-socket-ssl-perl libnet-ssleay-perl haproxy nginx libnginx-mod-mail dovecot-imapd \
	$(JEPSEN_PACKAGES)
JEPSEN_PACKAGES = iproute2 util-linux mount faketime
BENCH_PACKAGES = dovecot-core dovecot-imapd dovecot-lmtpd libsasl2-modules

TARGET = $(or $(CARGO_TARGET_DIR),target)

.PHONY: help setup setup-test build serve cluster test check fix bench soak jepsen

help:
	@echo "make serve   build, and run one node with a first try's accounts"
	@echo "make cluster three nodes on this machine, from an empty directory"
	@echo "make test    everything that CI runs"
	@echo "make check   formatting, lints, licences, order of the parts; writes nothing"
	@echo "make fix     formats, and applies the lints' suggestions"
	@echo "make bench   measure, beside Dovecot and Cyrus; on a quiet machine"
	@echo "make soak    simulations of many seeds: make soak SEEDS=1000"
	@echo "make jepsen  three nodes under faults and load: TIME=600 SEED=n FAULTS=a,b; writes a report"

setup:
	@.ci/install $(BUILD_PACKAGES)

setup-test: setup
	@.ci/install $(TEST_PACKAGES)
	@.ci/moto $(TARGET)/moto

build: setup
	cargo build --release -p redoubt-tools

serve: build
	$(TARGET)/release/redoubt serve --demo

cluster: build
	@.ci/cluster $(TARGET)/release/redoubt

test: setup-test
	cargo build --workspace --all-targets
	cargo test --workspace --no-fail-fast

check: setup
	cargo fmt --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
	@command -v cargo-deny >/dev/null || cargo install --locked --quiet cargo-deny
	cargo deny --log-level error check bans licenses sources
	cargo test --quiet -p redoubt-tests --test tidy

# make soak SEEDS=number FROM=number: docs/testing.md
soak: setup
	SEEDS=$(or $(SEEDS),1000) FROM=$(or $(FROM),1000) cargo test --workspace --test sim -- \
	  --exact --nocapture one three five changing changing_five snapshots light mixed restored

fix:
	cargo fmt
	cargo clippy --fix --allow-dirty --workspace --all-targets

bench: build
	@.ci/install $(BENCH_PACKAGES)
	@.ci/unpack $(TARGET)/cyrus dovecot-imapd cyrus-imapd
	$(TARGET)/release/redoubt bench --cyrus $(TARGET)/cyrus/usr

# make jepsen TIME=seconds SEED=number FAULTS=kill-one,pause,... NODES=3 OUT=directory DISK=MiB
#   PATIENCE=seconds for the cluster to be whole behind a fault
jepsen: setup
	@.ci/install $(JEPSEN_PACKAGES)
	cargo build --release -p redoubt-tools -p redoubt-jepsen
	$(TARGET)/release/redoubt-jepsen run --time $(or $(TIME),600) --nodes $(or $(NODES),3) \
	  --out $(or $(OUT),$(TARGET)/jepsen) $(if $(SEED),--seed $(SEED)) \
	  $(if $(FAULTS),--faults $(FAULTS)) $(if $(DISK),--disk $(DISK)) \
	  $(if $(PATIENCE),--patience $(PATIENCE))
