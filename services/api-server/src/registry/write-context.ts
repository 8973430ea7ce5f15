// What every write carries through the registry, and the options that all writes share.
import type { KindDefinition } from "@coxswain/api";
import {
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  newBadRequest,
  newInvalid,
  type FieldError,
} from "@coxswain/apimachinery";
import { isPrintable, MAX_MANAGER_NAME } from "@coxswain/apimachinery/managed-fields/index";
import type { ApiRequest } from "../pipeline/contract.ts";
import type { DeleteBody } from "./delete-options.ts";

export type FieldValidation = "Strict" | "Warn" | "Ignore";

export interface WriteContext {
  readonly request: ApiRequest;
  readonly kind: KindDefinition;
  readonly namespace: string;
  /** From the URL; "" for a create. */
  readonly name: string;
  readonly subresource: string;
  readonly dryRun: boolean;
  readonly fieldValidation: FieldValidation;
  /** Grows while the request is worked on. */
  readonly warnings: string[];
}

const OPTIONS_KIND: Record<string, string> = {
  create: "CreateOptions",
  update: "UpdateOptions",
  patch: "PatchOptions",
  delete: "DeleteOptions",
  deletecollection: "DeleteOptions",
};

/** @throws StatusError Invalid for options that are not to be understood */
export function writeContext(request: ApiRequest, kind: KindDefinition): WriteContext {
  const errors = managerErrors(request);
  const { options } = request;
  errors.push(...dryRunErrors(options.dryRun));
  const validation = options.fieldValidation ?? "";
  if (!["", "Strict", "Warn", "Ignore"].includes(validation)) {
    errors.push(fieldNotSupported("fieldValidation", validation, ["", "Ignore", "Strict", "Warn"]));
  }
  if (errors.length > 0) {
    throw newInvalid({ group: "meta.k8s.io", kind: OPTIONS_KIND[request.verb] ?? "Options" }, "", errors);
  }
  return {
    request,
    kind,
    namespace: kind.namespaced ? request.namespace : "",
    name: request.name,
    subresource: request.subresource,
    dryRun: (options.dryRun ?? []).length > 0,
    fieldValidation: validation === "" ? "Warn" : (validation as FieldValidation),
    warnings: request.warnings ?? [],
  };
}

const APPLY_TYPES = ["application/apply-patch+yaml", "application/apply-patch+cbor"];

/** An applier must name itself, and only it may force. */
function managerErrors({ verb, contentType, options }: ApiRequest): FieldError[] {
  const errors: FieldError[] = [];
  const manager = options.fieldManager ?? "";
  const applies = verb === "patch" && APPLY_TYPES.includes(contentType ?? "");
  if (applies && manager === "") errors.push(fieldRequired("fieldManager", "is required for apply patch"));
  if (verb === "patch" && !applies && options.force !== undefined) {
    errors.push(fieldForbidden("force", "may not be specified for non-apply patch"));
  }
  if (Buffer.byteLength(manager) > MAX_MANAGER_NAME) {
    errors.push({
      type: "FieldValueTooLong",
      field: "fieldManager",
      detail: `Too long: may not be more than ${MAX_MANAGER_NAME} bytes`,
    });
  }
  let position = 0;
  for (const character of manager) {
    if (!isPrintable(character)) {
      const point = character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0");
      errors.push(fieldInvalid("fieldManager", manager, `invalid character U+${point} (at position ${position})`));
    }
    position += Buffer.byteLength(character);
  }
  return errors;
}

/** All values are shown where one is unknown. */
function dryRunErrors(values: readonly string[] | null | undefined): FieldError[] {
  const known = (values ?? []).every((value) => value === "All");
  return known ? [] : [fieldNotSupported("dryRun", values, ["All"])];
}

export type Propagation = "Background" | "Foreground" | "Orphan";

export interface DeletionOptions {
  readonly gracePeriodSeconds: number | undefined;
  /** Undefined: as the kind and the object's finalizers have it. */
  readonly propagation: Propagation | undefined;
  readonly preconditions: { readonly uid?: string; readonly resourceVersion?: string };
  readonly dryRun: boolean;
  /** The answer's code where the object stays for a while: older clients that ask for dependents to go wait for what is accepted. */
  readonly codeWhereKept: 200 | 202;
}

/** Merges a DeleteOptions body (which wins) with the query. */
export function deletionOptions(request: ApiRequest, body: DeleteBody | null | undefined): DeletionOptions {
  const given = body ?? {};
  const errors: FieldError[] = [];
  const grace = given.gracePeriodSeconds ?? parseGrace(request.options.gracePeriodSeconds);
  if (grace !== undefined && !Number.isSafeInteger(grace)) throw newBadRequest(notAnInteger(grace));
  const policy = given.propagationPolicy ?? request.options.propagationPolicy ?? "";
  const orphan = given.orphanDependents ?? request.options.orphanDependents;
  if (policy !== "" && orphan !== undefined) {
    errors.push(
      fieldInvalid("propagationPolicy", policy, "orphanDependents and deletionPropagation cannot be both set"),
    );
  }
  if (!["", "Background", "Foreground", "Orphan"].includes(policy)) {
    errors.push(fieldNotSupported("propagationPolicy", policy, ["Foreground", "Background", "Orphan", "nil"]));
  }
  errors.push(...dryRunErrors(given.dryRun));
  if (errors.length > 0) throw newInvalid({ group: "meta.k8s.io", kind: "DeleteOptions" }, "", errors);
  const fromOrphan = orphan === undefined ? undefined : orphan ? "Orphan" : "Background";
  return {
    // Upstream reads less than none as a second.
    gracePeriodSeconds: grace !== undefined && grace < 0 ? 1 : grace,
    propagation: policy === "" ? fromOrphan : (policy as Propagation),
    preconditions: given.preconditions ?? {},
    dryRun: (given.dryRun ?? []).length > 0 || (request.options.dryRun ?? []).length > 0,
    codeWhereKept: orphan === false ? 202 : 200,
  };
}

function notAnInteger(value: number): string {
  return `json: cannot unmarshal number ${value} into Go struct field DeleteOptions.gracePeriodSeconds of type int64`;
}

function parseGrace(text: string | undefined): number | undefined {
  if (text === undefined || text === "") return undefined;
  if (!/^-?\d{1,15}$/.test(text)) {
    throw newBadRequest(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`);
  }
  return Number(text);
}
