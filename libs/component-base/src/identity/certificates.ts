// Certificates by pure functions of their inputs: a CA, and what it signs. Keys are ECDSA P-256, PEM everywhere.
import "reflect-metadata";
import { generateKeyPairSync, webcrypto, X509Certificate, createPrivateKey, createPublicKey } from "node:crypto";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  cryptoProvider,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  type JsonName,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate as PeculiarCertificate,
  X509CertificateGenerator,
} from "@peculiar/x509";
import type { Clock, Random } from "@coxswain/env";

export interface IdentityDeps {
  readonly clock: Clock;
  readonly random: Random;
}

export interface KeyPairPem {
  readonly certPem: string;
  readonly keyPem: string;
}

export type CertificateUsage = "client" | "server";

export interface CertificateRequest {
  readonly commonName: string;
  /** Groups of the user. */
  readonly organizations?: readonly string[];
  readonly dnsNames?: readonly string[];
  readonly ips?: readonly string[];
  readonly usages: readonly CertificateUsage[];
  /** How long it holds; it starts five minutes in the past, for clocks that differ. */
  readonly days: number;
}

const DAY_MS = 86_400_000;
const SKEW_MS = 5 * 60_000;
const KEY_ALGORITHM = { name: "ECDSA", namedCurve: "P-256" };
const SIGNING_ALGORITHM = { name: "ECDSA", hash: "SHA-256" };

type CryptoKey = webcrypto.CryptoKey;

function newKeys(): { publicKey: CryptoKey; privateKey: CryptoKey; keyPem: string } {
  const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return {
    publicKey: pair.publicKey.toCryptoKey(KEY_ALGORITHM, true, ["verify"]),
    privateKey: pair.privateKey.toCryptoKey(KEY_ALGORITHM, true, ["sign"]),
    keyPem: pair.privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  };
}

function subject(commonName: string, organizations: readonly string[] = []): JsonName {
  return [...organizations.map((name) => ({ O: [name] })), { CN: [commonName] }];
}

/** 127 random bits, positive and never zero. */
function serial(random: Random): string {
  const bytes = random.bytes(16);
  bytes[0] = (bytes[0]! & 0x3f) | 0x40;
  return bytes.toString("hex");
}

function validity(clock: Clock, days: number): { notBefore: Date; notAfter: Date } {
  const now = clock.now();
  return { notBefore: new Date(now - SKEW_MS), notAfter: new Date(now + days * DAY_MS) };
}

/** A self-signed certificate authority. */
export async function createCa(deps: IdentityDeps, commonName = "kubernetes", days = 3650): Promise<KeyPairPem> {
  cryptoProvider.set(webcrypto);
  const keys = newKeys();
  const certificate = await X509CertificateGenerator.create({
    serialNumber: serial(deps.random),
    subject: subject(commonName),
    issuer: subject(commonName),
    ...validity(deps.clock, days),
    signingAlgorithm: SIGNING_ALGORITHM,
    publicKey: keys.publicKey,
    signingKey: keys.privateKey,
    extensions: [
      new BasicConstraintsExtension(true, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign | KeyUsageFlags.digitalSignature, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certPem: `${certificate.toString("pem")}\n`, keyPem: keys.keyPem };
}

/** A certificate with a fresh key, signed by `ca`. */
export async function issueCertificate(
  ca: KeyPairPem,
  request: CertificateRequest,
  deps: IdentityDeps,
): Promise<KeyPairPem> {
  cryptoProvider.set(webcrypto);
  const keys = newKeys();
  const issuer = new PeculiarCertificate(ca.certPem);
  const names = [
    ...(request.dnsNames ?? []).map((value) => ({ type: "dns" as const, value })),
    ...(request.ips ?? []).map((value) => ({ type: "ip" as const, value })),
  ];
  const usages = request.usages.map((usage) =>
    usage === "client" ? ExtendedKeyUsage.clientAuth : ExtendedKeyUsage.serverAuth,
  );
  const caKey = createPublicKey(ca.certPem).toCryptoKey(KEY_ALGORITHM, true, ["verify"]);
  const extensions: Extension[] = [
    new BasicConstraintsExtension(false, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
    new ExtendedKeyUsageExtension(usages),
    await AuthorityKeyIdentifierExtension.create(caKey),
    ...(names.length > 0 ? [new SubjectAlternativeNameExtension(names)] : []),
  ];
  const certificate = await X509CertificateGenerator.create({
    serialNumber: serial(deps.random),
    subject: subject(request.commonName, request.organizations),
    issuer: issuer.subjectName,
    ...validity(deps.clock, request.days),
    signingAlgorithm: SIGNING_ALGORITHM,
    publicKey: keys.publicKey,
    signingKey: createPrivateKey(ca.keyPem).toCryptoKey(KEY_ALGORITHM, false, ["sign"]),
    extensions,
  });
  return { certPem: `${certificate.toString("pem")}\n`, keyPem: keys.keyPem };
}

/** Milliseconds of life left; negative where it has expired. */
export function remainingMs(certPem: string, clock: Clock): number {
  return Date.parse(new X509Certificate(certPem).validTo) - clock.now();
}
