// CertificateSubjectRestriction: nobody becomes an administrator by a certificate that a signer gives away.
// https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#certificatesubjectrestriction
import type { CertificateSigningRequest } from "@coxswain/api";
import { newForbidden } from "@coxswain/apimachinery";
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
      const organizations = await organizationsOf(spec.request);
      if (organizations instanceof Error) {
        throw newForbidden(kind, name, `failed to parse CSR: ${organizations.message}`);
      }
      if (!organizations.includes(MASTERS)) return;
      throw newForbidden(kind, name, `use of ${SIGNER} signer with ${MASTERS} group is not allowed`);
    })();
  },
};

/** The reader of certificates is large, and loaded when it is needed first. */
async function organizationsOf(request: string): Promise<readonly string[] | Error> {
  const { parseSigningRequest } = await import("@coxswain/component-base/identity/signing-requests");
  try {
    return parseSigningRequest(Buffer.from(request, "base64").toString("utf8")).organizations;
  } catch (error) {
    return error as Error;
  }
}
