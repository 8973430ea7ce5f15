// CertificateApproval and CertificateSigning: who approves a request for a certificate, or signs it, needs the permission to
// do so for its signer, besides the one to write the object.
// https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#authorization
import type { CertificateSigningRequest } from "@coxswain/api";
import { newForbidden } from "@coxswain/apimachinery";
import type { Authorizer } from "../pipeline/contract.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "../pipeline/extension.ts";

const GROUP = "certificates.k8s.io";

/** Without an authorizer everything is allowed. */
export function createCertificateApproval(authorizer: Authorizer | undefined): AdmissionPlugin {
  return {
    name: "CertificateApproval",
    validate(attributes) {
      return writes(attributes, "approval") ? demand(authorizer, "approve", attributes) : undefined;
    },
  };
}

export function createCertificateSigning(authorizer: Authorizer | undefined): AdmissionPlugin {
  return {
    name: "CertificateSigning",
    validate(attributes) {
      if (!writes(attributes, "status")) return undefined;
      const { status }: CertificateSigningRequest = attributes.object as CertificateSigningRequest;
      const { status: before }: CertificateSigningRequest = attributes.old as CertificateSigningRequest;
      const failed = ({ conditions }: NonNullable<CertificateSigningRequest["status"]> = {}): boolean =>
        conditions?.some(({ type }) => type === "Failed") ?? false;
      // Others may write the rest of the status.
      if (status?.certificate === before?.certificate && failed(status) === failed(before)) return undefined;
      return demand(authorizer, "sign", attributes);
    },
  };
}

function writes({ operation, kind, subresource, old }: AdmissionAttributes, wanted: string): boolean {
  const ours = kind.group === GROUP && kind.resource === "certificatesigningrequests";
  return ours && operation === "UPDATE" && subresource === wanted && old !== undefined;
}

/** Allowed for the signer by name, or for all signers of its domain. */
async function demand(
  authorizer: Authorizer | undefined,
  verb: string,
  { kind, name, old, request }: AdmissionAttributes,
): Promise<void> {
  if (authorizer === undefined) return;
  const signer = (old as CertificateSigningRequest).spec?.signerName ?? "";
  const [domain = ""] = signer.split("/");
  const target = {
    user: request.user,
    verb,
    group: GROUP,
    version: "*",
    resource: "signers",
    subresource: "",
    namespace: "",
  };
  for (const each of [signer, `${domain}/*`]) {
    if ((await authorizer.authorize({ ...target, name: each }, request)).allowed) return;
  }
  throw newForbidden(kind, name, `user not permitted to ${verb} requests with signerName ${JSON.stringify(signer)}`);
}
