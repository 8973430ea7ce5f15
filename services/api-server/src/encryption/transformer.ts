// Values as they lie in storage: `k8s:enc:<cipher>:v1:<key>:` and the sealed bytes. Guarantees: what is sealed for one key of
// storage cannot be read under another (aesgcm); what was changed, or is of an unknown key, is an error and never garbage.
import { createCipheriv, createDecipheriv } from "node:crypto";
import type { Random } from "@coxswain/env";
import nacl from "tweetnacl";
import type { Cipher, EncryptionKey, Provider } from "./configuration.ts";

const MARK = Buffer.from("k8s:enc:");
const GCM_NONCE = 12;
const GCM_TAG = 16;
const CBC_IV = 16;
const BOX_NONCE = 24;

export interface Opened {
  readonly value: Buffer;
  /** It would be written in another form today. */
  readonly stale: boolean;
}

export class TransformError extends Error {
  override readonly name = "TransformError";
}

/** True where the bytes say that they are encrypted. */
export function isSealed(stored: Buffer): boolean {
  // The first byte tells almost always: objects begin with a brace.
  return stored[0] === MARK[0] && startsWith(stored, MARK);
}

function startsWith(stored: Buffer, prefix: Buffer): boolean {
  return stored.length >= prefix.length && stored.compare(prefix, 0, prefix.length, 0, prefix.length) === 0;
}

interface Slot {
  readonly cipher: Provider["cipher"];
  readonly prefix: Buffer;
  readonly secret: Buffer;
}

const prefixOf = (cipher: Cipher, key: EncryptionKey): Buffer => Buffer.from(`k8s:enc:${cipher}:v1:${key.name}:`);

/** One rule's providers as something that seals and opens values. */
export class Transformer {
  readonly #slots: readonly Slot[];
  readonly #random: Random;

  constructor(providers: readonly Provider[], random: Random) {
    this.#random = random;
    this.#slots = providers.flatMap((provider): Slot[] =>
      provider.cipher === "identity"
        ? [{ cipher: "identity", prefix: Buffer.alloc(0), secret: Buffer.alloc(0) }]
        : provider.keys.map((key) => ({
            cipher: provider.cipher,
            prefix: prefixOf(provider.cipher, key),
            secret: key.secret,
          })),
    );
  }

  seal(storageKey: string, value: Buffer): Buffer {
    const { cipher, prefix, secret } = this.#slots[0]!;
    if (cipher === "identity") return value;
    return Buffer.concat([prefix, sealWith(cipher, secret, storageKey, value, this.#random)]);
  }

  /** @throws TransformError where no key opens it */
  open(storageKey: string, stored: Buffer): Opened {
    let failure: unknown;
    for (const [place, { cipher, prefix, secret }] of this.#slots.entries()) {
      if (cipher === "identity") {
        if (!isSealed(stored)) return { value: stored, stale: place > 0 };
        continue;
      }
      if (!startsWith(stored, prefix)) continue;
      try {
        return { value: openWith(cipher, secret, storageKey, stored.subarray(prefix.length)), stale: place > 0 };
      } catch (error) {
        // Another key of the same name may follow.
        failure ??= error;
      }
    }
    const why = failure === undefined ? "no matching prefix found" : (failure as Error).message;
    throw new TransformError(`unable to transform key ${JSON.stringify(storageKey)}: ${why}`);
  }
}

function sealWith(cipher: Cipher, secret: Buffer, storageKey: string, value: Buffer, random: Random): Buffer {
  if (cipher === "secretbox") {
    const nonce = random.bytes(BOX_NONCE);
    return Buffer.concat([nonce, nacl.secretbox(value, nonce, secret)]);
  }
  if (cipher === "aescbc") {
    const iv = random.bytes(CBC_IV);
    const sealer = createCipheriv(`aes-${secret.length * 8}-cbc`, secret, iv);
    return Buffer.concat([iv, sealer.update(value), sealer.final()]);
  }
  const nonce = random.bytes(GCM_NONCE);
  const sealer = createCipheriv(gcm(secret), secret, nonce, { authTagLength: GCM_TAG });
  sealer.setAAD(Buffer.from(storageKey));
  return Buffer.concat([nonce, sealer.update(value), sealer.final(), sealer.getAuthTag()]);
}

const gcm = (secret: Buffer) => `aes-${(secret.length * 8) as 128 | 192 | 256}-gcm` as const;

function openWith(cipher: Cipher, secret: Buffer, storageKey: string, sealed: Buffer): Buffer {
  if (cipher === "secretbox") {
    const opened = nacl.secretbox.open(sealed.subarray(BOX_NONCE), sealed.subarray(0, BOX_NONCE), secret);
    if (opened === null) throw new Error("output array was not large enough for encryption or was changed");
    return Buffer.from(opened.buffer, opened.byteOffset, opened.byteLength);
  }
  if (cipher === "aescbc") {
    if (sealed.length < 2 * CBC_IV || sealed.length % CBC_IV !== 0) {
      throw new Error("the stored data is not a multiple of the block size");
    }
    const opener = createDecipheriv(`aes-${secret.length * 8}-cbc`, secret, sealed.subarray(0, CBC_IV));
    return Buffer.concat([opener.update(sealed.subarray(CBC_IV)), opener.final()]);
  }
  if (sealed.length < GCM_NONCE + GCM_TAG) throw new Error("the stored data was shorter than the required size");
  const opener = createDecipheriv(gcm(secret), secret, sealed.subarray(0, GCM_NONCE), { authTagLength: GCM_TAG });
  opener.setAAD(Buffer.from(storageKey));
  opener.setAuthTag(sealed.subarray(-GCM_TAG));
  try {
    return Buffer.concat([opener.update(sealed.subarray(GCM_NONCE, -GCM_TAG)), opener.final()]);
  } catch (cause) {
    throw new Error("cipher: message authentication failed", { cause });
  }
}
