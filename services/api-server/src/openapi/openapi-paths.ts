// Answers /openapi/v3, /openapi/v3/… and /openapi/v2 as JSON, the last also as protobuf, which is all that kubectl asks for. A v3 document asked for by its hash never changes, so clients
// may keep it for good.
import { newNotAcceptable } from "@coxswain/apimachinery";
import type { PathAnswer, PathHandler } from "../rest/deps.ts";
import { parseAccept } from "../rest/negotiate.ts";
import type { OpenApiDocuments } from "./openapi-documents.ts";
import { emptyV2Document } from "./openapi-v2-protobuf.ts";

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

export function createOpenApiPaths(documents: OpenApiDocuments): PathHandler {
  let v2: Buffer | undefined;
  return ({ path, query, accept, ifNoneMatch }): PathAnswer | undefined => {
    const plain = path.endsWith("/") ? path.slice(0, -1) : path;
    if (!plain.startsWith("/openapi/")) return undefined;
    if (plain === "/openapi/v2" && wantsV2Protobuf(accept)) {
      return { code: 200, contentType: V2_PROTOBUF_TYPE, body: emptyV2Document() };
    }
    if (plain === "/openapi/v2") {
      checkAccept(accept);
      v2 ??= documents.v2();
      return { code: 200, contentType: JSON_TYPE, body: v2 };
    }
    checkAccept(accept);
    if (plain === "/openapi/v3") {
      return { code: 200, contentType: JSON_TYPE, body: Buffer.from(JSON.stringify(documents.index())) };
    }
    const found = plain.startsWith("/openapi/v3/") ? documents.v3(plain.slice("/openapi/v3/".length)) : undefined;
    if (found === undefined) return undefined;
    const etag = `"${found.hash}"`;
    const cached: Record<string, string> =
      query.get("hash") === found.hash ? { "Cache-Control": "public, immutable" } : {};
    const headers = { ETag: etag, Vary: "Accept", ...cached };
    if (ifNoneMatch === etag) return { code: 304, contentType: JSON_TYPE, body: Buffer.alloc(0), headers };
    return { code: 200, contentType: JSON_TYPE, body: found.body, headers };
  };
}
