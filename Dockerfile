# syntax=docker/dockerfile:1
# dsocr in a container: `docker build -t dsocr .`; docs/deploy.md says how it is run.
#
# The torch that pip finds by itself runs on CPUs and on NVIDIA's GPUs, and is large. Another kind, such as a small one
# for CPUs only, comes from the index that PyTorch's installation page names for it: --build-arg TORCH_INDEX=ADDRESS

ARG PYTHON=3.11

FROM python:${PYTHON}-slim-bookworm AS build
RUN apt-get update \
 && apt-get install --yes --no-install-recommends g++ \
 && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/dsocr
ENV PATH=/opt/dsocr/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY constraints.txt ./
# torch first, so that no other package pulls a build of its own choosing
ARG TORCH_INDEX=
RUN pip install --constraint constraints.txt ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} torch
COPY LICENSE README.md pyproject.toml setup.py ./
COPY dsocr ./dsocr
ARG EXTRAS=serve,pdf,heic
RUN pip install --constraint constraints.txt ".[$EXTRAS]"
# The core for every instruction set of this kind of CPU; the best that a machine can run is loaded there.
WORKDIR /
RUN python -m dsocr.kernels.build

FROM python:${PYTHON}-slim-bookworm
RUN apt-get update \
 && apt-get install --yes --no-install-recommends libgomp1 \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/dsocr /opt/dsocr
# Checkpoints and read pages lie in /var/lib/dsocr: give it a volume, and they outlive the container.
RUN useradd --system --uid 10001 --home-dir /var/lib/dsocr --create-home --shell /usr/sbin/nologin dsocr
ENV PATH=/opt/dsocr/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HF_HOME=/var/lib/dsocr/huggingface \
    DSOCR_CACHE=/var/lib/dsocr/pages
USER dsocr
WORKDIR /var/lib/dsocr
VOLUME /var/lib/dsocr
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=180s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/ready', timeout=4)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["dsocr"]
# Other machines reach this address: publish it on 127.0.0.1 only, or set DSOCR_API_KEY.
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
