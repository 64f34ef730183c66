# One image for every service of docker-compose.yml, with or without a GPU: torch brings its own CUDA libraries.
FROM python:3.11-slim-bookworm AS requirements

COPY pyproject.toml ./
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" >/requirements.txt


FROM python:3.11-slim-bookworm AS dependencies

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
# Dependencies first, and only their list: a change of our code, or of a linter's settings, does not fetch torch again.
COPY --from=requirements /requirements.txt ./
COPY constraints.txt ./
RUN --mount=type=cache,target=/root/.cache/pip pip install -c constraints.txt -r requirements.txt


FROM dependencies

# Waits for orphans, as nothing else does where the program is a container's first process.
RUN apt-get update && apt-get install --yes --no-install-recommends tini && rm -rf /var/lib/apt/lists/*

# Bind mounts keep the owner they have on the host: build with your own ids when the data are private.
ARG SEARCH_UID=1000
ARG SEARCH_GID=1000
RUN groupadd --non-unique --gid "$SEARCH_GID" search \
    && useradd --non-unique --uid "$SEARCH_UID" --gid "$SEARCH_GID" --create-home search \
    && install -d -o "$SEARCH_UID" -g "$SEARCH_GID" /artifacts /cache /data /out

COPY pyproject.toml README.md LICENSE ./
COPY objectives ./objectives
COPY spaces ./spaces
COPY search ./search
RUN --mount=type=cache,target=/root/.cache/pip pip install -c constraints.txt .
COPY --chmod=755 docker/export-to-out.sh /usr/local/bin/export-to-out

# albumentations would ask the network for a newer version at import.
ENV NO_ALBUMENTATIONS_UPDATE=1 \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    PYTHONUNBUFFERED=1 \
    SEARCH_ARTIFACTS=/artifacts \
    SEARCH_CACHE=/cache
WORKDIR /home/search
# By number, since Kubernetes' runAsNonRoot knows no names.
USER $SEARCH_UID:$SEARCH_GID
ENTRYPOINT ["tini", "--", "search"]
CMD ["--help"]
