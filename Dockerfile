# The runner as a container image, run by a user without rights, in two sizes:
#
#   docker build -t build-runner .                       full, the default: with the tools that jobs may need
#   docker build -t build-runner:slim --target slim .    slim: the binary and the system's certificate authorities, no tools
#
# `buildah build` takes the same arguments. What the base images already have is taken as it is, so a build without network
# works too.
ARG BUILDER_IMAGE=docker.io/library/rust:1.95-slim-bookworm
ARG TOOLS_IMAGE=docker.io/library/golang:1.26-bookworm
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

FROM ${RUNTIME_IMAGE} AS slim
RUN if [ ! -s /etc/ssl/certs/ca-certificates.crt ]; then \
      apt-get update \
      && apt-get install -y --no-install-recommends ca-certificates \
      && rm -rf /var/lib/apt/lists/*; \
    fi
# ssh, which git may start, refuses to run for a user without a name; buildah gives the ids below to the users inside of builds, if group and
# user are those that the container runs as. Whoever else a container is run as must get to a volume that is mounted below the home folder.
RUN groupadd --key GID_MAX=65535 --gid 65532 runner \
 && useradd --key UID_MAX=65535 --uid 65532 --gid 65532 --no-log-init --home-dir /var/lib/build-runner --create-home --shell /usr/sbin/nologin runner \
 && chmod 0755 /var/lib/build-runner \
 && echo runner:100000:65536 | tee /etc/subuid >/etc/subgid
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

# What Debian does not have, or only old: pinned, from source.
FROM ${TOOLS_IMAGE} AS tools
ARG KUSTOMIZE_VERSION=v5.8.2
ARG HELM_VERSION=v4.3.1
ARG BUILDKIT_VERSION=v0.33.1
# BuildKit's module replaces others, which `go install` refuses.
ENV CGO_ENABLED=0 GOBIN=/out GOFLAGS=-trimpath
RUN mkdir /out && cd /out \
 && for tool in kustomize helm buildctl; do ! command -v $tool >/dev/null || cp "$(command -v $tool)" /out/; done \
 && if [ ! -e kustomize ]; then go install -ldflags '-s -w' sigs.k8s.io/kustomize/kustomize/v5@${KUSTOMIZE_VERSION}; fi \
 && if [ ! -e helm ]; then go install -ldflags '-s -w' helm.sh/helm/v4/cmd/helm@${HELM_VERSION}; fi \
 && if [ ! -e buildctl ]; then \
      module=github.com/moby/buildkit@${BUILDKIT_VERSION} && go mod download $module && cd "$(go env GOMODCACHE)/$module" \
      && go build -ldflags "-s -w -X github.com/moby/buildkit/version.Version=${BUILDKIT_VERSION}" -o /out/buildctl ./cmd/buildctl; \
    fi

FROM slim AS full
USER 0:0
RUN if ! command -v git || ! command -v git-lfs || ! command -v ssh || ! command -v buildah || ! command -v setcap; then \
      apt-get update \
      && apt-get install -y --no-install-recommends buildah fuse-overlayfs git git-lfs libcap2-bin openssh-client runc uidmap \
      && rm -rf /var/lib/apt/lists/*; \
    fi
# Set-user-id programs would need CAP_SYS_ADMIN to give ids to a user namespace; with a capability each they need but that one, which a container has.
RUN chmod u-s /usr/bin/newuidmap /usr/bin/newgidmap \
 && setcap cap_setuid+ep /usr/bin/newuidmap \
 && setcap cap_setgid+ep /usr/bin/newgidmap
COPY --from=tools /out/ /usr/local/bin/
USER 65532:65532
