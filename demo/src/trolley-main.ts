// shopping-trolley: prices what is in a trolley and has check-out take the order, which it finds by its DNS name. Listens
// on the pod's loopback only: the authenticator in front is the way in.
import { readFile } from "node:fs/promises";
import { request } from "node:http";
import { OrderError, parseItems, parsePrices, totalOf } from "./pricing.ts";
import { serveShop, setting, type ShopAnswer, type ShopRequest } from "./shop-server.ts";

const checkOut = setting("CHECK_OUT_URL");
const pricesFile = setting("PRICES_FILE");
const version = setting("SHOP_VERSION");
const pod = setting("POD_NAME");
const TIMEOUT_MS = 2_000;

/** Hands the order over; resolves with its number. */
function order(total: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const body = Buffer.from(JSON.stringify({ total, from: pod }));
    const call = request(
      checkOut,
      { method: "POST", agent: false, timeout: TIMEOUT_MS, headers: { "content-length": body.length } },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("error", reject);
        response.on("end", () => {
          const text = Buffer.concat(chunks).toString("utf8");
          if (response.statusCode === 201) resolve((JSON.parse(text) as { order: number }).order);
          else reject(new Error(`check-out answered ${response.statusCode}: ${text}`));
        });
      },
    );
    call.on("timeout", () => call.destroy(new Error("check-out did not answer in time")));
    call.on("error", reject);
    call.end(body);
  });
}

async function handle({ method, path, body }: ShopRequest): Promise<ShopAnswer> {
  if (path === "/ready") return { code: 200, json: { ready: true, version } };
  if (method !== "POST" || path !== "/trolley") return { code: 404, json: { error: `no ${method} ${path}` } };
  try {
    // Read for each order: a changed ConfigMap is a changed price, with no restart.
    const total = totalOf(parseItems(body), parsePrices(await readFile(pricesFile, "utf8")));
    return { code: 200, json: { total, order: await order(total), version, pod } };
  } catch (error) {
    if (error instanceof OrderError) return { code: 422, json: { error: error.message } };
    console.error(JSON.stringify({ error: String(error) }));
    return { code: 502, json: { error: String(error), pod } };
  }
}

await serveShop(handle, { host: "127.0.0.1", port: 8081 });
