#!/usr/bin/env bash
# Writes the pinned requirement files from pyproject.toml. Needs pip-tools; run it as `make requirements`.
set -euo pipefail
cd "$(dirname "$0")/.."
export CUSTOM_COMPILE_COMMAND="make requirements"
# PyTorch has its own file, because its CPU wheels come from its own index; openvino-telemetry is left out on purpose.
flags=(--quiet --generate-hashes --strip-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host
       --unsafe-package openvino-telemetry --unsafe-package torch --unsafe-package torchvision)
# ncnn names requests, tqdm and portalocker for its model zoo, which nothing here imports; requests names the others.
serve=("${flags[@]}")
for package in requests tqdm portalocker certifi charset-normalizer idna urllib3; do
  serve+=(--unsafe-package "$package")
done
pip-compile "${serve[@]}" "$@" --extra serve -o requirements/serve.txt pyproject.toml
pip-compile "${flags[@]}" "$@" --extra image -o requirements/image.txt pyproject.toml
# Before modeling.txt: Pulumi wants an older protobuf than onnx does, and both are in a developer's environment.
pip-compile "${flags[@]}" "$@" -c requirements/serve.txt --extra infra -o requirements/infra.txt pyproject.toml
pip-compile "${flags[@]}" "$@" -c requirements/serve.txt -c requirements/infra.txt --extra modeling \
  -o requirements/modeling.txt pyproject.toml
pip-compile "${flags[@]}" "$@" -c requirements/serve.txt -c requirements/modeling.txt --extra loadtest \
  -o requirements/loadtest.txt pyproject.toml
pip-compile "${flags[@]}" "$@" -c requirements/serve.txt -c requirements/image.txt -c requirements/infra.txt \
  --extra pipeline \
  -o requirements/pipeline.txt pyproject.toml
pip-compile "${flags[@]}" "$@" -c requirements/serve.txt -c requirements/modeling.txt -c requirements/image.txt \
  -c requirements/infra.txt -c requirements/loadtest.txt -c requirements/pipeline.txt --extra dev \
  -o requirements/dev.txt pyproject.toml
pip-compile "${flags[@]}" "$@" -c requirements/serve.txt -c requirements/modeling.txt -c requirements/infra.txt \
  -c requirements/loadtest.txt -c requirements/pipeline.txt -c requirements/dev.txt --extra timm \
  -o requirements/timm.txt pyproject.toml
# pip-compile warns of the packages that are left out on purpose.
for file in requirements/serve.txt requirements/modeling.txt requirements/timm.txt; do
  sed '/^# WARNING/,$d' $file >$file.new
  mv $file.new $file
done
