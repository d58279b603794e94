# Nivel in a container: built from source, run without root, without a shell's help, on a read-only root.
#
#   docker build -t nivel .
#   docker build -t nivel --build-arg BASE=my/debian --build-arg RUST=my/rust .   where no public image can be pulled
#
# RUST needs cargo (1.91 or newer), a C compiler and the certificates of Debian; BASE needs glibc 2.36 or newer.
ARG RUST=rust:1.95-bookworm
ARG BASE=debian:bookworm-slim

FROM ${RUST} AS build
WORKDIR /src
COPY . .
# What is copied on from here is one folder, with the owners and modes it has in the image.
RUN cargo build --release --locked --bin nivel \
 && install -D -m 0755 target/release/nivel /out/usr/local/bin/nivel \
 && strip /out/usr/local/bin/nivel \
 && install -D -m 0644 /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/ca-certificates.crt \
 && install -d -m 0755 /out/etc/nivel \
 && rm -rf target

FROM ${BASE}
LABEL org.opencontainers.image.title="nivel" \
      org.opencontainers.image.description="Keeps customers whole across marketing, sales and support tools" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /out/ /
# The ledger. A new volume takes over this folder's owner, so that the user below may write there, and no one else.
RUN install -d -m 0700 -o 65532 -g 65532 /data
VOLUME /data

# The config is mounted to /etc/nivel. What it says of addresses and folders makes no sense in a container: these win.
ENV NIVEL_CONFIG=/etc/nivel/nivel.yaml \
    NIVEL__DATA_DIR=/data \
    NIVEL__HTTP__LISTEN=0.0.0.0:8440
WORKDIR /data
USER 65532:65532
EXPOSE 8440
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 CMD ["nivel", "status", "--probe"]
ENTRYPOINT ["nivel"]
CMD ["run"]
