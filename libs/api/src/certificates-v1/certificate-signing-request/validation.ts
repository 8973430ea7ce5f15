// What a request for a certificate must be, and what may be said about it.
import type { FieldError } from "@coxswain/apimachinery";
import {
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  fieldTooLong,
  indexPath,
  quote,
  validateDns1123Label,
  validateDns1123Subdomain,
} from "@coxswain/apimachinery";
import { isCertificate } from "../../certificates.ts";
import { sameValue } from "../../same-value.ts";
import type { CertificateSigningRequest, CertificateSigningRequestCondition } from "../../types.gen.ts";
import { validateEnum } from "../../validation/enums.ts";
import { validateImmutableField } from "../../validation/immutable.ts";

/** Conditions that only an approver writes. */
export const DECISIONS: readonly string[] = ["Approved", "Denied"];

const MIN_SECONDS = 600;
const USAGES = [
  "any",
  "cert sign",
  "client auth",
  "code signing",
  "content commitment",
  "crl sign",
  "data encipherment",
  "decipher only",
  "digital signature",
  "email protection",
  "encipher only",
  "ipsec end system",
  "ipsec tunnel",
  "ipsec user",
  "key agreement",
  "key encipherment",
  "microsoft sgc",
  "netscape sgc",
  "ocsp signing",
  "s/mime",
  "server auth",
  "signing",
  "timestamping",
];

function validatePem(request: string | undefined): FieldError[] {
  const text = Buffer.from(request ?? "", "base64").toString("latin1");
  const fine = /-----BEGIN CERTIFICATE REQUEST-----\r?\n[A-Za-z0-9+/=\s]+-----END CERTIFICATE REQUEST-----/.test(text);
  return fine ? [] : [fieldInvalid("spec.request", request, "PEM block type must be CERTIFICATE REQUEST")];
}

const MAX_DOMAIN = 253;
/** Of the domain, and of a path with room for a label, a dot and a subdomain. */
const MAX_SIGNER = MAX_DOMAIN + 1 + MAX_DOMAIN + 63 + 1;

/** What `check` says of the first part of `text` that it has something to say of. */
function validateParts(text: string, check: (part: string) => string[], path: string): FieldError[] {
  for (const part of text.split(".")) {
    const messages = check(part);
    if (messages.length === 0) continue;
    return messages.map((message) => fieldInvalid(path, text, `validating label ${quote(part)}: ${message}`));
  }
  return [];
}

function validateSigner(name: string): FieldError[] {
  const path = "spec.signerName";
  if (name === "") return [fieldRequired(path, "")];
  if (name === "kubernetes.io/legacy-unknown") {
    return [fieldInvalid(path, name, "the legacy signerName is not allowed via this API version")];
  }
  const [domain = "", tail, ...rest] = name.split("/");
  if (tail === undefined || rest.length > 0) {
    const detail = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
    return [fieldInvalid(path, name, detail)];
  }
  const errors = domain.length > MAX_DOMAIN ? [fieldTooLong(path, MAX_DOMAIN)] : [];
  errors.push(...validateParts(domain, validateDns1123Label, path));
  if (!domain.includes(".")) {
    errors.push(fieldInvalid(path, domain, "should be a domain with at least two segments separated by dots"));
  }
  errors.push(...validateParts(tail, validateDns1123Subdomain, path));
  return name.length > MAX_SIGNER ? [...errors, fieldTooLong(path, MAX_SIGNER)] : errors;
}

export function validateSigningRequest({ spec }: CertificateSigningRequest): FieldError[] {
  const usages = spec?.usages ?? [];
  const errors = [...validatePem(spec?.request)];
  if (usages.length === 0) errors.push(fieldRequired("spec.usages", ""));
  for (const [index, usage] of usages.entries()) {
    const at = indexPath("spec.usages", index);
    if (!USAGES.includes(usage)) errors.push(fieldNotSupported(at, usage, USAGES));
    if (usages.indexOf(usage) < index) errors.push(fieldDuplicate(at, usage));
  }
  const seconds = spec?.expirationSeconds;
  if (seconds !== undefined && seconds < MIN_SECONDS) {
    const detail = `may not specify a duration less than ${MIN_SECONDS} seconds (10 minutes)`;
    errors.push(fieldInvalid("spec.expirationSeconds", seconds, detail));
  }
  return [...errors, ...validateSigner(spec?.signerName ?? "")];
}

export function validateSigningRequestUpdate(
  request: CertificateSigningRequest,
  old: CertificateSigningRequest,
): FieldError[] {
  return validateImmutableField(request.spec, old.spec, "spec");
}

const hasBoth = (conditions: readonly CertificateSigningRequestCondition[]): boolean =>
  DECISIONS.every((decision) => conditions.some(({ type }) => type === decision));
const hasRepeated = (conditions: readonly CertificateSigningRequestCondition[]): boolean =>
  new Set(conditions.map(({ type }) => type)).size < conditions.length;

/** What was wrong in the old conditions may go on being so. */
function validateConditions(
  conditions: readonly CertificateSigningRequestCondition[],
  old: readonly CertificateSigningRequestCondition[],
): FieldError[] {
  const path = "status.conditions";
  const errors: FieldError[] = [];
  const [unnamed, both, repeated] = [old.some(({ type }) => !type), hasBoth(old), hasRepeated(old)];
  for (const [index, { type, status }] of conditions.entries()) {
    const at = indexPath(path, index);
    if (!type && !unnamed) errors.push(fieldRequired(`${at}.type`, ""));
    const allowed = ["Approved", "Denied", "Failed"].includes(type) ? ["True"] : ["False", "True", "Unknown"];
    errors.push(...validateEnum(status, allowed, `${at}.status`));
    const before = conditions.slice(0, index);
    const opposed = DECISIONS.includes(type) && before.some((other) => hasBoth([other, { type, status: "True" }]));
    if (!both && opposed) {
      errors.push(fieldInvalid(path, type, "Approved and Denied conditions are mutually exclusive"));
    }
    if (!repeated && before.some((other) => other.type === type)) errors.push(fieldDuplicate(`${at}.type`, type));
  }
  return errors;
}

export function conditionsOf(
  { status }: CertificateSigningRequest,
  type: string,
): readonly CertificateSigningRequestCondition[] {
  return (status?.conditions ?? []).filter((each) => each.type === type);
}

const changed = (what: string, type: string): FieldError =>
  fieldForbidden("status.conditions", `updates may not ${what} a condition of type "${type}"`);

export function validateSigningApproval(
  request: CertificateSigningRequest,
  old: CertificateSigningRequest,
): FieldError[] {
  const errors = validateConditions(request.status?.conditions ?? [], old.status?.conditions ?? []);
  for (const type of [...DECISIONS, "Failed"]) {
    if (conditionsOf(request, type).length < conditionsOf(old, type).length) errors.push(changed("remove", type));
  }
  return errors;
}

/** What is wrong with a chain of certificates; undefined of none, or of a good one. */
function certificateIssue(data: string): string | undefined {
  const text = Buffer.from(data, "base64").toString("latin1");
  const blocks = [...text.matchAll(/-----BEGIN ([^-\n]+)-----\r?\n([\s\S]*?)-----END \1-----/g)];
  if (blocks.length === 0) return "must contain at least one CERTIFICATE PEM block";
  for (const [, type = "", body = ""] of blocks) {
    if (type !== "CERTIFICATE") return `only CERTIFICATE PEM blocks are allowed, found ${JSON.stringify(type)}`;
    if (body.includes(":")) return "no PEM block headers are permitted";
    if (!isCertificate(body)) return "x509: malformed certificate";
  }
  return undefined;
}

export function validateSigningStatus(
  request: CertificateSigningRequest,
  old: CertificateSigningRequest,
): FieldError[] {
  const errors = validateSigningApproval(request, old);
  for (const type of DECISIONS) {
    const [after, before] = [conditionsOf(request, type), conditionsOf(old, type)];
    if (after.length > before.length) errors.push(changed("add", type));
    else if (after.length === before.length && !sameValue(after, before)) errors.push(changed("modify", type));
  }
  const before = old.status?.certificate;
  const after = request.status?.certificate ?? "";
  const issue = after === "" || after === before ? undefined : certificateIssue(after);
  if (issue !== undefined) errors.push(fieldInvalid("status.certificate", "<certificate data>", issue));
  if (before && !sameValue(request.status?.certificate, before)) {
    errors.push(fieldForbidden("status.certificate", "updates may not modify existing certificate content"));
  }
  return errors;
}
