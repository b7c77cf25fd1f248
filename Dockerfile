# One image for every stage, the collector and the operator:
#
#   docker build -t ringline:dev .
#   docker run --rm ringline:dev ringline --help
#
# The C part is built in the first stage; the second has no compiler and no package manager's caches.
# Where Debian's packages cannot be reached, give a folder in the build context with a wheel of ringline:
#
#   pip wheel --no-deps --wheel-dir dist .  &&  docker build --build-arg WHEEL=dist -t ringline:dev .
FROM python:3.11-slim-bookworm AS build
ARG WHEEL=
ARG EXTRAS="operator postgres redis valuation"
RUN test -n "$WHEEL" || { apt-get update -qq \
    && apt-get install -qq -y --no-install-recommends gcc libc6-dev >/dev/null \
    && rm -rf /var/lib/apt/lists/*; }
RUN python3 -m venv /opt/build && /opt/build/bin/python -m pip install --quiet --no-cache-dir "setuptools>=77" wheel \
    && python3 -m venv /opt/ringline
WORKDIR /source
# What it depends on, before what changes with every edit.
COPY pyproject.toml .
RUN python3 -c 'import os, tomllib; p = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
more = [one for extra in os.environ["EXTRAS"].split() for one in p["optional-dependencies"][extra]]; \
print(*p["dependencies"], *more, sep="\n")' > requirements.txt \
    && /opt/ringline/bin/python -m pip install --quiet --no-cache-dir --no-compile -r requirements.txt
COPY . .
RUN if [ -z "$WHEEL" ]; then \
      /opt/build/bin/python -m pip wheel --quiet --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheel .; \
    else mkdir /wheel && cp "$WHEEL"/ringline-*.whl /wheel/; fi \
    && /opt/ringline/bin/python -m pip install --quiet --no-cache-dir --no-compile --no-deps /wheel/ringline-*.whl \
    && (cd / && /opt/ringline/bin/python -c "from pipeline.backtest import _rows; from pipeline.stages.gateway import _candle, _request; from pipeline.telemetry import _fast, _look") \
    && /opt/ringline/bin/python -m pip uninstall --quiet --yes pip setuptools \
    && /opt/build/bin/python -m compileall -q /opt/ringline/lib

FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="ringline" \
      org.opencontainers.image.description="A signal-to-fill trading pipeline that measures itself and scales itself" \
      org.opencontainers.image.licenses="Apache-2.0"
# Nothing in it installs packages: neither the base's pip nor what could bring one back.
RUN python3 -c 'import re, shutil, sys; from pathlib import Path; \
names = re.compile(r"(pip|setuptools|wheel|pkg_resources|ensurepip|_distutils_hack|distutils-precedence)([-.\d].*)?"); \
roots = [*map(Path, sys.path[1:]), *map(Path, ("/usr/local/bin", "/usr/bin", "/usr/lib/python3/dist-packages", "/usr/local/share/python-wheels"))]; \
found = [one for root in roots if root.is_dir() for one in root.iterdir() if names.fullmatch(one.name)]; \
[shutil.rmtree(one) if one.is_dir() and not one.is_symlink() else one.unlink() for one in found if one.exists() or one.is_symlink()]'
COPY --from=build /opt/ringline /opt/ringline
ENV PATH=/opt/ringline/bin:/usr/local/bin:/usr/bin:/bin \
    LOGNAME=ringline \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
# A number, so that `runAsNonRoot` can be checked without the image's user table.
USER 10001:10001
WORKDIR /tmp
CMD ["ringline", "--help"]
