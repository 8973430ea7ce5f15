// AdmissionReview: what a webhook is asked, and what its answer means. Pure. The wording is upstream's.
// https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#request
import type { KindDefinition } from "@coxswain/api";
import { isJsonObject, StatusError, type KubeObject, type StatusReason } from "@coxswain/apimachinery";
import type { AdmissionAttributes, AdmissionOperation } from "../../pipeline/extension.ts";

const GROUP = "admission.k8s.io";
const VERSIONS = ["v1", "v1beta1"];
/** What an operation is asked for with; a connection has its options for an object. */
const OPTIONS: Readonly<Partial<Record<AdmissionOperation, string>>> = {
  CREATE: "CreateOptions",
  UPDATE: "UpdateOptions",
  DELETE: "DeleteOptions",
};

export interface ReviewAnswer {
  readonly allowed: boolean;
  /** RFC 6902, parsed. */
  readonly patch: unknown[] | undefined;
  readonly warnings: readonly string[];
  readonly status: Readonly<Record<string, unknown>> | undefined;
}

const textOf = (value: unknown): string => (typeof value === "string" ? value : "");

/** The first version that both sides know. */
export function reviewVersion(versions: readonly string[] | undefined): string | undefined {
  return versions?.find((version) => VERSIONS.includes(version));
}

/** The object in the version that the webhook knows. */
export function asVersion(kind: KindDefinition, object: KubeObject | undefined): KubeObject | null {
  if (object === undefined) return null;
  const apiVersion = kind.group === "" ? kind.version : `${kind.group}/${kind.version}`;
  return { ...object, apiVersion, kind: kind.kind };
}

/** The new object as the webhook wants it; what is no version of the resource stays as it is. */
export function reviewObject(kind: KindDefinition, { object, objectKind }: AdmissionAttributes): KubeObject | null {
  return objectKind === undefined ? asVersion(kind, object) : (object ?? null);
}

/** Likewise the one before. */
export function reviewOld(kind: KindDefinition, { old, objectKind }: AdmissionAttributes): KubeObject | null {
  return objectKind === undefined ? asVersion(kind, old) : (old ?? null);
}

function optionsOf({ operation, dryRun, request }: AdmissionAttributes): object | null {
  const kind = OPTIONS[operation];
  if (kind === undefined) return null;
  const { fieldManager, fieldValidation } = request.options;
  return {
    kind,
    apiVersion: "meta.k8s.io/v1",
    ...(dryRun ? { dryRun: ["All"] } : {}),
    ...(fieldManager === undefined ? {} : { fieldManager }),
    ...(fieldValidation === undefined ? {} : { fieldValidation }),
  };
}

/** Where the object is said to lie: a Namespace in itself. */
function placeOf({ kind, namespace, name, request }: AdmissionAttributes): { name?: string; namespace?: string } {
  const within = namespace === "" && kind.group === "" && kind.resource === "namespaces" ? name : namespace;
  // Who deletes a collection names none of its objects.
  const named = request.verb === "deletecollection" ? "" : name;
  return { ...(named === "" ? {} : { name: named }), ...(within === "" ? {} : { namespace: within }) };
}

const gvk = ({ group, version, kind }: KindDefinition) => ({ group, version, kind });
const gvr = ({ group, version, resource }: KindDefinition) => ({ group, version, resource });

/** The request part, which match conditions see too. `kind` is the one that the webhook wants. */
export function reviewRequest(uid: string, kind: KindDefinition, attributes: AdmissionAttributes): object {
  const { request, operation, subresource, dryRun } = attributes;
  const { username, uid: userUid, groups, extra } = request.user;
  const sub = subresource === "" ? {} : { subResource: subresource, requestSubResource: subresource };
  return {
    uid,
    kind: attributes.objectKind ?? gvk(kind),
    resource: gvr(kind),
    ...sub,
    requestKind: attributes.objectKind ?? gvk(attributes.kind),
    requestResource: gvr(attributes.kind),
    ...placeOf(attributes),
    operation,
    userInfo: {
      username,
      ...(userUid === undefined ? {} : { uid: userUid }),
      groups,
      ...(extra === undefined ? {} : { extra }),
    },
    object: reviewObject(kind, attributes),
    oldObject: reviewOld(kind, attributes),
    dryRun,
    options: optionsOf(attributes),
  };
}

export function reviewOf(version: string, request: object): object {
  return { kind: "AdmissionReview", apiVersion: `${GROUP}/${version}`, request };
}

function patchOf(response: Readonly<Record<string, unknown>>, mutating: boolean): unknown[] | undefined {
  const { patch, patchType } = response;
  if (patch === undefined || patch === null || patch === "") {
    if (patchType !== undefined && patchType !== null) {
      throw new Error("webhook returned response.patchType but not response.patch");
    }
    return undefined;
  }
  if (!mutating) throw new Error("webhook response included patch but this is a validating webhook");
  if (typeof patch !== "string") throw new Error("response.patch is not a string");
  if (patchType !== "JSONPatch") {
    throw new Error(`invalid response.patchType of ${JSON.stringify(patchType ?? "")}: only "JSONPatch" is supported`);
  }
  const parsed: unknown = JSON.parse(Buffer.from(patch, "base64").toString("utf8"));
  if (!Array.isArray(parsed)) throw new Error("response.patch is not a JSON patch");
  return parsed;
}

/** Throws Error where the answer is not one to this request. */
export function readReview(text: string, version: string, uid: string, mutating: boolean): ReviewAnswer {
  const review: unknown = JSON.parse(text);
  if (!isJsonObject(review)) throw new Error("the answer is no JSON object");
  const apiVersion = `${GROUP}/${version}`;
  // Answers in v1beta1 have always been taken without a kind.
  if (version === "v1" && (review["kind"] !== "AdmissionReview" || review["apiVersion"] !== apiVersion)) {
    const got = `${textOf(review["apiVersion"])}, Kind=${textOf(review["kind"])}`;
    throw new Error(`expected webhook response of ${apiVersion}, Kind=AdmissionReview, got ${got}`);
  }
  const response = review["response"];
  if (!isJsonObject(response)) throw new Error("webhook response was absent");
  if (version === "v1" && response["uid"] !== uid) {
    throw new Error(`expected response.uid=${JSON.stringify(uid)}, got ${JSON.stringify(response["uid"] ?? "")}`);
  }
  const warnings = Array.isArray(response["warnings"]) ? response["warnings"] : [];
  return {
    allowed: response["allowed"] === true,
    patch: response["allowed"] === true ? patchOf(response, mutating) : undefined,
    warnings: warnings.filter((one): one is string => typeof one === "string"),
    status: isJsonObject(response["status"]) ? response["status"] : undefined,
  };
}

/** What the user hears of a webhook's refusal. */
export function denial(webhook: string, status: ReviewAnswer["status"]): StatusError {
  const denied = `admission webhook ${JSON.stringify(webhook)} denied the request`;
  const { message, reason } = { message: textOf(status?.["message"]), reason: textOf(status?.["reason"]) };
  const code = typeof status?.["code"] === "number" && status["code"] >= 400 ? status["code"] : 400;
  const said = message === "" ? reason : message;
  const words = said === "" ? `${denied} without explanation` : `${denied}: ${said}`;
  const details = isJsonObject(status?.["details"]) ? status["details"] : {};
  return new StatusError(reason as StatusReason, code, words, details);
}
