// CertificateSigningRequest: a key's wish for a certificate. Its spec never changes; who approves it, and who signs it, write
// different parts of its status.
import { humanDuration } from "@coxswain/apimachinery";
import { defineKind, plainStrategy, subresource } from "../../define-kind.ts";
import type { PrintContext } from "../../kind.ts";
import { age, AGE, column, NAME, nameOf } from "../../printing.ts";
import type { CertificateSigningRequest } from "../../types.gen.ts";
import {
  validateSigningApproval,
  validateSigningRequest,
  validateSigningRequestUpdate,
  validateSigningStatus,
} from "./validation.ts";

const CERTIFICATES = "certificates.k8s.io";
const DECISIONS = new Set(["Approved", "Denied"]);

/** Whoever approves writes conditions and nothing else. */
export function prepareSigningApproval(request: CertificateSigningRequest, old: CertificateSigningRequest): void {
  const conditions = request.status?.conditions;
  request.spec = old.spec;
  request.status = { ...old.status, ...(conditions === undefined ? {} : { conditions }) };
  stampConditions(request, old);
}

/** Whoever signs leaves the decisions as they are. */
function prepareForStatusUpdate(request: CertificateSigningRequest, old: CertificateSigningRequest): void {
  request.spec = old.spec;
  const decided = (old.status?.conditions ?? []).filter((each) => DECISIONS.has(each.type));
  const others = (request.status?.conditions ?? []).filter((each) => !DECISIONS.has(each.type));
  request.status = { ...request.status };
  if (decided.length + others.length > 0) request.status.conditions = [...decided, ...others];
  stampConditions(request, old);
}

/** A condition keeps the time of its last change, unless it says otherwise. */
function stampConditions(request: CertificateSigningRequest, old: CertificateSigningRequest): void {
  for (const condition of request.status?.conditions ?? []) {
    const before = old.status?.conditions?.find((each) => each.type === condition.type);
    const time = condition.lastTransitionTime ?? before?.lastTransitionTime ?? condition.lastUpdateTime;
    if (time !== undefined) condition.lastTransitionTime = time;
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
