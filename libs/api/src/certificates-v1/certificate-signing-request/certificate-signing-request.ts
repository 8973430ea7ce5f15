// CertificateSigningRequest: a key's wish for a certificate. Its spec never changes; who approves it, and who signs it, write
// different parts of its status.
import { formatTime, humanDuration } from "@coxswain/apimachinery";
import { defineKind, plainStrategy, subresource } from "../../define-kind.ts";
import type { PrintContext, StrategyContext } from "../../kind.ts";
import { age, AGE, column, NAME, nameOf } from "../../printing.ts";
import type { CertificateSigningRequest } from "../../types.gen.ts";
import {
  conditionsOf,
  DECISIONS,
  validateSigningApproval,
  validateSigningRequest,
  validateSigningRequestUpdate,
  validateSigningStatus,
} from "./validation.ts";

const CERTIFICATES = "certificates.k8s.io";

/** Whoever approves writes conditions and nothing else. */
export function prepareSigningApproval(
  request: CertificateSigningRequest,
  old: CertificateSigningRequest,
  { nowMs }: StrategyContext,
): void {
  const conditions = request.status?.conditions;
  request.spec = old.spec;
  request.status = { ...old.status };
  if (conditions === undefined) delete request.status.conditions;
  else request.status.conditions = conditions;
  stampConditions(request, old, nowMs);
}

/** Whoever signs leaves the decisions as they are; more or fewer of them are refused. */
function prepareForStatusUpdate(
  request: CertificateSigningRequest,
  old: CertificateSigningRequest,
  { nowMs }: StrategyContext,
): void {
  request.spec = old.spec;
  for (const type of DECISIONS) {
    const before = conditionsOf(old, type);
    const after = conditionsOf(request, type);
    if (before.length !== after.length) continue;
    const kept = new Map(after.map((condition, at) => [condition, { ...before[at]! }]));
    const { conditions } = request.status ?? {};
    if (conditions !== undefined)
      request.status = { ...request.status, conditions: conditions.map((one) => kept.get(one) ?? one) };
  }
  stampConditions(request, old, nowMs);
}

/** A condition has changed when it says so, or else when one of its type came to its status, or now. */
function stampConditions(request: CertificateSigningRequest, old: CertificateSigningRequest, nowMs: number): void {
  const now = formatTime(nowMs);
  for (const condition of request.status?.conditions ?? []) {
    const before = conditionsOf(old, condition.type).find(
      ({ status, lastTransitionTime }) => status === condition.status && lastTransitionTime !== undefined,
    );
    condition.lastUpdateTime ??= now;
    condition.lastTransitionTime ??= before?.lastTransitionTime ?? now;
  }
}

function stateOf({ status }: CertificateSigningRequest): string {
  const holds = (type: string) => status?.conditions?.some((each) => each.type === type) ?? false;
  const words = holds("Denied") ? ["Denied"] : holds("Approved") ? ["Approved"] : ["Pending"];
  if (holds("Failed")) words.push("Failed");
  if (status?.certificate) words.push("Issued");
  return words.join(",");
}

function row(request: CertificateSigningRequest, context: PrintContext): unknown[] {
  const { signerName, username, expirationSeconds } = request.spec ?? {};
  return [
    nameOf(request),
    age(request, context),
    signerName ?? "<none>",
    username ?? "",
    expirationSeconds === undefined ? "<none>" : humanDuration(expirationSeconds * 1000),
    stateOf(request),
  ];
}

export const certificateSigningRequestKind = defineKind<CertificateSigningRequest>({
  group: CERTIFICATES,
  version: "v1",
  kind: "CertificateSigningRequest",
  resource: "certificatesigningrequests",
  shortNames: ["csr"],
  namespaced: false,
  schemaName: "io.k8s.api.certificates.v1.CertificateSigningRequest",
  hasStatus: true,
  subresources: [
    {
      ...subresource("approval", ["get", "patch", "update"], [CERTIFICATES, "v1", "CertificateSigningRequest"]),
      rules: { prepare: prepareSigningApproval, validate: validateSigningApproval },
    },
  ],
  validateCreate: validateSigningRequest,
  validateUpdate: validateSigningRequestUpdate,
  validateStatusUpdate: validateSigningStatus,
  strategy: plainStrategy<CertificateSigningRequest>({
    prepareForCreate(request) {
      request.status = {};
    },
    prepareForUpdate(request, old) {
      request.spec = old.spec;
      if (old.status === undefined) delete request.status;
      else request.status = old.status;
    },
    prepareForStatusUpdate,
  }),
  columns: [
    NAME,
    AGE,
    column("SignerName", "Who shall sign it."),
    column("Requestor", "Who asked for it."),
    column("RequestedDuration", "How long it shall last."),
    column("Condition", "What has become of it."),
  ],
  row,
  selectableFields: ({ spec }) => ({ "spec.signerName": spec?.signerName ?? "" }),
});
