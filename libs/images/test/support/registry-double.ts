// A registry on loopback, as the OCI distribution API describes one: manifests and blobs by digest, tags, tokens where it is
// told to ask for one, and faults where it is told to have them.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { readBlob, type ImageArchive } from "../../src/archive-reader.ts";
import { CONFIG_TYPE, INDEX_TYPE, LAYER_TYPE, MANIFEST_TYPE, sha256 } from "../../src/oci.ts";

export interface RegistryDouble {
  /** host:port. */
  readonly host: string;
  /** Paths that were asked for, in order. */
  readonly asked: string[];
  /** Puts an image of one layer there; returns the digests of its manifest, config and layer. */
  push(repository: string, tag: string, layer: Buffer): Pushed;
  /** Puts a built image there. */
  pushArchive(repository: string, tag: string, archive: ImageArchive): Promise<void>;
  /** Answers the next requests for paths with `part` so; undefined serves as usual. */
  fault(part: string, faults: readonly Fault[]): void;
  /** From now on asks for this name and password, through a token, which comes with `more` bytes that nobody wants. */
  protect(username: string, password: string, more?: number): void;
  readonly blobs: Map<string, Buffer>;
  close(): Promise<void>;
}

export interface Pushed {
  readonly manifest: string;
  readonly config: string;
  readonly layer: string;
}

export type Fault = number | "cut";

const TOKEN = "t0ken";

export async function startRegistry(): Promise<RegistryDouble> {
  const blobs = new Map<string, Buffer>();
  const types = new Map<string, string>();
  const tags = new Map<string, string>();
  const faults: { part: string; left: Fault[] }[] = [];
  const asked: string[] = [];
  let secret: string | undefined;
  let told = JSON.stringify({ token: TOKEN });
  const put = (bytes: Buffer, type: string): { mediaType: string; digest: string; size: number } => {
    const digest = sha256(bytes);
    blobs.set(digest, bytes);
    types.set(digest, type);
    return { mediaType: type, digest, size: bytes.length };
  };

  function find(url: string): string | undefined {
    const [, repository, kind, what = ""] = /^\/v2\/(.+)\/(manifests|blobs)\/(.+)$/.exec(url) ?? [];
    return kind === "manifests" ? (tags.get(`${repository}:${what}`) ?? what) : what;
  }

  function allowed(request: IncomingMessage, response: ServerResponse): boolean {
    if (secret === undefined || request.headers.authorization === `Bearer ${TOKEN}`) return true;
    const realm = `http://${request.headers.host}/token`;
    const challenge = `Bearer realm="${realm}",service="double",scope="repository:x:pull"`;
    response.writeHead(401, { "www-authenticate": challenge }).end();
    return false;
  }

  function serve(request: IncomingMessage, response: ServerResponse): void {
    const url = request.url ?? "/";
    asked.push(url);
    if (url.startsWith("/token")) {
      const right = request.headers.authorization === `Basic ${secret}`;
      response.writeHead(right ? 200 : 401).end(right ? told : "");
      return;
    }
    if (!allowed(request, response)) return;
    const digest = find(url) ?? "";
    const bytes = blobs.get(digest);
    const fault = faults.find(({ part, left }) => url.includes(part) && left.length > 0)?.left.shift();
    if (typeof fault === "number") response.writeHead(fault).end();
    else if (bytes === undefined) response.writeHead(404).end();
    else if (fault === "cut") {
      response.writeHead(200, { "content-length": bytes.length });
      response.write(bytes.subarray(0, bytes.length / 2), () => response.destroy());
    } else response.writeHead(200, { "content-type": types.get(digest) }).end(bytes);
  }

  const server = createServer(serve);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    blobs,
    push(repository, tag, bytes) {
      const layer = put(bytes, LAYER_TYPE);
      const rootfs = { type: "layers", diff_ids: [layer.digest] };
      const config = put(Buffer.from(JSON.stringify({ architecture: "amd64", os: "linux", rootfs })), CONFIG_TYPE);
      const body = { schemaVersion: 2, mediaType: MANIFEST_TYPE, config, layers: [layer] };
      const manifest = put(Buffer.from(JSON.stringify(body)), MANIFEST_TYPE);
      const platform = { architecture: "amd64", os: "linux" };
      const other = {
        ...manifest,
        digest: sha256(Buffer.from("arm")),
        platform: { architecture: "arm64", os: "linux" },
      };
      const list = { schemaVersion: 2, mediaType: INDEX_TYPE, manifests: [other, { ...manifest, platform }] };
      tags.set(`${repository}:${tag}`, put(Buffer.from(JSON.stringify(list)), INDEX_TYPE).digest);
      tags.set(`${repository}:${tag}-plain`, manifest.digest);
      return { manifest: manifest.digest, config: config.digest, layer: layer.digest };
    },
    async pushArchive(repository, tag, archive) {
      for (const [digest, source] of archive.blobs) {
        blobs.set(digest, await readBlob(source));
        types.set(digest, "application/octet-stream");
      }
      const [top] = archive.index.manifests;
      if (top === undefined) throw new Error("the archive holds no image");
      types.set(top.digest, top.mediaType);
      tags.set(`${repository}:${tag}`, top.digest);
    },
    fault: (part, left) => void faults.push({ part, left: [...left] }),
    protect(username, password, more = 0) {
      secret = Buffer.from(`${username}:${password}`).toString("base64");
      told = JSON.stringify({ token: TOKEN, more: "x".repeat(more) });
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
