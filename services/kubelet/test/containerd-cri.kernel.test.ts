// containerd meets the contract of container runtimes, runs real processes as it says, and survives its own death.
import { afterAll, beforeAll } from "vitest";
import { criSuite, type CriFixture } from "../src/testing/cri-suite.ts";
import { removeAllPods, startContainerdNode, type ContainerdNode } from "./containerd-node.ts";

let containerd: ContainerdNode;

beforeAll(async () => {
  containerd = await startContainerdNode("cri");
});
afterAll(() => containerd.stop());

async function open(): Promise<CriFixture> {
  const { image, pod, connect } = containerd;
  const cri = connect();
  const others: { close(): void }[] = [cri];
  const reconnect = (): ReturnType<typeof connect> => {
    const other = connect();
    others.push(other);
    return other;
  };
  const close = async (): Promise<void> => {
    await removeAllPods(cri);
    for (const one of others) one.close();
  };
  return { cri, image, pulls: false, pod, reconnect, close };
}

criSuite("containerd", open);
