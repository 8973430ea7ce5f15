// The cluster's CA from its files. Guarantee: what reads and signs certificates is loaded at the first request for one, so that
// a process that never sees one does not pay for it at its start; files that cannot be read fail at once.
import { readFileSync } from "node:fs";
import type { IdentityDeps } from "@coxswain/component-base/identity/certificates";
import type { CertificateAuthority } from "@coxswain/component-base/identity/signing-requests";

export interface AuthorityFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

/** Reads requests; signs them too where there are files. */
export function loadAuthority(
  files: AuthorityFiles | undefined,
  deps: IdentityDeps,
): Pick<CertificateAuthority, "parse"> & Partial<Pick<CertificateAuthority, "sign">> {
  const load = () => import("@coxswain/component-base/identity/signing-requests");
  const parse: CertificateAuthority["parse"] = async (pem) => (await load()).parseSigningRequest(pem);
  if (files === undefined) return { parse };
  const pair = { certPem: readFileSync(files.certFile, "utf8"), keyPem: readFileSync(files.keyFile, "utf8") };
  let made: Promise<CertificateAuthority> | undefined;
  const authority = (): Promise<CertificateAuthority> =>
    (made ??= load().then(({ createCertificateAuthority }) => createCertificateAuthority(pair, deps)));
  return { parse, sign: async (pem, policy) => (await authority()).sign(pem, policy) };
}
