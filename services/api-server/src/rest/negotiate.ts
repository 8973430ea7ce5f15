// Content negotiation. Pure. Guarantees: the first acceptable form of the best quality is chosen, JSON before protobuf where
// both are equally welcome (JSON is what the store holds); a header that accepts nothing we have is a 406 as upstream's.
import { newNotAcceptable, newUnsupportedMediaType, StatusError } from "@coxswain/apimachinery";

export type Encoding = "json" | "yaml" | "protobuf";
export type Transform = "Table" | "PartialObjectMetadata" | "PartialObjectMetadataList";

export type TransformVersion = "v1" | "v1beta1";

export interface Negotiated {
  readonly encoding: Encoding;
  readonly as?: Transform;
  /** Of meta.k8s.io, that `as` is wanted in. */
  readonly version?: TransformVersion;
  /** The client asked for it with the type; it may ask otherwise too. */
  readonly pretty?: true;
}

export interface NegotiateOptions {
  /** A watch: no YAML. */
  readonly stream: boolean;
  /** False for what has no metadata. */
  readonly transform: boolean;
  /** False where only the metadata has a protobuf form: custom resources. */
  readonly protobuf: boolean;
}

export const JSON_TYPE = "application/json";
export const YAML_TYPE = "application/yaml";
export const PROTOBUF_TYPE = "application/vnd.kubernetes.protobuf";
const OBJECT_TYPES = [JSON_TYPE, YAML_TYPE, PROTOBUF_TYPE];
const STREAM_TYPES = [JSON_TYPE, PROTOBUF_TYPE].map((type) => `${type};stream=watch`);
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
  return clauses.toSorted((a, b) => b.q - a.q || wildcards(a.type) - wildcards(b.type));
}

/** What names a type is meant more than what names a family of them, or all. */
function wildcards(type: string): number {
  return type === "*/*" ? 2 : type.endsWith("/*") ? 1 : 0;
}

function encodingOf(type: string): Encoding | undefined {
  if (type === JSON_TYPE || type === "*/*" || type === "application/*") return "json";
  if (type === YAML_TYPE) return "yaml";
  if (type === PROTOBUF_TYPE) return "protobuf";
  return undefined;
}

/** undefined where nothing of the kind is served. Parameters that mean nothing here are passed over. */
function readClause({ type, params }: AcceptClause, options: NegotiateOptions): Negotiated | undefined {
  const encoding = encodingOf(type);
  if (encoding === undefined) return undefined;
  const { stream, sv } = Object.fromEntries(params);
  if (stream && (stream !== "watch" || encoding === "yaml")) return undefined;
  if (sv && sv !== "v1") return undefined;
  const pretty = params.get("pretty") === "1" ? ({ pretty: true } as const) : {};
  if (!params.has("as") && !params.has("g") && !params.has("v")) {
    return encoding === "protobuf" && !options.protobuf ? undefined : { encoding, ...pretty };
  }
  const as = params.get("as") ?? "";
  const version = params.get("v");
  if (!options.transform || !TRANSFORMS.has(as) || params.get("g") !== "meta.k8s.io") return undefined;
  if (version !== "v1" && version !== "v1beta1") return undefined;
  if (as === "Table" && encoding === "protobuf") return undefined;
  return { encoding, as: as as Transform, version, ...pretty };
}

const PLAIN: Negotiated = { encoding: "json" };

/** @throws StatusError NotAcceptable */
export function negotiate(accept: string | undefined, options: NegotiateOptions): Negotiated {
  if (accept === undefined || accept === "" || accept === JSON_TYPE || accept === "*/*") return PLAIN;
  let chosen: Negotiated | undefined;
  let quality = 0;
  for (const clause of parseAccept(accept)) {
    if (chosen !== undefined && clause.q < quality) break;
    const found = readClause(clause, options);
    if (found === undefined) continue;
    const stored = chosen?.encoding === "protobuf" && chosen.as === undefined && found.encoding === "json";
    if (chosen !== undefined && !(stored && found.as === undefined)) continue;
    chosen = found;
    quality = clause.q;
  }
  if (chosen === undefined) throw newNotAcceptable(OBJECT_TYPES);
  if (options.stream && chosen.encoding === "yaml") throw newNotAcceptable(STREAM_TYPES);
  return chosen;
}

/** The encoding of a failure: none is a reason to send another. */
export function failureEncoding(accept: string | undefined): Encoding {
  try {
    return negotiate(accept, { stream: false, transform: false, protobuf: true }).encoding;
  } catch (error) {
    if (error instanceof StatusError) return "json";
    throw error;
  }
}

/** True where the query says so, or says nothing and a person seems to be looking. */
export function wantsPretty(query: URLSearchParams, userAgent: string | undefined): boolean {
  const said = query.get("pretty") ?? "";
  if (said !== "") return ["1", "t", "T", "true", "TRUE", "True"].includes(said);
  return /^(curl|Wget|Mozilla\/5\.0)/.test(userAgent ?? "");
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
