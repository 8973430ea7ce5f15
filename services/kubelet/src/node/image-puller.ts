// Asks the host's puller for an image: POST /pull over a unix socket. The host has a way out where nodes have none.
import { request, type IncomingMessage } from "node:http";
import type { RegistryAuth } from "../cri/contract.ts";

/** `endpoint` is "unix:///run/coxswain/puller.sock". Rejects with what the puller says. */
export async function askPuller(endpoint: string, image: string, auth?: RegistryAuth): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const body = JSON.stringify({ image, auth });
  const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
  const socketPath = endpoint.replace(/^unix:\/\//, "");
  const sent = request({ socketPath, path: "/pull", method: "POST", headers }, resolve);
  sent.on("error", reject);
  sent.end(body);
  const response = await promise;
  const chunks: Buffer[] = [];
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString("utf8").trim();
  if (response.statusCode !== 200) throw new Error(messageIn(text) || `the puller answered ${response.statusCode}`);
}

/** The puller's own word, be it JSON with a message or plain text. */
function messageIn(text: string): string {
  if (!text.startsWith("{")) return text;
  const parsed = JSON.parse(text) as { readonly message?: unknown; readonly error?: unknown };
  const told = parsed.message ?? parsed.error;
  return typeof told === "string" ? told : text;
}
