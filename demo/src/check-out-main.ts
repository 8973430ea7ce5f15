// check-out: takes orders and writes each as a line into the volume that it shares with the ledger. An order is answered
// after its line is in the file.
import { open } from "node:fs/promises";
import { serveShop, setting, type ShopAnswer, type ShopRequest } from "./shop-server.ts";

const file = await open(setting("ORDERS_FILE"), "a");
const pod = setting("POD_NAME");
let orders = 0;

async function handle({ method, path, body }: ShopRequest): Promise<ShopAnswer> {
  if (path === "/ready") return { code: 200, json: { ready: true } };
  if (method !== "POST" || path !== "/orders") return { code: 404, json: { error: `no ${method} ${path}` } };
  const { total, from } = JSON.parse(body.toString("utf8")) as { total?: unknown; from?: unknown };
  if (typeof total !== "number" || typeof from !== "string")
    return { code: 422, json: { error: "total and from are required" } };
  const order = ++orders;
  await file.appendFile(`${JSON.stringify({ order, total, from })}\n`);
  return { code: 201, json: { order, pod } };
}

await serveShop(handle, { host: "0.0.0.0", port: 8080 });
await file.close();
