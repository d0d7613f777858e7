# make serve, make test: a fresh Debian or Ubuntu machine with Rust needs nothing else.

BUILD_PACKAGES = build-essential pkg-config libclang-dev ccache
TEST_PACKAGES = python3 curl openssl procps isync offlineimap3 interimap neomutt swaks postfix \
	libio-socket-ssl-perl libnet-ssleay-perl
BENCH_PACKAGES = dovecot-core dovecot-imapd dovecot-lmtpd libsasl2-modules

TARGET = $(or $(CARGO_TARGET_DIR),target)

.PHONY: help setup setup-test build serve test check fix bench jepsen

help:
	@echo "make serve   build, and run one node with a first try's accounts"
	@echo "make test    everything that CI runs"
	@echo "make check   formatting, lints, licences, order of the parts; writes nothing"
	@echo "make fix     formats, and applies the lints' suggestions"
	@echo "make bench   measure, beside Dovecot and Cyrus; on a quiet machine"
	@echo "make jepsen  the crash test, longer than in make test"

setup:
	@.ci/install $(BUILD_PACKAGES)

setup-test: setup
	@.ci/install $(TEST_PACKAGES)

build: setup
	cargo build --release -p redoubt-tools

serve: build
	$(TARGET)/release/redoubt serve --demo

test: setup-test
	cargo build --workspace --all-targets
	cargo test --workspace

check: setup
	cargo fmt --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
	@command -v cargo-deny >/dev/null || cargo install --locked --quiet cargo-deny
	cargo deny --log-level error check bans licenses sources
	cargo test --quiet -p redoubt-tests --test tidy

fix:
	cargo fmt
	cargo clippy --fix --allow-dirty --workspace --all-targets

bench: build
	@.ci/install $(BENCH_PACKAGES)
	@.ci/unpack $(TARGET)/cyrus dovecot-imapd cyrus-imapd
	$(TARGET)/release/redoubt bench --cyrus $(TARGET)/cyrus/usr

jepsen: setup
	cargo run --release -p redoubt-jepsen -- crash --rounds 200
