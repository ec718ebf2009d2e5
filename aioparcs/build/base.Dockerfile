# aioparcs on a Python base image: what modules are built from. `aioparcs image build` makes it.
# The context is a folder of wheels, pip's own among them; no BuildKit and no pip of the base are needed. With
# --build-arg INDEX= wheels that are missing are downloaded; otherwise no network is needed either.

ARG BASE=python:3.13-slim

FROM $BASE AS build
ARG INDEX=--no-index
# With "--no-deps aioparcs msgpack uvloop" it is the image of workers, which have neither the command line nor Docker's libraries;
# then aioparcs there must not say that it requires them, or a module that names aioparcs would install them after all.
ARG PACKAGES=aioparcs
COPY *.whl /wheels/
# Into a tree beside the system, laid out as this Python wants it (Debian's own differs from the official images').
# pip runs from its wheel and stays behind, and so does what only compilers and tests read.
RUN set -eu; \
    python3 "$(echo /wheels/pip-*.whl)/pip" install --quiet $INDEX --find-links /wheels --no-cache-dir --no-compile \
        --root /tree --ignore-installed --break-system-packages --root-user-action ignore $PACKAGES; \
    case "$PACKAGES" in --no-deps*) \
        find /tree -path '*/aioparcs-*/METADATA' -exec sed -i '/^Requires-Dist:/{/extra ==\|msgpack\|uvloop/!d}' {} +;; \
    esac; \
    find /tree -type d -name tests -prune -exec rm -r {} +; \
    find /tree -type f \( -name '*.c' -o -name '*.h' -o -name '*.pxd' -o -name '*.pyx' -o -name '*.pxi' -o -name '*.pyi' \) \
        -delete; \
    python3 -m compileall -q --invalidation-mode unchecked-hash -s /tree -p / /tree; \
    mkdir -p /tree/usr/local/bin; \
    command -v python >/dev/null || ln -s "$(command -v python3)" /tree/usr/local/bin/python

FROM $BASE
COPY --from=build /tree/ /
# The folder is theirs: a program may write beside itself, as on any machine.
RUN useradd --uid 1000 --create-home --shell /bin/sh parcs && install -d -o parcs -g parcs /parcs
WORKDIR /parcs
USER parcs
ENV PYTHONUNBUFFERED=1
STOPSIGNAL SIGTERM
CMD ["python", "main.py"]

ARG BASE
ARG VERSION
LABEL org.opencontainers.image.title="aioparcs" \
      org.opencontainers.image.description="Python with aioparcs, for PARCS runners and services" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.base.name="$BASE"
