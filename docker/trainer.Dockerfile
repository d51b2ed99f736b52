# What trains: `osteon train` and what it needs, no Airflow.
#   docker build -f docker/trainer.Dockerfile -t osteon-trainer .
#   docker build -f docker/trainer.Dockerfile -t osteon-trainer:gpu --build-arg EXTRA=gpu .
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
ARG EXTRA=""
WORKDIR /src
RUN python -m venv /opt/uv && /opt/uv/bin/pip install --no-cache-dir --disable-pip-version-check uv==0.13.9
ENV PATH=/opt/uv/bin:$PATH VIRTUAL_ENV=/opt/osteon UV_NO_CACHE=1 UV_COMPILE_BYTECODE=1 UV_PYTHON_DOWNLOADS=never UV_SYSTEM_CERTS=1
RUN uv venv --python "$(command -v python3)" /opt/osteon
# what changes rarely comes first; the certificates are the system's, which may be those of a proxy
COPY requirements.txt requirements-gpu.txt pyproject.toml README.md LICENSE ./
RUN uv pip install -r pyproject.toml -c requirements${EXTRA:+-$EXTRA}.txt ${EXTRA:+--extra $EXTRA}
COPY include include
RUN uv pip install --no-deps .

FROM ${BASE}
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /work osteon && install -d -o osteon -g osteon /work
COPY --from=build /opt/osteon /opt/osteon
COPY config /etc/osteon
ENV PATH=/opt/osteon/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 TF_CPP_MIN_LOG_LEVEL=1 \
    HOME=/work OSTEON_STATE_DIR=/work/osteon OSTEON_RELABEL_FILE=/etc/osteon/relabel.yaml \
    OSTEON_QUALITY_FILE=/etc/osteon/quality.yaml OSTEON_SOURCES_FILE=/etc/osteon/sources.yaml
USER 10001:10001
WORKDIR /work
ENTRYPOINT ["osteon"]
CMD ["doctor", "--only", "code", "--only", "lake", "--only", "gpu"]
