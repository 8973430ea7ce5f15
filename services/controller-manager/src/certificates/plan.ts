// What becomes of a CertificateSigningRequest: who may be approved without a person, what each signer signs and for how long,
// and when a request has outlived its use. Pure; the words are upstream's.
// https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#kubernetes-signers
import { X509Certificate } from "node:crypto";
import type { CertificateSigningRequest, CertificateSigningRequestCondition } from "@coxswain/api";
import { formatTime, parseTime } from "@coxswain/apimachinery";
import type { SigningRequest } from "@coxswain/component-base/identity/signing-requests";

export const KUBELET_SERVING = "kubernetes.io/kubelet-serving";
export const KUBELET_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet";
export const CLIENT = "kubernetes.io/kube-apiserver-client";
export const LEGACY_UNKNOWN = "kubernetes.io/legacy-unknown";
export const SIGNERS = [KUBELET_SERVING, KUBELET_CLIENT, CLIENT, LEGACY_UNKNOWN] as const;

const MIN_TTL_MS = 10 * 60_000;
const HOUR_MS = 3_600_000;

export function conditionOf(
  request: CertificateSigningRequest,
  type: string,
): CertificateSigningRequestCondition | undefined {
  return request.status?.conditions?.find((condition) => condition.type === type);
}

/** The PEM text that the request carries. */
export const requestPem = ({ spec }: CertificateSigningRequest): string =>
  Buffer.from(spec.request, "base64").toString("latin1");

const sameSet = (usages: readonly string[], wanted: readonly string[]): boolean => {
  const present = new Set(usages);
  return present.size === wanted.length && wanted.every((usage) => present.has(usage));
};

const NODE_USAGES = ["digital signature", "key encipherment"] as const;

/** With "key encipherment" or, as keys that are not RSA have no use for it, without. */
function nodeUsages(usages: readonly string[], purpose: "client auth" | "server auth"): string | undefined {
  const whole = [...NODE_USAGES, purpose].toSorted((a, b) => (a < b ? -1 : 1));
  if (sameSet(usages, whole) || sameSet(usages, ["digital signature", purpose])) return undefined;
  return `usages did not match [${whole.join(" ")}]`;
}

function kubeletServing(asked: SigningRequest, usages: readonly string[]): string | undefined {
  const { organizations, dnsNames, ips, emails, uris, commonName } = asked;
  if (organizations.length !== 1 || organizations[0] !== "system:nodes") {
    return "subject organization is not system:nodes";
  }
  if (dnsNames.length + ips.length === 0) return "DNS or IP subjectAltName is required";
  if (emails.length > 0) return "Email subjectAltNames are not allowed";
  if (uris.length > 0) return "URI subjectAltNames are not allowed";
  const wrong = nodeUsages(usages, "server auth");
  if (wrong !== undefined) return wrong;
  return commonName.startsWith("system:node:") ? undefined : "subject common name does not begin with system:node:";
}

function kubeletClient(asked: SigningRequest, usages: readonly string[]): string | undefined {
  const { organizations, dnsNames, ips, emails, uris, commonName } = asked;
  if (organizations.length !== 1 || organizations[0] !== "system:nodes") {
    return "subject organization is not system:nodes";
  }
  if (dnsNames.length > 0) return "DNS subjectAltNames are not allowed";
  if (emails.length > 0) return "Email subjectAltNames are not allowed";
  if (ips.length > 0) return "IP subjectAltNames are not allowed";
  if (uris.length > 0) return "URI subjectAltNames are not allowed";
  if (!commonName.startsWith("system:node:")) return "subject common name does not begin with system:node:";
  return nodeUsages(usages, "client auth");
}

function client(usages: readonly string[]): string | undefined {
  const wrong = usages.find((usage) => usage !== "client auth" && !NODE_USAGES.some((one) => one === usage));
  if (wrong !== undefined) return `invalid usage for client certificate: ${wrong}`;
  return usages.includes("client auth") ? undefined : "missing required usage for client certificate: client auth";
}

/** Why the request's signer does not sign it; undefined where it does. */
export function refusal({ spec }: CertificateSigningRequest, asked: SigningRequest): string | undefined {
  const usages = spec.usages ?? [];
  if (spec.signerName === KUBELET_SERVING) return kubeletServing(asked, usages);
  if (spec.signerName === KUBELET_CLIENT) return kubeletClient(asked, usages);
  return spec.signerName === CLIENT ? client(usages) : undefined;
}

/** Permissions, the strongest claim first, any of which lets the request through without a person. */
export interface Recognition {
  /** Of certificatesigningrequests; its verb is create. */
  readonly subresource: "selfnodeclient" | "nodeclient";
  readonly message: string;
}

export function planApproval(request: CertificateSigningRequest, asked: SigningRequest): Recognition[] {
  if (request.spec.signerName !== KUBELET_CLIENT || refusal(request, asked) !== undefined) return [];
  const self: Recognition = {
    subresource: "selfnodeclient",
    message: "Auto approving self kubelet client certificate after SubjectAccessReview.",
  };
  const node: Recognition = {
    subresource: "nodeclient",
    message: "Auto approving kubelet client certificate after SubjectAccessReview.",
  };
  return request.spec.username === asked.commonName ? [self, node] : [node];
}

/** True while nobody has decided and nothing has been issued. */
export function isUndecided(request: CertificateSigningRequest): boolean {
  const decided = conditionOf(request, "Approved") ?? conditionOf(request, "Denied");
  return decided === undefined && !request.status?.certificate;
}

/** True where a signer of ours has work to do. */
export function awaitsSignature(request: CertificateSigningRequest): boolean {
  const holds = (type: string): boolean => conditionOf(request, type)?.status === "True";
  const ours = SIGNERS.some((signer) => signer === request.spec.signerName);
  return (
    ours &&
    !request.status?.certificate &&
    conditionOf(request, "Approved") !== undefined &&
    conditionOf(request, "Denied") === undefined &&
    !holds("Failed")
  );
}

/** How long the certificate holds, ms: what was asked for, at least ten minutes and at most `longestMs`. */
export function ttlMs({ spec }: CertificateSigningRequest, longestMs: number): number {
  if (spec.expirationSeconds === undefined) return longestMs;
  return Math.min(longestMs, Math.max(MIN_TTL_MS, spec.expirationSeconds * 1000));
}

export function withFailure(request: CertificateSigningRequest, message: string, nowMs: number) {
  const failure: CertificateSigningRequestCondition = {
    type: "Failed",
    status: "True",
    reason: "SignerValidationFailure",
    message,
    lastUpdateTime: formatTime(nowMs),
  };
  return { ...request, status: { ...request.status, conditions: [...(request.status?.conditions ?? []), failure] } };
}

export function withApproval(request: CertificateSigningRequest, message: string): CertificateSigningRequest {
  const approval = { type: "Approved", status: "True", reason: "AutoApproved", message };
  return { ...request, status: { ...request.status, conditions: [...(request.status?.conditions ?? []), approval] } };
}

/** When the certificate ends, ms since the epoch; undefined where there is none that can be read. */
function certificateEndMs(certificate: string | undefined): number | undefined {
  if (!certificate) return undefined;
  try {
    return Date.parse(new X509Certificate(Buffer.from(certificate, "base64")).validTo);
  } catch {
    // Another signer may have written what it likes; only its age decides then.
    return undefined;
  }
}

/**
 * When the request may go, ms since the epoch: an hour after it was approved and issued, denied or has failed, a day after
 * its creation where nobody decided, or after the approval of what nobody issued, and as soon as its certificate has run out. Undefined while there is no such time.
 */
export function disposableAtMs(request: CertificateSigningRequest): number | undefined {
  const { conditions = [], certificate } = request.status ?? {};
  const times: number[] = [];
  const after = (time: string | null | undefined, ms: number): void => {
    const sinceMs = parseTime(time);
    if (sinceMs !== undefined) times.push(sinceMs + ms);
  };
  for (const { type, lastUpdateTime } of conditions) {
    if (type === "Denied" || type === "Failed" || (type === "Approved" && certificate)) after(lastUpdateTime, HOUR_MS);
    else if (type === "Approved") after(lastUpdateTime, 24 * HOUR_MS);
  }
  if (conditions.length === 0) after(request.metadata?.creationTimestamp, 24 * HOUR_MS);
  const endMs = conditionOf(request, "Approved") === undefined ? undefined : certificateEndMs(certificate);
  if (endMs !== undefined) times.push(endMs);
  return times.length === 0 ? undefined : Math.min(...times);
}
