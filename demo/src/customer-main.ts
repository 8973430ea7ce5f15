// The customer: shops all the time, several trolleys at once, each over a new connection, so that each goes through the
// Service anew; one keeps its connection as browsers do. Says once a second how many were served and how many failed.
import { readFile } from "node:fs/promises";
import { Agent, request } from "node:http";
import { createRealEnv, isAbort } from "@coxswain/env";
import { Tally } from "./customer-tally.ts";
import { setting } from "./shop-server.ts";

const env = createRealEnv();
const shop = setting("SHOP_URL");
const key = (await readFile(setting("KEY_FILE"), "utf8")).trim();
const SHOPPERS = 4;
const PAUSE_MS = 20;
const TIMEOUT_MS = 5_000;
const order = Buffer.from(
  JSON.stringify({
    items: [
      { name: "apple", count: 2 },
      { name: "pear", count: 1 },
    ],
  }),
);
const tally = new Tally(SHOPPERS);
const stop = new AbortController();
for (const name of ["SIGTERM", "SIGINT"] as const) process.once(name, () => stop.abort());

interface Receipt {
  readonly total: number;
  readonly version: string;
}

/** Waits until every door is open: a shop that has not opened yet has failed nobody. */
async function waitForOpening(doors: readonly string[]): Promise<void> {
  for (const door of doors) {
    const open = (): Promise<boolean> =>
      new Promise((resolve) => {
        const call = request(door, { agent: false, timeout: TIMEOUT_MS }, (response) => {
          response.resume();
          resolve(response.statusCode === 200);
        });
        call.on("timeout", () => call.destroy());
        call.on("error", () => resolve(false));
        call.end();
      });
    while (!(await open())) await env.timers.sleep(100, stop.signal);
  }
}

function buy(agent: Agent | false): Promise<Receipt> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${key}`, "content-length": order.length };
    const call = request(shop, { method: "POST", agent, timeout: TIMEOUT_MS, headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => {
        const text = Buffer.concat(chunks).toString("utf8");
        if (response.statusCode === 200) resolve(JSON.parse(text) as Receipt);
        else reject(new Error(`the shop answered ${response.statusCode}: ${text.trim()}`));
      });
    });
    call.on("timeout", () => call.destroy(new Error("the shop did not answer in time")));
    call.on("error", reject);
    call.end(order);
  });
}

async function shopper(at: number, agent: Agent | false): Promise<void> {
  while (!stop.signal.aborted) {
    try {
      const { total, version } = await buy(agent);
      if (total > 0) tally.served(at, version);
      else tally.failed(at, `a receipt over ${total}`);
    } catch (error) {
      tally.failed(at, String(error));
      console.log(JSON.stringify({ failure: String(error) }));
    }
    await env.timers.sleep(PAUSE_MS, stop.signal);
  }
}

async function report(): Promise<void> {
  while (!stop.signal.aborted) {
    console.log(JSON.stringify(tally.report()));
    await env.timers.sleep(1_000, stop.signal);
  }
}

const keeping = new Agent({ keepAlive: true, maxSockets: 1 });
try {
  await waitForOpening(setting("DOORS").split(","));
  const shoppers = Array.from({ length: SHOPPERS }, (_, at) => shopper(at, at === 0 ? keeping : false));
  await Promise.all([report(), ...shoppers]);
} catch (error) {
  if (!isAbort(error)) throw error;
}
console.log(JSON.stringify(tally.report()));
process.exit(0);
