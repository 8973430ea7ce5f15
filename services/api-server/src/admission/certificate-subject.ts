// CertificateSubjectRestriction: nobody becomes an administrator by a certificate that a signer gives away.
// https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#certificatesubjectrestriction
import type { CertificateSigningRequest } from "@coxswain/api";
import { newForbidden } from "@coxswain/apimachinery";
import type { SigningRequest } from "@coxswain/component-base/identity/signing-requests";
import type { AdmissionPlugin } from "../pipeline/extension.ts";

const SIGNER = "kubernetes.io/kube-apiserver-client";
const MASTERS = "system:masters";

export const certificateSubjectRestriction: AdmissionPlugin = {
  name: "CertificateSubjectRestriction",
  validate({ kind, operation, subresource, object, name }) {
    const ours = kind.group === "certificates.k8s.io" && kind.resource === "certificatesigningrequests";
    if (!ours || operation !== "CREATE" || subresource !== "" || object === undefined) return undefined;
    const { spec } = object as CertificateSigningRequest;
    if (spec?.signerName !== SIGNER) return undefined;
    return (async () => {
      const asked = await readSigningRequest(spec.request);
      if (asked instanceof Error) throw newForbidden(kind, name, `failed to parse CSR: ${asked.message}`);
      if (!asked.organizations.includes(MASTERS)) return;
      throw newForbidden(kind, name, `use of ${SIGNER} signer with ${MASTERS} group is not allowed`);
    })();
  },
};

/** What a CertificateSigningRequest's `spec.request` asks for. The reader of certificates is large, and loaded when it is needed first. */
export async function readSigningRequest(request: string): Promise<SigningRequest | Error> {
  const { parseSigningRequest } = await import("@coxswain/component-base/identity/signing-requests");
  try {
    return parseSigningRequest(Buffer.from(request, "base64").toString("utf8"));
  } catch (error) {
    return error as Error;
  }
}
