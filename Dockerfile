# The runner as a container image: one binary, the system's certificate authorities and git, run by a user without rights.
#
#   docker build -t build-runner .        or: buildah build -t build-runner .
#
# Base images that already have what apt-get would install are taken as they are, so a build without network works too.
ARG BUILDER_IMAGE=docker.io/library/rust:1.95-slim-bookworm
ARG RUNTIME_IMAGE=docker.io/library/debian:bookworm-slim

FROM ${BUILDER_IMAGE} AS compile
# More options for cargo, such as --offline where its registry is mounted into the build.
ARG CARGO_FLAGS=""
# Where cargo keeps its registry; that of the official image.
ARG CARGO_HOME=/usr/local/cargo
WORKDIR /src
# rust-toolchain.toml stays outside: the compiler is the base image's.
COPY . .
RUN cargo build --release --locked ${CARGO_FLAGS} \
 && install -D target/release/build-runner /out/build-runner

FROM ${RUNTIME_IMAGE}
RUN if ! command -v git >/dev/null || [ ! -s /etc/ssl/certs/ca-certificates.crt ]; then \
      apt-get update \
      && apt-get install -y --no-install-recommends ca-certificates git \
      && rm -rf /var/lib/apt/lists/*; \
    fi
# ssh, which git may start, refuses to run for a user without a name.
RUN useradd --key UID_MAX=65535 --uid 65532 --user-group --no-log-init --home-dir /var/lib/build-runner --create-home --shell /usr/sbin/nologin runner \
 && chmod 0700 /var/lib/build-runner
COPY --from=compile /out/build-runner /usr/local/bin/build-runner
ENV BUILD_RUNNER_STATE_DIR=/var/lib/build-runner/state
LABEL org.opencontainers.image.title="build-runner" \
      org.opencontainers.image.description="A standalone, pull-based job executor that reports the digests of what it pushed" \
      org.opencontainers.image.licenses="Apache-2.0"
WORKDIR /var/lib/build-runner
# By number, so that Kubernetes can see that it is not root.
USER 65532:65532
# Exec form: SIGTERM reaches the runner itself, which then ends its jobs in order.
ENTRYPOINT ["/usr/local/bin/build-runner"]
CMD ["--help"]
