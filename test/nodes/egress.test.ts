// With a way out, nodes and pods reach what the machine reaches; without one, nothing.
import { execFile } from "node:child_process";
import path from "node:path";
import { promisify } from "node:util";
import { ensureNodePrograms } from "@coxswain/cluster/node-programs";
import { expect, test } from "vitest";
import { inQuietNetwork } from "../../tools/quiet-network.ts";

test("nodes, their pods and the DNS go out through network stacks of their own", async () => {
  await ensureNodePrograms(path.resolve(import.meta.dirname, "../../.tools"), () => {}, { egress: true });
  const fixture = path.resolve(import.meta.dirname, "../../libs/cluster/test/fixture-egress.ts");
  const { command, args } = inQuietNetwork(process.execPath, [fixture]);
  const { stdout } = await promisify(execFile)(command, args);
  const reached = { node: "served", pod: "served", name: "192.0.2.7" };
  expect(JSON.parse(stdout)).toEqual({ closed: "ENETUNREACH", ...reached, outside: 0 });
});
