# The program `psdb` in a small image; compose.yaml runs the roles with it.
FROM python:3.13-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml requirements.lock README.md LICENSE ./
COPY psdb_base psdb_base
COPY psdb_wire psdb_wire
COPY psdb_query psdb_query
COPY psdb_raft psdb_raft
COPY psdb_server psdb_server
COPY psdb_store psdb_store
COPY shardsvr shardsvr
COPY configsvr configsvr
COPY router router
COPY psdb psdb
RUN pip wheel --no-cache-dir --wheel-dir /wheels .

FROM python:3.13-slim-bookworm
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-index --find-links /wheels psdb \
 && useradd --system --uid 10001 --user-group --home-dir /data --no-create-home psdb \
 && mkdir -p /data/db && chown -R psdb:psdb /data
USER psdb
VOLUME /data/db
EXPOSE 27017 27018 27019
STOPSIGNAL SIGTERM
HEALTHCHECK CMD ["psdb", "ping", "127.0.0.1:27017"]
CMD ["psdb", "up", "--bind_ip_all", "--dbpath", "/data/db"]
