// The checks of every suite can fail: a planted leak is found, and a single packet out of the clusters is counted.
import { execFile } from "node:child_process";
import { mkdirSync, rmdirSync } from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { trackingRoot } from "@coxswain/cluster/platform/cgroup-tree";
import { expect, test } from "vitest";
import { inQuietNetwork } from "../../tools/quiet-network.ts";
import { beginLeakCheck } from "../leak-check.ts";

const run = promisify(execFile);

test("a cgroup that stays behind fails the run, by name", async () => {
  const planted = path.join(trackingRoot(), `coxswain-planted-${process.pid}`);
  const finish = await beginLeakCheck(process.env["COXSWAIN_RUN_LABEL"] ?? "", 0);
  mkdirSync(planted);
  try {
    await expect(finish()).rejects.toThrow(planted);
  } finally {
    rmdirSync(planted);
  }
  await expect(finish()).resolves.toBeUndefined();
});

/** Packets that a script sends outside, as the counters in a quiet network show them. */
async function sentBy(script: string): Promise<number> {
  const inventory = path.resolve(import.meta.dirname, "../../libs/cluster/src/platform/inventory.ts");
  const program = `import { foreignPackets } from ${JSON.stringify(inventory)};
import { createSocket } from "node:dgram";
const send = (to) => new Promise((done) => { const s = createSocket("udp4"); s.send("x", 9, to, () => { s.close(); done(); }); });
const before = foreignPackets();
${script}
console.log(foreignPackets() - before);`;
  const { command, args } = inQuietNetwork(process.execPath, ["--input-type=module", "-e", program]);
  const { stdout } = await run(command, args);
  return Number(stdout);
}

test("in a quiet network each packet to a cluster's address is counted, and talk over loopback is not", async () => {
  expect(await sentBy('await send("127.0.0.1");')).toBe(0);
  expect(await sentBy('await send("10.244.1.1");')).toBe(1);
  expect(await sentBy('await send("10.96.0.1"); await send("198.18.5.101");')).toBe(2);
});
