// What users rely on in pods that run for long, on a real node: logs that are rotated, restarts by rules, refusals by name.
import type { Container } from "@coxswain/api";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startNodeKubelet, type NodeKubelet } from "./node-kubelet.ts";

let at: NodeKubelet;
let image = "";

beforeAll(async () => {
  at = await startNodeKubelet("behave");
  image = at.containerd.image;
  await at.call.start(at.options);
});
afterAll(() => at.stop());

const shell = (line: string, more: Partial<Container> = {}): Container => ({
  name: "c",
  image,
  command: ["/bin/sh", "-c", line],
  ...more,
});
const inNode = (line: string): Promise<string> => at.containerd.node.run("/bin/sh", "-c", line);
const goes = async (...names: string[]): Promise<void> => {
  await Promise.all(names.map((name) => at.call.remove(name, 0)));
  await Promise.all(names.map((name) => at.gone(name)));
};

test("a log that grows is rotated and compressed, and whoever follows it misses nothing", async () => {
  const lines = 6_000;
  const line = "x".repeat(60);
  const script = `i=0; while [ $i -lt ${lines} ]; do i=$((i+1)); echo $i ${line}; [ $((i%100)) = 0 ] && sleep 0.02; done; echo end; sleep 60`;
  await at.create("talks", { containers: [shell(script)] });
  const pod = await at.running("talks");
  const seen = await at.call.logUntil("talks", "c", "end");
  expect(seen.slice(0, -1).map((one) => Number(one.split(" ")[0]))).toEqual(
    Array.from({ length: lines }, (_, index) => index + 1),
  );
  const folder = `/var/log/pods/default_talks_${pod.metadata?.uid}/c`;
  const files = (await inNode(`ls ${folder}`)).trim().split("\n");
  expect(files.length).toBeLessThanOrEqual(3);
  expect(files[0]).toBe("0.log");
  expect(files.some((file) => /^0\.log\.\d{8}-\d{6}(\.gz)?$/.test(file))).toBe(true);
  await goes("talks");
});
