// Certificates by pure functions of their inputs: a CA, and what it signs. Keys are ECDSA P-256, PEM everywhere.
import { createHash, createPrivateKey, generateKeyPairSync, type KeyObject, sign, X509Certificate } from "node:crypto";
import { isIPv4, isIPv6 } from "node:net";
import type { Clock, Random } from "@coxswain/env";
import * as der from "./der.ts";

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

/** https://www.rfc-editor.org/rfc/rfc5280 and, for the algorithm, https://www.rfc-editor.org/rfc/rfc5758 */
const OID = {
  ecdsaWithSha256: "1.2.840.10045.4.3.2",
  commonName: "2.5.4.3",
  organization: "2.5.4.10",
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  authorityKeyIdentifier: "2.5.29.35",
  extKeyUsage: "2.5.29.37",
  serverAuth: "1.3.6.1.5.5.7.3.1",
  clientAuth: "1.3.6.1.5.5.7.3.2",
} as const;

/** Numbers of named bits. */
const KEY_USAGE = { digitalSignature: 0, keyCertSign: 5, crlSign: 6 } as const;
/** Numbers of the choices of a GeneralName. */
const GENERAL_NAME = { dns: 2, ip: 7 } as const;

interface Keys {
  /** SubjectPublicKeyInfo. */
  readonly spki: Buffer;
  readonly privateKey: KeyObject;
  readonly keyPem: string;
}

function newKeys(): Keys {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return {
    spki: publicKey.export({ type: "spki", format: "der" }),
    privateKey,
    keyPem: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  };
}

/** The Name of a certificate. */
function distinguishedName(commonName: string, organizations: readonly string[] = []): Buffer {
  const part = (type: string, text: string): Buffer =>
    der.setOf(der.sequence(der.objectIdentifier(type), der.utf8String(text)));
  return der.sequence(...organizations.map((name) => part(OID.organization, name)), part(OID.commonName, commonName));
}

/** 127 random bits, positive and never zero. */
function serial(random: Random): Uint8Array {
  const bytes = random.bytes(16);
  bytes[0] = (bytes[0]! & 0x3f) | 0x40;
  return bytes;
}

function validity(clock: Clock, days: number): Buffer {
  const now = clock.now();
  return der.sequence(der.time(new Date(now - SKEW_MS)), der.time(new Date(now + days * DAY_MS)));
}

/** The digest of the key's bits that names the key (RFC 5280, 4.2.1.2, first method). */
function keyIdentifier(spki: Buffer): Buffer {
  const [, bits = Buffer.alloc(0)] = der.itemsOf(spki);
  return createHash("sha1").update(der.contentOf(bits).subarray(1)).digest();
}

function extension(type: string, value: Buffer, critical = false): Buffer {
  return der.sequence(der.objectIdentifier(type), ...(critical ? [der.trueValue()] : []), der.octetString(value));
}

/** The bytes of an address: 4 or 16. */
function addressBytes(address: string): Buffer {
  if (isIPv4(address)) return Buffer.from(address.split(".").map(Number));
  if (!isIPv6(address)) throw new RangeError(`${JSON.stringify(address)} is no IP address`);
  // An IPv4 address at the end stands for two groups.
  const plain = address.replace(/[\d.]+$/, (tail) => {
    if (!tail.includes(".")) return tail;
    const [a = 0, b = 0, c = 0, d = 0] = tail.split(".").map(Number);
    return `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  });
  const [head = [], tail] = plain.split("::").map((half) => half.split(":").filter((group) => group !== ""));
  const missing = 8 - head.length - (tail?.length ?? 0);
  const groups = [...head, ...(tail === undefined ? [] : [...Array<string>(missing).fill("0"), ...tail])];
  return Buffer.from(groups.map((group) => group.padStart(4, "0")).join(""), "hex");
}

interface ToBeSigned {
  readonly serial: Uint8Array;
  readonly issuer: Buffer;
  readonly validity: Buffer;
  readonly subject: Buffer;
  readonly spki: Buffer;
  readonly extensions: readonly Buffer[];
}

/** A certificate as PEM. */
function signed(parts: ToBeSigned, key: KeyObject): string {
  const algorithm = der.sequence(der.objectIdentifier(OID.ecdsaWithSha256));
  const version3 = der.wrapped(0, der.integer(Buffer.from([2])));
  const body = der.sequence(
    version3,
    der.integer(parts.serial),
    algorithm,
    parts.issuer,
    parts.validity,
    parts.subject,
    parts.spki,
    der.wrapped(3, der.sequence(...parts.extensions)),
  );
  const certificate = der.sequence(body, algorithm, der.bitString(sign("sha256", body, key)));
  const lines = certificate.toString("base64").replaceAll(/.{64}(?!$)/g, "$&\n");
  return `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`;
}

/** A self-signed certificate authority. */
export async function createCa(deps: IdentityDeps, commonName = "kubernetes", days = 3650): Promise<KeyPairPem> {
  const { spki, privateKey, keyPem } = newKeys();
  const name = distinguishedName(commonName);
  const usages = der.namedBits(KEY_USAGE.digitalSignature, KEY_USAGE.keyCertSign, KEY_USAGE.crlSign);
  const certPem = signed(
    {
      serial: serial(deps.random),
      issuer: name,
      validity: validity(deps.clock, days),
      subject: name,
      spki,
      extensions: [
        extension(OID.basicConstraints, der.sequence(der.trueValue()), true),
        extension(OID.keyUsage, usages, true),
        extension(OID.subjectKeyIdentifier, der.octetString(keyIdentifier(spki))),
      ],
    },
    privateKey,
  );
  return { certPem, keyPem };
}

/** The subject of a certificate, byte for byte: whoever follows a chain compares it with the issuer of the next. */
function subjectBytes({ raw }: X509Certificate): Buffer {
  const [body = Buffer.alloc(0)] = der.itemsOf(raw);
  const subject = der.itemsOf(body)[5];
  if (subject === undefined) throw new RangeError("a certificate without a subject");
  return subject;
}

/** A certificate with a fresh key, signed by `ca`, whose key is one of an elliptic curve. */
export async function issueCertificate(
  ca: KeyPairPem,
  request: CertificateRequest,
  deps: IdentityDeps,
): Promise<KeyPairPem> {
  const { spki, keyPem } = newKeys();
  const issuer = new X509Certificate(ca.certPem);
  const caSpki = issuer.publicKey.export({ type: "spki", format: "der" });
  const names = [
    ...(request.dnsNames ?? []).map((name) => der.tagged(GENERAL_NAME.dns, Buffer.from(name, "latin1"))),
    ...(request.ips ?? []).map((address) => der.tagged(GENERAL_NAME.ip, addressBytes(address))),
  ];
  const usages = request.usages.map((usage) =>
    der.objectIdentifier(usage === "client" ? OID.clientAuth : OID.serverAuth),
  );
  const certPem = signed(
    {
      serial: serial(deps.random),
      issuer: subjectBytes(issuer),
      validity: validity(deps.clock, request.days),
      subject: distinguishedName(request.commonName, request.organizations),
      spki,
      extensions: [
        extension(OID.basicConstraints, der.sequence(), true),
        extension(OID.keyUsage, der.namedBits(KEY_USAGE.digitalSignature), true),
        extension(OID.extKeyUsage, der.sequence(...usages)),
        extension(OID.authorityKeyIdentifier, der.sequence(der.tagged(0, keyIdentifier(caSpki)))),
        ...(names.length > 0 ? [extension(OID.subjectAltName, der.sequence(...names))] : []),
      ],
    },
    createPrivateKey(ca.keyPem),
  );
  return { certPem, keyPem };
}

/** Milliseconds of life left; negative where it has expired. */
export function remainingMs(certPem: string, clock: Clock): number {
  return Date.parse(new X509Certificate(certPem).validTo) - clock.now();
}
