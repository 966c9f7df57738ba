# The production image: Python, the serving packages, one model bundle, the service. No PyTorch, no shell, no pip.
#
#   docker build .                             the official weights, built and checked here
#   docker build --build-arg WEIGHTS=lite0 .   another row of the table of networks (service/model/networks.py)
#   docker build --build-arg MODEL=local .     the bundle in models/resnet18 (own classes; no network to the weights)
#
# What the bundle is served in, INT8 or FP32, is what its accuracy gate allowed, or PRECISION; the image carries the
# engines of that and no other.
#
# All stages start from one image, so that what is compiled for it runs on it. `make pin` pins it by its digest, and
# brings in Debian's patches with a newer one.
ARG BASE=python:3.11-slim-bookworm
ARG MODEL=built

# ---- tools: a pip of our own, which stays out of everything that is shipped
FROM ${BASE} AS tools
# A build behind a company's proxy passes its certificates: --secret id=ca,src=FILE.
RUN --mount=type=secret,id=ca \
    if [ -f /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi; \
    python3 -m venv /tools
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build

# ---- packages: what the server imports, with hashes, trimmed
FROM tools AS packages
COPY requirements/serve.txt requirements/image.txt ./
RUN --mount=type=secret,id=ca \
    if [ -f /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi; \
    /tools/bin/pip install --no-deps --require-hashes --no-compile --target /stage/app/packages -r serve.txt \
    && /tools/bin/pip install --no-deps --require-hashes -r image.txt
COPY container/trim_packages.py ./
RUN python3 trim_packages.py /stage/app/packages

# ---- modeling: PyTorch, which builds the bundle and stays behind
FROM tools AS requirements
# Wheels that no index holds for this machine may lie in wheels/. The pattern, because a name must exist.
COPY requirements/*.txt wheel[s]/*.whl ./

FROM requirements AS modeling
RUN --mount=type=secret,id=ca \
    if [ -f /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi; export PIP_FIND_LINKS=/build; \
    /tools/bin/pip install --no-deps --require-hashes -r serve.txt \
    && /tools/bin/pip install --no-deps --require-hashes -r modeling.txt \
    && /tools/bin/pip install --retries 0 --timeout 15 -r torch.txt

# The same service with all of that, for comparison only (loadtest/bench/image_sizes.py).
FROM modeling AS plain
COPY service service

# Ends the build at once where these are no weights that an image may hold.
FROM tools AS weights
COPY service/*.py service/
COPY service/model/*.py service/model/
COPY container/check_weights.py ./
ARG WEIGHTS=official
ARG ARCH
RUN python3 check_weights.py "${WEIGHTS}" "${ARCH}" > options

# Only what builds a model: a change of what serves it leaves the model in the cache.
FROM modeling AS model-built
COPY service/*.py service/
COPY service/model service/model
COPY service/build service/build
COPY --from=weights /build/options ./
# Never substituted: without the weights the build stops. INT8 that fails its gate is not packed, FP32 is.
ARG PRECISION=auto
RUN --mount=type=secret,id=ca \
    if [ -f /run/secrets/ca ]; then export SSL_CERT_FILE=/run/secrets/ca PIP_CERT=/run/secrets/ca; fi; \
    /tools/bin/python -m service build $(cat options) --output /bundle \
    && /tools/bin/python -m service pack /bundle /stage/app/model --precision ${PRECISION}

FROM packages AS model-local
COPY service/*.py service/
COPY service/model service/model
ARG BUNDLE=models/resnet18
COPY ${BUNDLE} /bundle
ARG PRECISION=auto
RUN PYTHONPATH=/stage/app/packages python3 -m service pack /bundle /stage/app/model --precision ${PRECISION} \
    && rm -r /stage/app/packages

FROM model-${MODEL} AS model
COPY container/fix_times.py ./
RUN python3 fix_times.py /stage

# ---- served: the packages without the engines that this bundle is never served with
FROM packages AS served
COPY service/*.py service/
COPY service/model service/model
COPY container/trim_engines.py container/sbom.py container/fix_times.py ./
COPY --from=model /stage/app/model/manifest.json ./
RUN python3 trim_engines.py /stage/app/packages manifest.json \
    && /tools/bin/python sbom.py /stage/app/packages /var/lib/dpkg/status /etc/os-release \
       > /stage/app/sbom.cdx.json \
    && python3 fix_times.py /stage

# ---- code
FROM tools AS code
COPY service/*.py /stage/app/service/
COPY service/model /stage/app/service/model
COPY service/serve /stage/app/service/serve
COPY container/healthcheck.py /stage/app/
COPY container/fix_times.py ./
RUN python3 fix_times.py /stage

# ---- root: the base without what an intruder would use
FROM ${BASE} AS stripped
COPY container/strip_root.py /tmp/
RUN --mount=type=bind,from=packages,source=/stage/app/packages,target=/mnt \
    BUILDING_IMAGE=1 python3 /tmp/strip_root.py /mnt

# The engine touches /etc after every command, so the time stamps are set on a copy.
FROM tools AS root
COPY --from=stripped / /stage/
COPY container/fix_times.py ./
RUN python3 fix_times.py /stage

# ---- the image
FROM scratch
COPY --from=root /stage /
COPY --from=served /stage /
COPY --from=model /stage /
COPY --from=code /stage /
WORKDIR /app
ENV PATH=/usr/local/bin:/usr/bin \
    PYTHONPATH=/app/packages:/app \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0 \
    PORT=8080 \
    MODEL_DIR=/app/model
ARG COMMIT=unknown
ARG VERSION=0.1.0
ENV COMMIT=${COMMIT}
LABEL org.opencontainers.image.title="own-cloud-classifier" \
      org.opencontainers.image.description="Image classification behind Flask, without PyTorch" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${COMMIT}"
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["python3", "-S", "/app/healthcheck.py"]
ENTRYPOINT ["python3", "-m", "service"]
CMD ["serve"]
