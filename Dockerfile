# Two targets: `worker` (the polling worker, slim) and `demo` (adds the local voice and an embedded Postgres).
# BASE_IMAGE: a Debian trixie or newer with Python 3.11+ and venv as `python3`. A tag may become another image at any
# time, so a release names the one it means by its digest, and RELEASE=1 refuses a tag alone (docs/howto/run-with-docker.md).
ARG BASE_IMAGE=python:3.13-slim-trixie

# ---- ffmpeg: from Debian's source, so that a rebuild gets Debian's security fixes, and of what is used alone ----
FROM ${BASE_IMAGE} AS build-ffmpeg
WORKDIR /src
# hadolint ignore=DL3008
RUN set -eux; \
    sed -i 's/^Types: deb$/Types: deb deb-src/' /etc/apt/sources.list.d/*.sources; \
    apt-get update; \
    apt-get install --yes --no-install-recommends dpkg-dev gcc libc6-dev make nasm xz-utils zlib1g-dev; \
    apt-get source ffmpeg lame; \
    mkdir -p /built/usr/local/bin /built/usr/local/lib; \
    for name in ffmpeg lame; do \
      mv "$name"-*/ "$name"; \
      about=/built/usr/local/share/doc/$name; \
      mkdir -p "$about"; \
      cp "$name/debian/copyright" "$about"; \
      version=$(dpkg-parsechangelog --file "$name/debian/changelog" --show-field Version); \
      echo "${version#*:}" >"$about/version"; \
    done
# LAME twice, of one configuration: the loader takes the second where the CPU has AVX2 (ld.so(8), glibc-hwcaps), and it
# encodes in less time. The coded bytes differ from those of the first, which are those of Debian's; the coding noise
# hardly does (benchmarks/lame_builds.py). The compiler's options keep the order of sums; they leave out what C asks for errno, floating-point
# traps and the sign of 0, and let functions of several files become one. MIN_ARCH_SSE: LAME's own FFT for SSE.
WORKDIR /src/lame
RUN set -eux; \
    flags="$(dpkg-buildflags --get CFLAGS) -O3"; \
    ./configure --disable-static --disable-frontend --disable-decoder --disable-analyzer-hooks CFLAGS="$flags" \
      CPPFLAGS="$(dpkg-buildflags --get CPPFLAGS)" LDFLAGS="$(dpkg-buildflags --get LDFLAGS)" ACLOCAL=: AUTOCONF=: AUTOHEADER=: AUTOMAKE=:; \
    make --jobs="$(nproc)"; \
    make install; \
    strip --strip-unneeded -o /built/usr/local/lib/libmp3lame.so.0 /usr/local/lib/libmp3lame.so.0; \
    if [ "$(dpkg --print-architecture)" = amd64 ]; then \
      make clean; \
      faster="-march=x86-64-v3 -fno-math-errno -fno-trapping-math -fno-signed-zeros -flto -fno-semantic-interposition"; \
      make --jobs="$(nproc)" CFLAGS="$flags $faster -DMIN_ARCH_SSE"; \
      second=/built/usr/local/lib/glibc-hwcaps/x86-64-v3; \
      mkdir -p "$second"; \
      strip --strip-unneeded -o "$second/libmp3lame.so.0" libmp3lame/.libs/libmp3lame.so.0; \
    fi
COPY worker/ffmpeg/components.py /src/
WORKDIR /src/ffmpeg
RUN set -eux; \
    version=$(cat /built/usr/local/share/doc/ffmpeg/version); \
    python3 /src/components.py >/src/options; \
    xargs ./configure --toolchain=hardened --extra-version="${version##*-}" </src/options; \
    make --jobs="$(nproc)" ffmpeg; \
    strip -o /built/usr/local/bin/ffmpeg ffmpeg; \
    ldconfig; \
    /built/usr/local/bin/ffmpeg -version

# ---- build: the virtual environments; nothing of these stages but /opt/venv goes on ----
FROM ${BASE_IMAGE} AS build
ENV PATH=/opt/venv/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1
WORKDIR /src
RUN python3 -m venv /opt/venv
COPY requirements-build.txt requirements.txt ./
# Wheels only, each checked against its hash: no compiler is needed, and nothing unexpected gets in.
RUN pip install --require-hashes --only-binary :all: -r requirements-build.txt -r requirements.txt
COPY pyproject.toml README.md .env.example ./
COPY dsp ./dsp
COPY mindscript ./mindscript
COPY worker ./worker
COPY examples ./examples
RUN pip install --no-deps --no-build-isolation . \
 && pip uninstall --yes hatchling pathspec pluggy tomlkit trove-classifiers
# What no command of the image imports goes again (tests/integration/test_image.py renders without it): the wheel with
# another FFmpeg; SciPy, which tests use; of the Supabase SDK all but the clients of tables and storage.
RUN pip uninstall --yes imageio-ffmpeg scipy supabase supabase-auth supabase-functions realtime pyjwt cryptography
COPY tools/compile_imported.py /opt/venv/

FROM build AS build-worker
RUN pip uninstall --yes pip \
 && find /opt/venv -type d '(' -name test -o -name tests -o -name locale ')' -prune -exec rm -r {} +

FROM build AS build-demo
COPY requirements-demo.txt ./
RUN pip install --require-hashes --only-binary :all: -r requirements-demo.txt \
 && pip uninstall --yes hatchling editables pathspec pluggy tomlkit trove-classifiers pip \
 && find /opt/venv -type d '(' -name test -o -name tests -o -name locale ')' -prune -exec rm -r {} +

# ---- run: a user without rights, an init that reaps ----
FROM ${BASE_IMAGE} AS base
ARG BASE_IMAGE
ARG RELEASE=""
RUN case "$RELEASE:$BASE_IMAGE" in :*|*@sha256:*) ;; *) echo "RELEASE: give BASE_IMAGE by its digest, NAME@sha256:…" >&2; exit 1 ;; esac
# tini: the worker's children start FFmpeg; when a child is killed, somebody must reap what it leaves behind.
# (-s: so it does where something of the host's is process 1.)
# curl: Heroku shows the release phase's log only when the image has it.
# chmod: what starts the worker or asks for its health has its keys in the environment. Of a program that its user may
# run and not read, Linux shows that user neither environment nor memory (prctl(2), PR_SET_DUMPABLE).
# Versions are Debian's own of the day: security fixes must get in with a rebuild.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends tini curl ca-certificates \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/* \
 && useradd --uid 10001 --user-group --home-dir /home/worker --create-home worker \
 && install -d -o worker -g worker /out \
 && chmod 0711 /usr/bin/tini /usr/bin/dash /usr/bin/curl
COPY --from=build-ffmpeg /built /
RUN ldconfig
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
# The program's user can write no byte code here, so what the program imports has it from the start.
RUN PYTHONDONTWRITEBYTECODE="" python3 /opt/venv/compile_imported.py && rm /opt/venv/compile_imported.py
USER 10001:10001
CMD ["demo"]

# Last, so that a build without --target makes it.
FROM base AS worker
COPY --from=build-worker /opt/venv /opt/venv
# The program's user can write no byte code here, so what the program imports has it from the start.
RUN PYTHONDONTWRITEBYTECODE="" python3 /opt/venv/compile_imported.py && rm /opt/venv/compile_imported.py
ENV MINDSCRIPT_EMBEDDED=off
USER 10001:10001
