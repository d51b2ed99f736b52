# Airflow with Osteon's DAGs and plugins; the MLflow server of docker-compose.yaml, too.
#   docker build -f docker/airflow.Dockerfile -t osteon-airflow .
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
WORKDIR /src
RUN python -m venv /opt/uv && /opt/uv/bin/pip install --no-cache-dir --disable-pip-version-check uv==0.13.9
ENV PATH=/opt/uv/bin:$PATH VIRTUAL_ENV=/opt/osteon UV_NO_CACHE=1 UV_COMPILE_BYTECODE=1 UV_PYTHON_DOWNLOADS=never UV_SYSTEM_CERTS=1
RUN uv venv --python "$(command -v python3)" /opt/osteon
# what changes rarely comes first; the certificates are the system's, which may be those of a proxy
COPY requirements.txt pyproject.toml README.md LICENSE ./
RUN uv pip install -r pyproject.toml --extra airflow --extra production -c requirements.txt
COPY include include
RUN uv pip install --no-deps .

FROM ${BASE}
RUN useradd --uid 50000 --gid 0 --create-home --home-dir /home/airflow airflow \
    && install -d -o airflow -g 0 -m 775 /opt/airflow /opt/airflow/logs /opt/airflow/state
COPY --from=build /opt/osteon /opt/osteon
COPY config /etc/osteon
COPY deploy/training-pod.yaml /etc/osteon/training-pod.yaml
COPY docker/entrypoint.py /opt/osteon/bin/osteon-entrypoint
COPY plugins /opt/airflow/plugins
COPY dags /opt/airflow/dags
ENV PATH=/opt/osteon/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 TF_CPP_MIN_LOG_LEVEL=1 \
    AIRFLOW_HOME=/opt/airflow AIRFLOW__CORE__LOAD_EXAMPLES=false AIRFLOW__CORE__DAGS_FOLDER=/opt/airflow/dags \
    OSTEON_STATE_DIR=/opt/airflow/state OSTEON_RELABEL_FILE=/etc/osteon/relabel.yaml \
    OSTEON_QUALITY_FILE=/etc/osteon/quality.yaml OSTEON_SOURCES_FILE=/etc/osteon/sources.yaml \
    OSTEON_POD_TEMPLATE=/etc/osteon/training-pod.yaml
USER 50000:0
WORKDIR /opt/airflow
EXPOSE 8080
CMD ["airflow", "version"]
