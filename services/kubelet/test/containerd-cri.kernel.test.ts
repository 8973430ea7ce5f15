// containerd meets the contract of container runtimes, runs real processes as it says, and survives its own death.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ContainerdCri } from "../src/cri/containerd/containerd-cri.ts";
import type { PodSandboxConfig } from "../src/cri/contract.ts";
import { criProcessSuite } from "../src/testing/cri-process-suite.ts";
import { containerConfig, criSuite, podConfig, type CriFixture } from "../src/testing/cri-suite.ts";
import { removeAllPods, startContainerdNode, type ContainerdNode } from "./containerd-node.ts";

let containerd: ContainerdNode;

beforeAll(async () => {
  containerd = await startContainerdNode("cri");
});
afterAll(() => containerd.stop());

async function open(): Promise<CriFixture> {
  const cri = containerd.connect();
  const others: { close(): void }[] = [cri];
  const reconnect = (): ContainerdCri => {
    const other = containerd.connect();
    others.push(other);
    return other;
  };
  const close = async (): Promise<void> => {
    await removeAllPods(cri, containerd.node);
    for (const one of others) one.close();
  };
  const pod = (name: string): Partial<PodSandboxConfig> => containerd.pod(name);
  const { node, image } = containerd;
  const onNode = (...command: string[]): Promise<string> => node.run(node.programs.busybox, ...command);
  return { cri, image, pulls: false, pod, onNode, reconnect, close };
}

criSuite("containerd", open);
criProcessSuite("containerd", open);

describe("a killed containerd", () => {
  test("leaves its containers running, and is reached again when it is back", async () => {
    const fixture = await open();
    const { cri, image } = fixture;
    try {
      const sandbox = await cri.runPodSandbox(podConfig("a", containerd.pod("a")));
      const script = ["sh", "-c", "while true; do i=$((i + 1)); echo $i > /tmp/alive; sleep 0.1; done"];
      const id = await cri.createContainer(sandbox, containerConfig(image, script));
      const short = await cri.createContainer(sandbox, { ...containerConfig(image, ["sleep", "1"], 1), name: "short" });
      await cri.startContainer(id);
      await cri.startContainer(short);
      const alive = async (): Promise<number> => Number((await cri.execSync(id, ["cat", "/tmp/alive"], 5)).stdout);
      await expect.poll(alive).toBeGreaterThan(0);
      const { startedAtMs } = await cri.containerStatus(id);
      const followed = cri.logs(id, { follow: true }, new AbortController().signal)[Symbol.asyncIterator]();
      const next = followed.next();
      const before = await alive();
      await containerd.node.restartContainerd();
      // No call but these: the client finds its own way back.
      await expect
        .poll(() => cri.containerStatus(id).catch((error: unknown) => error))
        .toMatchObject({
          state: "CONTAINER_RUNNING",
          startedAtMs,
        });
      await expect.poll(alive).toBeGreaterThan(before);
      await expect.poll(async () => (await cri.containerStatus(short)).state).toBe("CONTAINER_EXITED");
      expect(await cri.listPodSandbox()).toMatchObject([{ id: sandbox, state: "SANDBOX_READY" }]);
      await cri.stopContainer(id, 0);
      expect((await cri.listContainers()).map((one) => one.state)).toEqual(["CONTAINER_EXITED", "CONTAINER_EXITED"]);
      expect(await next).toMatchObject({ done: true });
    } finally {
      await fixture.close();
    }
  });
});
