// The authenticating sidecar: lets those in who show the shop's key, and hands their requests to the container beside it.
import { timingSafeEqual } from "node:crypto";
import { readFile } from "node:fs/promises";
import { request } from "node:http";
import { serveShop, setting, type ShopAnswer, type ShopRequest } from "./shop-server.ts";

const behind = new URL(setting("BEHIND"));
const keyFile = setting("KEY_FILE");

function sameKey(given: string, wanted: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(wanted)];
  return a.length === b.length && timingSafeEqual(a, b);
}

function forward({ method, path, body }: ShopRequest): Promise<ShopAnswer> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = behind;
    const headers = { "content-length": body.length };
    const call = request({ hostname, port, method, path, headers, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => {
        const json: unknown = JSON.parse(Buffer.concat(chunks).toString("utf8"));
        resolve({ code: response.statusCode ?? 502, json });
      });
    });
    call.on("error", reject);
    call.end(body);
  });
}

async function handle(asked: ShopRequest): Promise<ShopAnswer> {
  if (asked.path !== "/ready") {
    const key = (await readFile(keyFile, "utf8")).trim();
    const given = /^Bearer (.*)$/.exec(asked.headers.authorization ?? "")?.[1] ?? "";
    if (!sameKey(given, key)) return { code: 401, json: { error: "the shop does not know this key" } };
  }
  try {
    return await forward(asked);
  } catch (error) {
    return { code: 502, json: { error: `the service behind did not answer: ${String(error)}` } };
  }
}

await serveShop(handle, { host: "0.0.0.0", port: 8080 });
