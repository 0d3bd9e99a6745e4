# syntax=docker/dockerfile:1
# The same binary as `cargo build --release --locked -p hushwire`, on a small Debian, as nobody.
#
#   docker build -t hushwire .
#   docker run --rm -p 8080:8080 -v hushwire:/var/lib/hushwire hushwire

FROM rust:1.95-slim-bookworm AS build
# A C compiler for the bundled SQLite.
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc libc6-dev make \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked -p hushwire \
 && install -D -m 0755 target/release/hushwire /out/hushwire \
 && install -d -m 0750 /out/data

FROM debian:bookworm-slim
# Authorities, for PostgreSQL and Redis over TLS.
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/*
LABEL org.opencontainers.image.title="hushwire" \
      org.opencontainers.image.description="An end-to-end encrypted real-time messaging engine: the server." \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="0.1.0"
COPY --from=build /out/hushwire /usr/local/bin/hushwire
COPY --from=build /src/LICENSE-MIT /src/LICENSE-APACHE /usr/share/doc/hushwire/
COPY --from=build --chown=65532:65532 /out/data /var/lib/hushwire
USER 65532:65532
ENV HUSHWIRE__SERVER__LISTEN=0.0.0.0:8080 \
    HUSHWIRE__ADMIN__LISTEN=127.0.0.1:8081 \
    HUSHWIRE__DATABASE__PATH=/var/lib/hushwire/hushwire.sqlite \
    HUSHWIRE__LOG__FORMAT=json
WORKDIR /var/lib/hushwire
VOLUME /var/lib/hushwire
EXPOSE 8080
# The image has no HTTP client: the shell's own socket asks the admin listener.
HEALTHCHECK --interval=15s --timeout=3s --start-period=10s \
  CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8081 && printf 'GET /readyz HTTP/1.0\\r\\n\\r\\n' >&3 && head -n 1 <&3 | grep -q ' 200 '"]
ENTRYPOINT ["hushwire"]
CMD ["serve"]
