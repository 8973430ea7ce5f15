// Content negotiation. Pure. Guarantees: the first acceptable form of the best quality is chosen, JSON before protobuf where
// both are equally welcome (JSON is what the store holds); a header that accepts nothing we have is a 406 as upstream's.
import { newNotAcceptable, newUnsupportedMediaType } from "@coxswain/apimachinery";

export type Encoding = "json" | "yaml" | "protobuf";
export type Transform = "Table" | "PartialObjectMetadata" | "PartialObjectMetadataList";

export interface Negotiated {
  readonly encoding: Encoding;
  readonly as?: Transform;
}

export const JSON_TYPE = "application/json";
export const YAML_TYPE = "application/yaml";
export const PROTOBUF_TYPE = "application/vnd.kubernetes.protobuf";
const OBJECT_TYPES = [JSON_TYPE, YAML_TYPE, PROTOBUF_TYPE];
const STREAM_TYPES = [JSON_TYPE, PROTOBUF_TYPE];
const PATCH_TYPES = [
  "application/json-patch+json",
  "application/merge-patch+json",
  "application/strategic-merge-patch+json",
  "application/apply-patch+yaml",
];
const TRANSFORMS: ReadonlySet<string> = new Set(["Table", "PartialObjectMetadata", "PartialObjectMetadataList"]);

export interface AcceptClause {
  readonly type: string;
  readonly params: ReadonlyMap<string, string>;
  readonly q: number;
}

export function parseAccept(header: string): AcceptClause[] {
  const clauses: AcceptClause[] = [];
  for (const part of header.split(",")) {
    const [type = "", ...rest] = part.split(";").map((piece) => piece.trim());
    if (type === "") continue;
    const params = new Map<string, string>();
    for (const piece of rest) {
      const at = piece.indexOf("=");
      if (at > 0) params.set(piece.slice(0, at).toLowerCase(), piece.slice(at + 1).replaceAll('"', ""));
    }
    const q = Number(params.get("q") ?? "1");
    if (q > 0) clauses.push({ type: type.toLowerCase(), params, q });
  }
  return clauses.toSorted((a, b) => b.q - a.q);
}

function encodingOf(type: string): Encoding | undefined {
  if (type === JSON_TYPE || type === "*/*" || type === "application/*") return "json";
  if (type === YAML_TYPE) return "yaml";
  if (type === PROTOBUF_TYPE) return "protobuf";
  return undefined;
}

function readClause(clause: AcceptClause, allowTransform: boolean): Negotiated | undefined {
  const encoding = encodingOf(clause.type);
  if (encoding === undefined) return undefined;
  const as = clause.params.get("as");
  if (as === undefined) return { encoding };
  if (!allowTransform || encoding === "protobuf" || !TRANSFORMS.has(as)) return undefined;
  const version = clause.params.get("v") ?? "v1";
  if ((clause.params.get("g") ?? "meta.k8s.io") !== "meta.k8s.io") return undefined;
  return version === "v1" || version === "v1beta1" ? { encoding, as: as as Transform } : undefined;
}

const PLAIN: Negotiated = { encoding: "json" };

/** Throws NotAcceptable. `stream`: for a watch. */
export function negotiate(accept: string | undefined, options: { stream: boolean; transform: boolean }): Negotiated {
  if (accept === undefined || accept === "" || accept === JSON_TYPE || accept === "*/*") return PLAIN;
  const supported = options.stream ? STREAM_TYPES : OBJECT_TYPES;
  let chosen: (Negotiated & { q: number }) | undefined;
  for (const clause of parseAccept(accept)) {
    if (chosen !== undefined && clause.q < chosen.q) break;
    const found = readClause(clause, options.transform);
    if (found === undefined || (options.stream && found.encoding === "yaml")) continue;
    if (chosen === undefined) chosen = { ...found, q: clause.q };
    else if (chosen.encoding === "protobuf" && found.encoding === "json" && found.as === undefined) {
      chosen = { ...found, q: clause.q };
    }
  }
  if (chosen === undefined) throw newNotAcceptable(supported);
  return chosen.as === undefined ? { encoding: chosen.encoding } : { encoding: chosen.encoding, as: chosen.as };
}

/** The media type of a body without parameters; JSON where the header is absent. Throws UnsupportedMediaType. */
export function bodyType(header: string | undefined, verb: string): string {
  const type = (header ?? "").split(";")[0]?.trim().toLowerCase() ?? "";
  if (verb === "patch") {
    if (!PATCH_TYPES.includes(type)) throw newUnsupportedMediaType(PATCH_TYPES);
    return type;
  }
  if (type === "") return JSON_TYPE;
  if (!OBJECT_TYPES.includes(type)) throw newUnsupportedMediaType(OBJECT_TYPES);
  return type;
}

/** True where the header accepts gzip. */
export function acceptsGzip(header: string | undefined): boolean {
  return header !== undefined && /(^|,)\s*gzip\s*(;\s*q=(?!0(\.0+)?\s*(,|$))[\d.]+)?\s*(,|$)/i.test(header);
}
