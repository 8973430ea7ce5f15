// Writes answers. Guarantees: one answer a request; a failure is always a Status object; nothing is written to a
// connection that is gone; large answers wait for the reader and are compressed where the client takes gzip.
import type { IncomingMessage, ServerResponse } from "node:http";
import { pipeline as streamPipeline } from "node:stream/promises";
import type { Writable } from "node:stream";
import { constants, createGzip, gzip } from "node:zlib";
import { StatusError, newInternalError, newTimeout } from "@coxswain/apimachinery";
import { isAbort } from "@coxswain/env";
import { TooBusyError } from "../flow-control/too-busy.ts";
import type { Encoded } from "./encode.ts";
import { encodeDocument } from "./encode.ts";
import { acceptsGzip, failureEncoding, wantsPretty } from "./negotiate.ts";
import { toKubernetesProtobuf } from "./protobuf.ts";

const GZIP_FROM_BYTES = 128 * 1024;
const STREAM_FROM_BYTES = 1024 * 1024;

/** As upstream's warning header: 299 - "text". Line breaks and quotes cannot break out. */
export function warningHeader(text: string): string {
  return `299 - "${sanitize(text)}"`;
}

function sanitize(text: string): string {
  let out = "";
  for (const character of text.slice(0, 4096)) {
    const code = character.codePointAt(0) ?? 0;
    if (character === '"' || character === "\\") out += `\\${character}`;
    else out += code < 0x20 || code > 0x7e ? (code > 0xff ? "?" : " ") : character;
  }
  return out;
}

/**
 * Writes an answer that is whole and neither large nor to be compressed, with its head, in one go: setting header after header
 * costs more than the rest of the writing. `headers`: names and values in turn. False where the answer is of another sort, or
 * somebody has set headers; nothing is written then.
 */
export function sendAtOnce(
  request: IncomingMessage,
  response: ServerResponse,
  headers: readonly string[],
  { code, encoded }: { readonly code: number; readonly encoded: Encoded },
): boolean {
  const { parts, contentType, length } = encoded;
  const [body] = isWhole(parts) && parts.length === 1 ? parts : [];
  if (body === undefined || isGone(response) || response.getHeaderNames().length > 0) return false;
  if (length >= STREAM_FROM_BYTES || isCompressed(request, length)) return false;
  response.writeHead(code, [...headers, "Content-Type", contentType, "Content-Length", String(length)]);
  response.end(body);
  return true;
}

function isGone(response: ServerResponse): boolean {
  return response.writableEnded || response.destroyed || response.headersSent;
}

function isCompressed(request: IncomingMessage, length: number): boolean {
  return length >= GZIP_FROM_BYTES && acceptsGzip(request.headers["accept-encoding"]);
}

/** Writes the encoded answer; resolves when it has been handed to the connection. */
export async function sendEncoded(
  request: IncomingMessage,
  response: ServerResponse,
  code: number,
  encoded: Encoded,
): Promise<void> {
  if (isGone(response)) return;
  response.statusCode = code;
  response.setHeader("Content-Type", encoded.contentType);
  const compress = isCompressed(request, encoded.length);
  if (compress) {
    response.setHeader("Content-Encoding", "gzip");
    response.appendHeader("Vary", "Accept-Encoding");
  }
  if (!compress) response.setHeader("Content-Length", encoded.length);
  const { parts } = encoded;
  if (!isWhole(parts) || encoded.length >= STREAM_FROM_BYTES) {
    if (compress) {
      const packer = createGzip({ level: constants.Z_BEST_SPEED });
      await Promise.all([writeParts(parts, packer), streamPipeline(packer, response)]);
    } else await writeParts(parts, response);
    return;
  }
  const [first] = parts;
  const body = parts.length === 1 && first !== undefined ? first : Buffer.concat(parts);
  response.end(compress ? await gzipped(body) : body);
}

/**
 * Writes part by part, and ends. While one is written the next is made, and no more, so that parts may lie in memory that is
 * used again. Rejects where the reader is gone.
 */
async function writeParts(parts: Encoded["parts"], sink: Writable): Promise<void> {
  let writing: Promise<Error | undefined> | undefined;
  const settled = async (): Promise<void> => {
    const failure = await writing;
    if (failure !== undefined) throw failure;
  };
  for await (const part of parts) {
    await settled();
    writing = written(sink, part);
  }
  await settled();
  sink.end();
}

/** Resolves once `part` is used no more, with what went wrong. */
function written(sink: Writable, part: Buffer): Promise<Error | undefined> {
  return new Promise((resolve) => {
    sink.write(part, (error) => resolve(error ?? undefined));
  });
}

function isWhole(parts: Encoded["parts"]): parts is readonly Buffer[] {
  return Array.isArray(parts);
}

function gzipped(body: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    gzip(body, { level: constants.Z_BEST_SPEED }, (error, bytes) => {
      if (error === null) resolve(bytes);
      else reject(error);
    });
  });
}

/** Any failure as a StatusError; what is not one is our own mistake and becomes InternalError. */
export function toStatusError(error: unknown): StatusError {
  if (error instanceof StatusError) return error;
  if (isAbort(error)) {
    return newTimeout("request did not complete within requested timeout - context deadline exceeded");
  }
  return newInternalError(error);
}

function queryOf(url: string): URLSearchParams {
  const mark = url.indexOf("?");
  return new URLSearchParams(mark < 0 ? "" : url.slice(mark + 1));
}

/** Sends a failure as a Status object; closes the connection where its body was left unread. */
export async function sendFailure(
  request: IncomingMessage,
  response: ServerResponse,
  error: StatusError,
): Promise<void> {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  const retry = error.details.retryAfterSeconds;
  if (retry !== undefined) response.setHeader("Retry-After", retry);
  if (error instanceof TooBusyError) {
    await sendText(request, response, error.code, `${error.message}\n`);
    return;
  }
  if (error.code === 405) response.setHeader("Allow", "GET, POST, PUT, PATCH, DELETE");
  if (!request.complete) response.setHeader("Connection", "close");
  await sendEncoded(
    request,
    response,
    error.code,
    encodeDocument(error.toStatus(), failureEncoding(request.headers.accept), {
      pretty: wantsPretty(queryOf(request.url ?? ""), request.headers["user-agent"]),
      protobuf: toKubernetesProtobuf,
    }),
  );
}

export async function sendText(
  request: IncomingMessage,
  response: ServerResponse,
  code: number,
  text: string,
  contentType = "text/plain; charset=utf-8",
): Promise<void> {
  const bytes = Buffer.from(text);
  response.setHeader("X-Content-Type-Options", "nosniff");
  await sendEncoded(request, response, code, { contentType, parts: [bytes], length: bytes.length });
}
