# One image for every process of Coxswain; the command says which. It holds Node and the bundles, and runs without root.
FROM node:24-bookworm-slim AS build
WORKDIR /src
COPY . .
RUN sh docker/build.sh

FROM node:24-bookworm-slim AS coxswain
WORKDIR /app
COPY --from=build /src/dist/ /app/dist/
COPY docker/healthcheck.mjs /app/healthcheck.mjs
RUN mkdir -p /pki /var/cache/coxswain && chown node:node /pki /var/cache/coxswain
ENV NODE_COMPILE_CACHE=/var/cache/coxswain
USER node
ENTRYPOINT ["node"]
CMD ["dist/api-server.mjs", "--help"]

# A node with real containers (profile `nodes`): the same, and Debian's containerd, runc, network plugins and nftables.
FROM node:24-bookworm-slim AS node
RUN apt-get update \
  && apt-get install --yes --no-install-recommends \
    busybox-static conntrack containerd containernetworking-plugins iproute2 iptables nftables runc \
  && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY --from=coxswain /app/ /app/
COPY docker/node/ /app/node/
RUN node dist/compose-node.mjs --dir=/opt/coxswain
ENTRYPOINT ["node"]
