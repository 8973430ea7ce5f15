// With a way out, nodes and pods reach what the machine reaches; without one, nothing.
import { execFile } from "node:child_process";
import path from "node:path";
import { promisify } from "node:util";
import { ensureNodePrograms } from "@coxswain/cluster/node-programs";
import { expect, test } from "vitest";
import { inQuietNetwork } from "../../tools/quiet-network.ts";

test("a node and its pods go out through the node's own network stack", async () => {
  await ensureNodePrograms(path.resolve(import.meta.dirname, "../../.tools"), () => {}, { egress: true });
  const fixture = path.resolve(import.meta.dirname, "../../libs/cluster/test/fixture-egress.ts");
  const { command, args } = inQuietNetwork(process.execPath, [fixture]);
  const { stdout } = await promisify(execFile)(command, args);
  expect(JSON.parse(stdout)).toEqual({ closed: "ENETUNREACH", node: "served", pod: "served", outside: 0 });
});
