// The sizes and the encoding of ConfigMap and Secret data.

/** What the data of a ConfigMap or a Secret may weigh in all: 1 MiB. */
export const MAX_DATA_BYTES = 1024 * 1024;

export function isBase64(text: string): boolean {
  const bare = text.replaceAll(/[\r\n]/g, "");
  return bare.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(bare);
}

/** The length of what `text` decodes to. */
export function base64Bytes(text: string): number {
  return Buffer.byteLength(text, "base64");
}
