# Two targets: `worker` (the polling worker, slim) and `demo` (adds the local voice and an embedded Postgres).
# BASE_IMAGE: any Debian bookworm or newer with Python 3.11+ and venv as `python3`. A tag may become another image at any
# time, so a release names the one it means by its digest, and RELEASE=1 refuses a tag alone (docs/howto/run-with-docker.md).
ARG BASE_IMAGE=python:3.13-slim-bookworm

# ---- build: the virtual environments; nothing of these stages but /opt/venv goes on ----
FROM ${BASE_IMAGE} AS build
ENV PATH=/opt/venv/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN python3 -m venv /opt/venv
COPY requirements-build.txt requirements.txt ./
# Wheels only, each checked against its hash: no compiler is needed, and nothing unexpected gets in.
# The image has Debian's FFmpeg, so the wheel that carries another one (170 MB) goes again.
RUN pip install --require-hashes --only-binary :all: -r requirements-build.txt -r requirements.txt \
 && pip uninstall --yes imageio-ffmpeg
COPY pyproject.toml README.md .env.example ./
COPY dsp ./dsp
COPY worker ./worker
COPY examples ./examples
RUN pip install --no-deps --no-build-isolation . \
 && pip uninstall --yes hatchling pathspec pluggy tomlkit trove-classifiers

FROM build AS build-worker
RUN pip uninstall --yes pip

FROM build AS build-demo
COPY requirements-demo.txt ./
RUN pip install --require-hashes --only-binary :all: -r requirements-demo.txt \
 && pip uninstall --yes hatchling editables pathspec pluggy tomlkit trove-classifiers pip

# ---- run: FFmpeg from Debian, a user without rights, an init that reaps ----
FROM ${BASE_IMAGE} AS base
ARG BASE_IMAGE
ARG RELEASE=""
RUN case "$RELEASE:$BASE_IMAGE" in :*|*@sha256:*) ;; *) echo "RELEASE: give BASE_IMAGE by its digest, NAME@sha256:…" >&2; exit 1 ;; esac
# tini: the worker's children start FFmpeg; when a child is killed, somebody must reap what it leaves behind.
# (-s: so it does where something of the host's is process 1.)
# curl: Heroku shows the release phase's log only when the image has it.
# FFmpeg's screen output draws in graphics drivers, 160 MB that no sound needs: they go again.
# chmod: what starts the worker or asks for its health has its keys in the environment. Of a program that its user may
# run and not read, Linux shows that user neither environment nor memory (prctl(2), PR_SET_DUMPABLE).
# Versions are Debian's own of the day: security fixes must get in with a rebuild.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ffmpeg tini curl ca-certificates \
 && rm -rf /usr/lib/*/dri /usr/lib/*/libLLVM* /usr/lib/*/libz3.so* /var/lib/apt/lists/* /var/cache/apt/* /var/log/* \
 && useradd --uid 10001 --user-group --home-dir /home/worker --create-home worker \
 && install -d -o worker -g worker /out \
 && chmod 0711 /usr/bin/tini /usr/bin/dash /usr/bin/curl
COPY container-entrypoint /usr/local/bin/container-entrypoint
ARG REVISION=""
LABEL org.opencontainers.image.title="mindscript-audio-worker" \
      org.opencontainers.image.description="Renders affirmation and meditation tracks from a Postgres queue" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE_IMAGE}"
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    STORAGE_DIR=/out CACHE_DIR=/tmp/mindscript-cache MALLOC_ARENA_MAX=2 MINDSCRIPT_ENV_FILE=
WORKDIR /home/worker
ENTRYPOINT ["/usr/bin/tini", "-s", "--", "/usr/local/bin/container-entrypoint"]
CMD ["work"]
# Docker and Compose ask; Heroku does not. Without PORT there is nothing to ask, and the answer is yes.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
  CMD ["/bin/sh", "-c", "test -z \"$PORT\" || curl --fail --silent --max-time 4 \"http://127.0.0.1:$PORT/health\" || exit 1"]

FROM base AS demo
COPY --from=build-demo /opt/venv /opt/venv
USER 10001:10001
CMD ["demo"]

# Last, so that a build without --target makes it.
FROM base AS worker
COPY --from=build-worker /opt/venv /opt/venv
ENV MINDSCRIPT_EMBEDDED=off
USER 10001:10001
