// Reads request bodies into objects of a kind. Guarantees:
// - What comes out is of the kind that the URL names, with defaults filled in and nothing that the kind does not know.
// - Unknown and duplicate fields are refused (Strict), told (Warn) or dropped in silence (Ignore).
import type { KindDefinition } from "@coxswain/api";
import {
  apiVersionOf,
  decodeJson,
  deepClone,
  fieldInvalid,
  isJsonObject,
  isReason,
  newBadRequest,
  newInvalid,
  newUnsupportedMediaType,
  parseApiVersion,
  quote,
  strictProblems,
  type KubeObject,
  type StatusError,
} from "@coxswain/apimachinery";
import { isReset } from "@coxswain/apimachinery/managed-fields/index";
import { checkTypes, inspect, jsonKind, pruneUnknown, walkUnknownFields } from "@coxswain/api/schema/index";
import { decodeProtobuf } from "@coxswain/api/wire/index";
import { type Document, isScalar, LineCounter, visit } from "yaml";
import type { DecodedPatch } from "./patch.ts";
import { complete, splitBody, type Template } from "./templates.ts";
import type { FieldValidation } from "./write-context.ts";
import { isTooDeep } from "./yaml-depth.ts";
import { parseYaml } from "./yaml.ts";

export const BODY_TYPES: readonly string[] = [
  "application/json",
  "application/yaml",
  "application/vnd.kubernetes.protobuf",
];

/** Of one YAML document: more would let a small body become a large object. */
const MAX_ALIASES = 100;

export interface DecodeTarget {
  readonly kind: KindDefinition;
  readonly fieldValidation: FieldValidation;
  readonly warnings: string[];
  /** What made the object, where that was a patch. */
  readonly patch?: Pick<DecodedPatch, "shown" | "complaint">;
}

interface DecodedValue {
  readonly value: unknown;
  /** What was written twice in it. */
  readonly duplicates: readonly string[];
  /** The order in which reading it into a kind meets those and what the kind does not know. */
  readonly order?: ProblemOrder;
}

/** All that is told, of the duplicates and the unknown fields. */
type ProblemOrder = (duplicates: readonly string[], unknown: readonly string[]) => readonly string[];

const duplicatesFirst: ProblemOrder = (duplicates, unknown) => [...duplicates, ...unknown];

/** The JSON value of a body. */
export function decodeValue(body: Buffer, contentType: string | undefined, duplicates: boolean): DecodedValue {
  const type = contentType ?? "application/json";
  if (type === "application/yaml") return decodeYaml(body, duplicates);
  const decoded = prefixed("couldn't get version/kind; json parse error: ", () => decodeJson(body, { duplicates }));
  // Where nothing is there twice, what is unknown comes in the order of the text already.
  if (decoded.duplicates.length === 0) return decoded;
  return { ...decoded, order: (_duplicates, unknown) => strictProblems(body.toString("utf8"), unknown) };
}

function decodeYaml(body: Buffer, wanted: boolean): DecodedValue {
  const lines = new LineCounter();
  const text = body.toString("utf8");
  if (isTooDeep(text)) throw newBadRequest("error converting YAML to JSON: yaml: exceeded max depth");
  const document = parseYaml(text, lines);
  const [error] = document.errors;
  if (error !== undefined) throw newBadRequest(`error converting YAML to JSON: ${error.message}`);
  try {
    // Through JSON, so that what YAML alone can say (dates, non-string keys) takes the form that JSON gives it.
    const value = JSON.parse(JSON.stringify(document.toJS({ maxAliasCount: MAX_ALIASES }) ?? null)) as unknown;
    return { value, duplicates: wanted ? repeatedKeys(document, lines) : [], order: yamlOrder };
  } catch (failure) {
    // Unresolved and exploding aliases are found only here, and so are cycles.
    throw newBadRequest(
      `error converting YAML to JSON: ${failure instanceof Error ? failure.message : String(failure)}`,
    );
  }
}

/** YAML is read by way of JSON whose members are sorted. */
const yamlOrder: ProblemOrder = (duplicates, unknown) => [...duplicates, ...unknown.toSorted(compareByPath)];

function compareByPath(left: string, right: string): number {
  const [ours, theirs] = [left, right].map((each) => each.split(/[.[]/));
  for (const [at, own] of ours!.entries()) {
    const other = theirs![at] ?? "";
    if (own === other) continue;
    const places = own.endsWith("]") && other.endsWith("]");
    return places ? Number.parseInt(own, 10) - Number.parseInt(other, 10) : own < other ? -1 : 1;
  }
  return 0;
}

/** Adds what is not said yet. A message of several lines has its details in all but the first: each is a warning. */
export function warnAll(warnings: string[], complaints: readonly string[]): void {
  for (const complaint of complaints) {
    const [first = "", ...details] = complaint.split("\n").map((line) => line.trim());
    for (const each of details.length === 0 ? [first] : details) if (!warnings.includes(each)) warnings.push(each);
  }
}

/** One message for all keys that a map sets twice. */
function repeatedKeys(document: Document, lines: LineCounter): string[] {
  const found: string[] = [];
  visit(document, {
    Map(_at, map) {
      const seen = new Set<string>();
      for (const { key } of map.items) {
        if (!isScalar(key)) continue;
        const name = String(key.value);
        if (seen.has(name)) {
          const { line } = lines.linePos(key.range?.[0] ?? 0);
          found.push(`  line ${line}: key ${quote(name)} already set in map`);
        }
        seen.add(name);
      }
    },
  });
  return found.length === 0 ? [] : [["yaml: unmarshal errors:", ...found].join("\n")];
}

/** @throws StatusError BadRequest, UnsupportedMediaType */
export function decodeObject(
  target: DecodeTarget,
  body: Buffer | undefined,
  contentType: string | undefined,
): KubeObject {
  const { kind } = target;
  if (contentType !== undefined && !BODY_TYPES.includes(contentType)) throw newUnsupportedMediaType(BODY_TYPES);
  if (contentType === "application/vnd.kubernetes.protobuf") {
    const object = decodeProtobuf(body ?? Buffer.alloc(0)) as KubeObject;
    checkKind(kind, object);
    return finish(kind, object);
  }
  const bytes = body ?? Buffer.alloc(0);
  const decoded = recognized(kind, bytes, () => decodeValue(bytes, contentType, target.fieldValidation !== "Ignore"));
  return acceptObject(target, decoded.value, decoded.duplicates, decoded.order);
}

export interface CreatedObject {
  readonly object: KubeObject;
  /** What its body ended with. */
  readonly template?: Template;
}

/** The same for the body of a creation, of which others may have the end in common. @throws StatusError */
export function decodeCreated(
  target: DecodeTarget,
  body: Buffer | undefined,
  contentType: string | undefined,
): CreatedObject {
  const { kind, fieldValidation } = target;
  const json = contentType === undefined || contentType === "application/json";
  if (kind.specAlone !== true || !json || body === undefined || body.length === 0) {
    return { object: decodeObject(target, body, contentType) };
  }
  const text = body.toString("utf8");
  const duplicates = fieldValidation !== "Ignore";
  const split = splitBody(kind, text);
  if (split === undefined) {
    const decoded = recognized(kind, body, () => decodeValue(body, contentType, duplicates));
    return { object: acceptObject(target, decoded.value, decoded.duplicates, decoded.order) };
  }
  const { template } = split;
  const order: ProblemOrder | undefined =
    split.duplicates.length === 0 ? undefined : (_duplicates, unknown) => strictProblems(text, unknown);
  const object = acceptObject(target, split.head, duplicates ? split.duplicates : [], order);
  return { object: complete(object, template), template };
}

/** Refusals say what was to be read, and show how the body begins. */
function recognized(kind: KindDefinition, body: Buffer, decode: () => DecodedValue): DecodedValue {
  try {
    const decoded = decode();
    const problem = typeMetaProblem(decoded.value);
    if (problem !== undefined) throw newBadRequest(`couldn't get version/kind; json parse error: ${problem}`);
    return decoded;
  } catch (error) {
    if (!isReason(error, "BadRequest")) throw error;
    throw unrecognized(kind, error.message, body);
  }
}

const TYPE_META = String.raw`struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }`;

/** What keeps a value from saying its kind, in the words of upstream's decoder. */
export function typeMetaProblem(value: unknown): string | undefined {
  if (!isJsonObject(value)) return `json: cannot unmarshal ${jsonKind(value)} into Go value of type ${TYPE_META}`;
  const wrong = ["apiVersion", "kind"].find((key) => typeof (value[key] ?? "") !== "string");
  if (wrong === undefined) return undefined;
  return `json: cannot unmarshal ${jsonKind(value[wrong])} into Go struct field .${wrong} of type string`;
}

/** Of what names no kind. */
function unrecognized(kind: KindDefinition, problem: string, body: Buffer): StatusError {
  const what = `the object provided is unrecognized (must be of type ${kind.kind})`;
  return newBadRequest(`${what}: ${problem} (${summaryOf(body)})`);
}

const SUMMARY_LENGTH = 30;

function summaryOf(body: Buffer): string {
  if (body.length === 0) return "<empty>";
  const text = body.subarray(0, SUMMARY_LENGTH).toString(body[0] === "{".charCodeAt(0) ? "utf8" : "hex");
  return body.length > SUMMARY_LENGTH ? `${text} ...` : text;
}

/** Says in a refusal what was being read. */
export function prefixed<T>(prefix: string, decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    if (!isReason(error, "BadRequest")) throw error;
    throw newBadRequest(`${prefix}${error.message}`);
  }
}

/** True where the spec is the old one itself, which has its defaults, and nothing else may have any. */
export function keepsSpec(kind: KindDefinition, object: object, old: object): boolean {
  const [now, before] = [object, old] as { spec?: unknown }[];
  return kind.specAlone === true && now?.spec !== undefined && now.spec === before?.spec;
}

/**
 * Takes what a patch made of `old`, with which it shares what it left alone: its own at the top and in metadata. `putsBack`: the
 * endpoint stores no other spec than the old one.
 */
export function acceptPatched(
  target: DecodeTarget,
  value: unknown,
  duplicates: readonly string[],
  old: KubeObject,
  putsBack: boolean,
): KubeObject {
  const { kind } = target;
  if (kind.custom !== undefined || duplicates.length > 0 || !isJsonObject(value)) {
    return acceptObject(target, deepClone(value), duplicates);
  }
  const keeps = keepsSpec(kind, value, old);
  const { spec: _spec, ...rest } = value;
  if (inspect(keeps && putsBack ? rest : value, kind.schemaName) !== "clean") {
    return acceptObject(target, deepClone(value), duplicates);
  }
  const object = value as KubeObject;
  checkKind(kind, object);
  return finish(kind, object, !keeps);
}

/** Takes a value that was decoded or made by a patch. The value is the caller's own and becomes the object. */
export function acceptObject(
  target: DecodeTarget,
  value: unknown,
  duplicates: readonly string[],
  order: ProblemOrder = duplicatesFirst,
): KubeObject {
  const { kind, fieldValidation, warnings } = target;
  if (!isJsonObject(value)) {
    throw newBadRequest("couldn't get version/kind; json parse error: the body is not a JSON object");
  }
  const object = value as KubeObject;
  checkKind(kind, object);
  const form = kind.custom === undefined ? inspect(object, kind.schemaName) : "odd";
  const { unknown, wrong } = form === "odd" ? complaintsOf(target, object) : NO_COMPLAINTS;
  if (wrong !== undefined) throw refusal(target, object, wrong);
  // Custom resources are read as they come, and looked through then.
  const complaints = (kind.custom === undefined ? order : duplicatesFirst)(duplicates, unknown);
  if (complaints.length > 0 && fieldValidation === "Strict") {
    throw refusal(target, object, `strict decoding error: ${complaints.join(", ")}`);
  }
  if (fieldValidation === "Warn") warnAll(warnings, complaints);
  // An empty list means nothing anywhere else; here it asks to forget all managers.
  const forgets = isReset(object.metadata?.managedFields);
  if (kind.custom === undefined && form !== "clean") pruneUnknown(object, kind.schemaName);
  if (forgets) object.metadata!.managedFields = [{}];
  return finish(kind, object);
}

/** What a patch made of an object is refused as a value of the patch. */
function refusal({ kind, patch }: DecodeTarget, object: KubeObject, problem: string): StatusError {
  if (patch === undefined) {
    const version = JSON.stringify(kind.version);
    return newBadRequest(`${kind.kind} in version ${version} cannot be handled as a ${kind.kind}: ${problem}`);
  }
  return newInvalid({ group: "", kind: "" }, "", [fieldInvalid("patch", patch.shown(object), problem)]);
}

interface Complaints {
  readonly unknown: readonly string[];
  readonly wrong: string | undefined;
}

const NO_COMPLAINTS: Complaints = { unknown: [], wrong: undefined };

/** What in the object the kind does not know, and what cannot be of the kind. */
function complaintsOf({ kind, fieldValidation, patch }: DecodeTarget, object: KubeObject): Complaints {
  if (kind.custom !== undefined) {
    object.metadata ??= {};
    const { unknown, wrong } = kind.custom.accept(object);
    return { unknown: fieldValidation === "Ignore" ? [] : unknown, wrong: wrong[0] };
  }
  const [wrong] = checkTypes(object, kind.schemaName, patch?.complaint);
  const walk = wrong === undefined && fieldValidation !== "Ignore";
  return { unknown: walk ? walkUnknownFields(object, kind.schemaName) : [], wrong };
}

function finish(kind: KindDefinition, object: KubeObject, defaults = true): KubeObject {
  object.kind = kind.kind;
  object.apiVersion = apiVersionOf(kind);
  object.metadata ??= {};
  if (defaults) kind.defaults(object);
  return object;
}

/** Where upstream's own form of the kind is defined. */
function internalPackage({ group }: KindDefinition): string {
  return group === "" || group === "events.k8s.io" ? "core" : group.slice(0, (group + ".").indexOf("."));
}

function checkKind(kind: KindDefinition, object: KubeObject): void {
  if (object.kind !== undefined && typeof object.kind !== "string") throw newBadRequest("kind must be a string");
  if (object.apiVersion !== undefined && typeof object.apiVersion !== "string") {
    throw newBadRequest("apiVersion must be a string");
  }
  if (object.metadata !== undefined && !isJsonObject(object.metadata)) {
    throw newBadRequest("metadata must be an object");
  }
  const { group, version } = object.apiVersion ? parseApiVersion(object.apiVersion) : kind;
  if (object.kind && object.kind !== kind.kind) {
    throw newBadRequest(
      `${object.kind} in version ${JSON.stringify(version)} cannot be handled as a ${kind.kind}: converting (${version}.${object.kind}) to (${internalPackage(kind)}.${kind.kind}): unknown conversion`,
    );
  }
  const known = version === kind.version || kind.alsoReads?.includes(version) === true;
  if (object.apiVersion && (group !== kind.group || !known)) {
    throw newBadRequest(
      `the API version in the data (${object.apiVersion}) does not match the expected API version (${apiVersionOf(kind)})`,
    );
  }
}
