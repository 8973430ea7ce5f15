// Answers /openapi/v3, /openapi/v3/… and /openapi/v2 as JSON, the last also as protobuf, which is all that kubectl asks for.
// Guarantees: who has a document is not sent it again; one of v3 that is asked for by its hash never changes, so that clients may
// keep it, and one by an older hash leads to the present one.
import { createHash } from "node:crypto";
import { newNotAcceptable } from "@coxswain/apimachinery";
import type { PathAnswer, PathHandler, PathRequest } from "../rest/deps.ts";
import { parseAccept } from "../rest/negotiate.ts";
import type { OpenApiDocuments } from "./openapi-documents.ts";
import { encodeV2Document } from "./openapi-v2-protobuf.ts";

const JSON_TYPE = "application/json";

/** Media types of gnostic's openapi.v2.Document: the older name has an @, which the RFC does not allow. */
const V2_PROTOBUF_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
const V2_PROTOBUF_TYPES = [V2_PROTOBUF_TYPE, "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"];

function wantsV2Protobuf(accept: string | undefined): boolean {
  return parseAccept(accept ?? "*/*").some(({ type }) => V2_PROTOBUF_TYPES.includes(type));
}

function checkAccept(accept: string | undefined): void {
  const clauses = parseAccept(accept ?? "*/*");
  if (!clauses.some(({ type }) => type === JSON_TYPE || type === "*/*" || type === "application/*")) {
    throw newNotAcceptable([JSON_TYPE]);
  }
}

/** How long a document that is asked for by its hash may be kept, as upstream says it: a year, ms. */
const KEPT_MS = 365 * 24 * 60 * 60 * 1000;

interface Document {
  readonly body: Buffer;
  readonly hash: string;
}

function hashed(body: Buffer): Document {
  return { body, hash: createHash("sha512").update(body).digest("hex").toUpperCase() };
}

/** The document, or 304 where the client has it. */
function answer(
  { body, hash }: Document,
  { ifNoneMatch }: PathRequest,
  contentType: string,
  more: Readonly<Record<string, string>> = {},
): PathAnswer {
  const etag = `"${hash}"`;
  const headers = { ETag: etag, Vary: "Accept", ...more };
  const known = (ifNoneMatch ?? "").split(",").map((each) => each.trim().replace(/^W\//, ""));
  if (known.includes(etag) || known.includes("*")) return { code: 304, contentType, body: Buffer.alloc(0), headers };
  return { code: 200, contentType, body, headers };
}

/** Where documents lie. */
export function openApiPaths(documents: OpenApiDocuments): string[] {
  return ["/openapi/v2", "/openapi/v3", ...documents.groupPaths.map((one) => `/openapi/v3/${one}`)];
}

export function createOpenApiPaths(documents: OpenApiDocuments, nowMs: () => number): PathHandler {
  let v2: Document | undefined;
  let v2Protobuf: Document | undefined;
  let index: Document | undefined;
  return (request): PathAnswer | undefined => {
    const { path, query, accept } = request;
    const plain = path.endsWith("/") ? path.slice(0, -1) : path;
    if (!plain.startsWith("/openapi/")) return undefined;
    if (plain === "/openapi/v2" && wantsV2Protobuf(accept)) {
      v2Protobuf ??= hashed(encodeV2Document(documents.v2()));
      return answer(v2Protobuf, request, V2_PROTOBUF_TYPE);
    }
    if (plain === "/openapi/v2") {
      checkAccept(accept);
      return answer((v2 ??= hashed(Buffer.from(JSON.stringify(documents.v2())))), request, JSON_TYPE);
    }
    checkAccept(accept);
    if (plain === "/openapi/v3") {
      return answer((index ??= hashed(Buffer.from(JSON.stringify(documents.index())))), request, JSON_TYPE);
    }
    const found = plain.startsWith("/openapi/v3/") ? documents.v3(plain.slice("/openapi/v3/".length)) : undefined;
    if (found === undefined) return undefined;
    const hash = query.get("hash");
    if (hash === null || hash === "") return answer(found, request, JSON_TYPE);
    if (hash !== found.hash) {
      const headers = { Location: `${plain}?hash=${found.hash}` };
      return { code: 301, contentType: JSON_TYPE, body: Buffer.alloc(0), headers };
    }
    const expires = new Date(nowMs() + KEPT_MS).toUTCString();
    return answer(found, request, JSON_TYPE, { "Cache-Control": "public, immutable", Expires: expires });
  };
}
