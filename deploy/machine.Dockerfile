# One machine: the suite with the locked versions. The demo is what it does by itself, and its test. In the root of the checkout:
#
#   docker build -f deploy/machine.Dockerfile -t codyra-suite .
#   docker run --rm --shm-size 2g codyra-suite
#
# Any other command takes the place of the demo, with results in the mounted folder:
#
#   docker run --rm --shm-size 2g --user "$(id -u):$(id -g)" -v "$PWD:/work" codyra-suite run mini-xtail --method lora
#
# What COPY may see is listed in .dockerignore: the packages and their versions, nothing else of the folder.
FROM python:3.11-slim
WORKDIR /opt/codyra-suite
COPY requirements.lock .
RUN pip install --no-cache-dir -r requirements.lock
COPY . .
RUN pip install --no-cache-dir --no-deps .
ENV HOME=/work
WORKDIR /work
ENTRYPOINT ["codyra-suite"]
CMD ["demo"]
