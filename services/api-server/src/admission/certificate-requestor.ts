// Writes down who asks for a certificate, in place of whatever the request says about that.
import type { CertificateSigningRequest } from "@coxswain/api";
import type { AdmissionPlugin } from "../pipeline/extension.ts";

export const certificateRequestor: AdmissionPlugin = {
  name: "CertificateRequestor",
  admit({ kind, operation, object, subresource, request }) {
    const ours = kind.group === "certificates.k8s.io" && kind.resource === "certificatesigningrequests";
    if (!ours || operation !== "CREATE" || subresource !== "") return;
    const { spec } = object as CertificateSigningRequest;
    if (!spec) return;
    const { username, uid, groups, extra = {} } = request.user;
    delete spec.uid;
    delete spec.groups;
    delete spec.extra;
    spec.username = username;
    if (uid) spec.uid = uid;
    if (groups.length > 0) spec.groups = [...groups];
    const given = Object.entries(extra).map(([key, values]): [string, string[]] => [key, [...values]]);
    if (given.length > 0) spec.extra = Object.fromEntries(given);
  },
};
