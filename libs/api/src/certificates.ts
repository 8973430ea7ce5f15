// Certificates that come with an object: the bundle that a webhook's server is known by, the chain that a signer issued.
import { X509Certificate } from "node:crypto";

const BLOCK = /-----BEGIN CERTIFICATE-----\s*([A-Za-z0-9+/=\s]*)-----END CERTIFICATE-----/g;

/** Why a bundle (PEM, in base64) has no certificate that could be used; undefined where it has one. */
export function caBundleError(base64: string): string | undefined {
  const what = "unable to load root certificates";
  const blocks = [...Buffer.from(base64, "base64").toString("latin1").matchAll(BLOCK)];
  if (blocks.length === 0) return `${what}: unable to parse bytes as PEM block`;
  if (blocks.some(([, body = ""]) => isCertificate(body))) return undefined;
  return `${what}: failed to parse certificate: x509: malformed certificate`;
}

/** True where the body of a PEM block is a certificate. */
export function isCertificate(base64: string): boolean {
  try {
    return new X509Certificate(Buffer.from(base64, "base64")).raw.length > 0;
  } catch (error) {
    // What is no certificate is an error of OpenSSL's decoder.
    if (error instanceof Error) return false;
    throw error;
  }
}
