// Bodies of messages from whoever may send too much.

/** The whole body. Rejects with `tooLarge` once there are more than `most` bytes, and reads no more. */
export async function readAtMost(
  body: AsyncIterable<unknown>,
  most: number,
  tooLarge: () => Error = () => new Error(`the answer is larger than ${most} bytes`),
): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body as AsyncIterable<Uint8Array>) {
    length += chunk.length;
    if (length > most) throw tooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
