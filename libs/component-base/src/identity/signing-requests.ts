// Requests for certificates (PKCS #10): what one asks for, and the certificate that a CA gives for it. Guarantees: nothing is
// signed for a request whose own signature does not verify; names and the key come from the request, everything else from the
// policy; a certificate never outlives its CA.
import "reflect-metadata";
import { createPrivateKey, createPublicKey, generateKeyPairSync, webcrypto, X509Certificate } from "node:crypto";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  cryptoProvider,
  ExtendedKeyUsageExtension,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Pkcs10CertificateRequest,
  Pkcs10CertificateRequestGenerator,
  SubjectAlternativeNameExtension,
  X509Certificate as PeculiarCertificate,
  X509CertificateGenerator,
} from "@peculiar/x509";
import type { IdentityDeps, KeyPairPem } from "./certificates.ts";

/** What a request says, as far as anybody decides by it. */
export interface SigningRequest {
  readonly commonName: string;
  readonly organizations: readonly string[];
  readonly dnsNames: readonly string[];
  readonly ips: readonly string[];
  readonly emails: readonly string[];
  readonly uris: readonly string[];
}

export interface SigningPolicy {
  /** As in spec.usages of a CertificateSigningRequest. */
  readonly usages: readonly string[];
  /** How long the certificate shall hold, from now on, ms. */
  readonly ttlMs: number;
}

/** Reads requests, and signs them where it has a CA's key. */
export interface CertificateAuthority {
  /** `pem` is the text of a CERTIFICATE REQUEST. Rejects with an Error that says what is wrong with it. */
  parse(pem: string): Promise<SigningRequest>;
  /** The certificate as PEM. Rejects where the request's signature does not verify, or a usage is not known. */
  sign(pem: string, policy: SigningPolicy): Promise<string>;
}

const KEY_ALGORITHM = { name: "ECDSA", namedCurve: "P-256" };
const BACKDATE_MS = 5 * 60_000;
/** What lives shorter than this has its whole life after now: five minutes would be too large a part of it. */
const SHORT_MS = 8 * 60 * 60_000;

/** https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/certificate-signing-request-v1/ */
const KEY_USAGES: Readonly<Record<string, number>> = {
  signing: KeyUsageFlags.digitalSignature,
  "digital signature": KeyUsageFlags.digitalSignature,
  "content commitment": KeyUsageFlags.nonRepudiation,
  "key encipherment": KeyUsageFlags.keyEncipherment,
  "key agreement": KeyUsageFlags.keyAgreement,
  "data encipherment": KeyUsageFlags.dataEncipherment,
  "cert sign": KeyUsageFlags.keyCertSign,
  "crl sign": KeyUsageFlags.cRLSign,
  "encipher only": KeyUsageFlags.encipherOnly,
  "decipher only": KeyUsageFlags.decipherOnly,
};
const EXTENDED_USAGES: Readonly<Record<string, string>> = {
  any: "2.5.29.37.0",
  "server auth": "1.3.6.1.5.5.7.3.1",
  "client auth": "1.3.6.1.5.5.7.3.2",
  "code signing": "1.3.6.1.5.5.7.3.3",
  "email protection": "1.3.6.1.5.5.7.3.4",
  "s/mime": "1.3.6.1.5.5.7.3.4",
  "ipsec end system": "1.3.6.1.5.5.7.3.5",
  "ipsec tunnel": "1.3.6.1.5.5.7.3.6",
  "ipsec user": "1.3.6.1.5.5.7.3.7",
  timestamping: "1.3.6.1.5.5.7.3.8",
  "ocsp signing": "1.3.6.1.5.5.7.3.9",
  "microsoft sgc": "1.3.6.1.4.1.311.10.3.3",
  "netscape sgc": "2.16.840.1.113730.4.1",
};

function read(pem: string): Pkcs10CertificateRequest {
  const block = /-----BEGIN CERTIFICATE REQUEST-----\r?\n([A-Za-z0-9+/=\s]+)-----END CERTIFICATE REQUEST-----/.exec(
    pem,
  );
  if (block === null) throw new Error("PEM block type must be CERTIFICATE REQUEST");
  return new Pkcs10CertificateRequest(Buffer.from(block[1]!, "base64"));
}

function alternativeNames(request: Pkcs10CertificateRequest): SubjectAlternativeNameExtension | undefined {
  return request.extensions.find((one) => one instanceof SubjectAlternativeNameExtension);
}

/** What the PEM text asks for. Throws where it is no request. */
export function parseSigningRequest(pem: string): SigningRequest {
  const request = read(pem);
  const names = alternativeNames(request)?.names.items ?? [];
  const of = (type: string): string[] => names.filter((name) => name.type === type).map((name) => name.value);
  const field = (name: string): string[] => request.subjectName.getField(name);
  return {
    commonName: field("CN").at(-1) ?? "",
    organizations: field("O"),
    dnsNames: of("dns"),
    ips: of("ip"),
    emails: of("email"),
    uris: of("url"),
  };
}

/** A request for a certificate of a fresh EC P-256 key, as whoever wants one makes it; PEM. */
export async function createSigningRequest(
  asked: Partial<Pick<SigningRequest, "organizations" | "dnsNames" | "ips">> & Pick<SigningRequest, "commonName">,
): Promise<{ readonly keyPem: string; readonly requestPem: string }> {
  cryptoProvider.set(webcrypto);
  const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const { organizations = [], dnsNames = [], ips = [] } = asked;
  const names = [
    ...dnsNames.map((value) => ({ type: "dns" as const, value })),
    ...ips.map((value) => ({ type: "ip" as const, value })),
  ];
  const request = await Pkcs10CertificateRequestGenerator.create({
    name: [...organizations.map((name) => ({ O: [name] })), { CN: [asked.commonName] }],
    keys: {
      publicKey: pair.publicKey.toCryptoKey(KEY_ALGORITHM, true, ["verify"]),
      privateKey: pair.privateKey.toCryptoKey(KEY_ALGORITHM, true, ["sign"]),
    },
    signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
    extensions: names.length === 0 ? [] : [new SubjectAlternativeNameExtension(names)],
  });
  const keyPem = pair.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  return { keyPem, requestPem: `${request.toString("pem")}\n` };
}

function usageExtensions(usages: readonly string[]): Extension[] {
  const unknown = usages.filter((usage) => KEY_USAGES[usage] === undefined && EXTENDED_USAGES[usage] === undefined);
  if (unknown.length > 0) {
    throw new Error(`unrecognized usage values: [${unknown.map((one) => JSON.stringify(one)).join(" ")}]`);
  }
  const flags = usages.reduce<number>((sum, usage) => sum | (KEY_USAGES[usage] ?? 0), 0);
  const extended = [...new Set(usages.flatMap((usage) => EXTENDED_USAGES[usage] ?? []))];
  return [
    // oxlint-disable-next-line typescript/no-unsafe-enum-assignment -- several flags together are a number, and no flag
    ...(flags === 0 ? [] : [new KeyUsagesExtension(flags, true)]),
    ...(extended.length === 0 ? [] : [new ExtendedKeyUsageExtension(extended)]),
  ];
}

/** From five minutes ago, for clocks that differ, to the end of the TTL or of the CA. */
function validity(ca: KeyPairPem, policy: SigningPolicy, nowMs: number): { notBefore: Date; notAfter: Date } {
  const short = policy.ttlMs < SHORT_MS;
  const endMs = Math.min(
    nowMs + policy.ttlMs - (short ? 0 : BACKDATE_MS),
    Date.parse(new X509Certificate(ca.certPem).validTo),
  );
  return { notBefore: new Date(nowMs - BACKDATE_MS), notAfter: new Date(endMs) };
}

/** `ca` has an EC P-256 key, as createCa makes it. */
export function createCertificateAuthority(ca: KeyPairPem, deps: IdentityDeps): CertificateAuthority {
  const signingKey = createPrivateKey(ca.keyPem).toCryptoKey(KEY_ALGORITHM, false, ["sign"]);
  const publicKey = createPublicKey(ca.certPem).toCryptoKey(KEY_ALGORITHM, true, ["verify"]);
  return {
    parse: async (pem) => parseSigningRequest(pem),
    async sign(pem, policy) {
      cryptoProvider.set(webcrypto);
      const request = read(pem);
      if (!(await request.verify())) throw new Error("unable to verify certificate request signature");
      const names = alternativeNames(request);
      const serial = deps.random.bytes(16);
      serial[0] = (serial[0]! & 0x3f) | 0x40;
      const certificate = await X509CertificateGenerator.create({
        serialNumber: serial.toString("hex"),
        subject: request.subjectName,
        issuer: new PeculiarCertificate(ca.certPem).subjectName,
        ...validity(ca, policy, deps.clock.now()),
        signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
        publicKey: request.publicKey,
        signingKey,
        extensions: [
          ...usageExtensions(policy.usages),
          new BasicConstraintsExtension(false, undefined, true),
          await AuthorityKeyIdentifierExtension.create(publicKey),
          ...(names === undefined ? [] : [names]),
        ],
      });
      return `${certificate.toString("pem")}\n`;
    },
  };
}
