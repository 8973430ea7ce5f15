// Answers /api, /apis and what lies below them, aggregated where the client asks for that.
import { createHash } from "node:crypto";
import type { PathAnswer, PathHandler } from "../rest/deps.ts";
import { CONTENT_TYPES, documentBytes } from "../rest/encode.ts";
import { failureEncoding, parseAccept } from "../rest/negotiate.ts";
import type { DiscoveryDocuments } from "./discovery-documents.ts";

const AGGREGATED_TYPE = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/** True where the first form that is served here is aggregated discovery v2. */
export function wantsAggregated(accept: string | undefined): boolean {
  for (const { type, params } of parseAccept(accept ?? "")) {
    if (type !== "application/json" && type !== "*/*") continue;
    if (params.get("as") === undefined) return false;
    if (params.get("as") === "APIGroupDiscoveryList" && params.get("v") === "v2") return true;
  }
  return false;
}

interface Ready {
  readonly body: Buffer;
  readonly etag: string;
}

function ready(document: object): Ready {
  const body = Buffer.from(JSON.stringify(document));
  return { body, etag: `"${createHash("sha256").update(body).digest("hex").toUpperCase()}"` };
}

/** GET /: what there is to ask for, `others` beside discovery's own. */
export function createRootPaths(documents: DiscoveryDocuments, others: readonly string[]): PathHandler {
  const paths = [...documents.paths, ...others].toSorted();
  const body = Buffer.from(JSON.stringify({ paths }, undefined, 2));
  return ({ path }) => (path === "/" ? { code: 200, contentType: "application/json", body } : undefined);
}

export function createDiscoveryPaths(documents: DiscoveryDocuments): PathHandler {
  const aggregated = new Map([
    ["/api", ready(documents.aggregated("/api"))],
    ["/apis", ready(documents.aggregated("/apis"))],
  ]);
  return ({ path, accept, ifNoneMatch }): PathAnswer | undefined => {
    const plain = path.length > 1 && path.endsWith("/") ? path.slice(0, -1) : path;
    const found = wantsAggregated(accept) ? aggregated.get(plain) : undefined;
    if (found !== undefined) {
      const headers = { ETag: found.etag, Vary: "Accept" };
      if (ifNoneMatch === found.etag) {
        return { code: 304, contentType: AGGREGATED_TYPE, body: Buffer.alloc(0), headers };
      }
      return { code: 200, contentType: AGGREGATED_TYPE, body: found.body, headers };
    }
    const document = documents.legacy(plain);
    if (document === undefined) return undefined;
    // These have no form in protobuf here: who accepts nothing else gets JSON, and is told so.
    const encoding = failureEncoding(accept) === "yaml" ? "yaml" : "json";
    const body = documentBytes(document, encoding, { pretty: false, protobuf: () => undefined });
    return { code: 200, contentType: CONTENT_TYPES[encoding], body, headers: { Vary: "Accept" } };
  };
}
