# The image: both programs, static, and nothing else. No shell, no package, no user but 65532.
#
# Of programs that are built already (BINARIES is their folder, below the build context):
#   cargo build --release --locked --bins
#   docker build --build-arg BINARIES=target/x86_64-unknown-linux-gnu/release --tag imarchive .
# From the sources alone, given a registry for the toolchain:
#   docker build --target from-source --tag imarchive .

ARG RUST_IMAGE=rust:1-trixie

FROM ${RUST_IMAGE} AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bins --target-dir /build

FROM scratch AS from-source
COPY --from=build /build/x86_64-unknown-linux-gnu/release/operator /build/x86_64-unknown-linux-gnu/release/archiver /
ENV MALLOC_MMAP_THRESHOLD_=1048576 MALLOC_ARENA_MAX=4
USER 65532:65532

# The last stage is what a build without --target makes; the others are left out then, and no base image is asked for.
FROM scratch
ARG BINARIES=.
COPY ${BINARIES}/operator ${BINARIES}/archiver /
# The allocator gives large pieces back to the system and divides no more memory than this among threads: it would keep
# what a few large requests took, several times over, and a container has a limit.
ENV MALLOC_MMAP_THRESHOLD_=1048576 MALLOC_ARENA_MAX=4
USER 65532:65532
