// Reads a request's body. Guarantees: never more than the limit is held; a body cut off by the client rejects.
import type { IncomingMessage } from "node:http";
import { newBadRequest, newRequestEntityTooLarge } from "@coxswain/apimachinery";

/** Upstream's limit for a request, bytes. */
export const BODY_LIMIT = 3 * 1024 * 1024;

/** Rejects with StatusError RequestEntityTooLarge or BadRequest. */
export function readBody(request: IncomingMessage, limit = BODY_LIMIT): Promise<Buffer> {
  const tooLarge = () => newRequestEntityTooLarge(`limit is ${limit}`);
  if (Number(request.headers["content-length"] ?? "0") > limit) return Promise.reject(tooLarge());
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    request.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size > limit) {
        request.pause();
        reject(tooLarge());
        return;
      }
      chunks.push(chunk);
    });
    request.on("end", () => {
      const [first] = chunks;
      resolve(chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks));
    });
    request.on("error", (error) => {
      reject(newBadRequest(`unable to read the body: ${error.message}`));
    });
    request.on("close", () => {
      if (!request.complete) reject(newBadRequest("unable to read the body: the connection was closed"));
    });
  });
}
