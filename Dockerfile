# One image for every process of Coxswain; the command says which. It holds Node and the bundles, and runs without root.
FROM node:24-bookworm-slim AS build
WORKDIR /src
COPY . .
RUN sh docker/build.sh

FROM node:24-bookworm-slim
WORKDIR /app
COPY --from=build /src/dist/ /app/dist/
COPY docker/healthcheck.mjs /app/healthcheck.mjs
RUN mkdir -p /pki /var/cache/coxswain && chown node:node /pki /var/cache/coxswain
ENV NODE_COMPILE_CACHE=/var/cache/coxswain
USER node
ENTRYPOINT ["node", "--enable-source-maps"]
CMD ["dist/api-server.mjs", "--help"]
