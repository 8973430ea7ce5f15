// The ledger beside check-out: reads the orders from the volume that both share, and tells how many there are and what
// they are worth.
import { readFile } from "node:fs/promises";
import { serveShop, setting, type ShopAnswer, type ShopRequest } from "./shop-server.ts";

const ordersFile = setting("ORDERS_FILE");
const pod = setting("POD_NAME");

async function readOrders(): Promise<{ total: number }[]> {
  try {
    const text = await readFile(ordersFile, "utf8");
    // What follows the last line end is still being written.
    const whole = text.slice(0, text.lastIndexOf("\n") + 1);
    return whole.split("\n").flatMap((line) => (line === "" ? [] : [JSON.parse(line) as { total: number }]));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

async function handle({ path }: ShopRequest): Promise<ShopAnswer> {
  if (path === "/ready") return { code: 200, json: { ready: true } };
  if (path !== "/sum") return { code: 404, json: { error: `no ${path}` } };
  const orders = await readOrders();
  return { code: 200, json: { pod, orders: orders.length, cents: orders.reduce((sum, { total }) => sum + total, 0) } };
}

await serveShop(handle, { host: "0.0.0.0", port: 8082 });
