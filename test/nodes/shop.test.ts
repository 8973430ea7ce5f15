// The mission's demo, step by step, with the customer's count after each: what may fail and what may not.
import { afterAll, beforeAll, expect, test } from "vitest";
import { ShopDemo } from "@coxswain/cli/demo";
import type { Pod } from "@coxswain/api";
import { eventually, type TestCluster, testCluster } from "../integration/cluster-fixture.ts";

let shared: TestCluster;
let demo: ShopDemo;

beforeAll(async () => {
  shared = await testCluster({ runtime: "containerd", nodes: 2, egress: "none", name: "shop" });
  demo = new ShopDemo(shared.cluster, () => {}, new AbortController().signal);
  await demo.deploy();
});
afterAll(async () => {
  await shared?.[Symbol.asyncDispose]();
});

/** The customer goes on being served, this many times more. */
async function moreServed(count: number): Promise<void> {
  const before = (await demo.report())?.served ?? 0;
  await eventually(
    () => demo.report(),
    (report) => (report?.served ?? 0) >= before + count,
  );
}

test("the shop serves its customer by DNS name through its ClusterIP, and no request fails", async () => {
  await moreServed(50);
  const report = await demo.report();
  expect(report?.failed, report?.lastFailure).toBe(0);
});

test("who does not show the key is sent away", async () => {
  const script = "fetch('http://shopping-trolley/trolley',{method:'POST'}).then((a)=>console.log(a.status))";
  expect(await shared.ok(["-n", "shop", "exec", "deployment/customer", "--", "node", "-e", script])).toBe("401\n");
});

test("the ledger reads what check-out has written", async () => {
  const script = "fetch('http://localhost:8082/sum').then(async(a)=>console.log(await a.text()))";
  const sum = JSON.parse(
    await shared.ok(["-n", "shop", "exec", "deployment/check-out", "-c", "ledger", "--", "node", "-e", script]),
  ) as { orders: number; cents: number };
  expect(sum.orders).toBeGreaterThan(0);
  expect(sum.cents).toBe(sum.orders * 170);
});

test("scaling up costs no request", async () => {
  expect(await demo.scaleUp()).toMatchObject({ failed: 0 });
});

test("a rolling upgrade of ten pods costs no request, and ends with the new version", async () => {
  const result = await demo.upgrade();
  expect(result).toMatchObject({ failed: 0 });
  expect(result.served).toBeGreaterThan(100);
  await moreServed(20);
  expect((await demo.report())?.versions["v2"]).toBeGreaterThan(0);
  console.log(
    `rolling upgrade of 10: ${result.served} served, ${result.failed} failed, ${result.seconds.toFixed(1)} s`,
  );
});

test("the kill of kube-proxy, kubelet and containerd on both nodes costs no request and no container", async () => {
  const before = await demo.report();
  for (const component of ["kube-proxy", "kubelet", "containerd"]) {
    for (const node of ["node-1", "node-2"]) await shared.cluster.chaos.kill(`${component}/${node}`);
    await moreServed(50);
  }
  const after = await demo.report();
  expect(after?.failed, after?.lastFailure).toBe(before?.failed);
  const { items } = await shared.get<{ items: Pod[] }>(["pods", "-n", "shop"]);
  const restarts = items.flatMap((pod) => (pod.status?.containerStatuses ?? []).map((one) => one.restartCount ?? 0));
  expect(restarts.every((count) => count === 0)).toBe(true);
});

test("the pods of a killed node move, the customer is served again, and the node comes back", async () => {
  const result = await demo.loseNode();
  console.log(`kill of a node: ${result.served} served, ${result.failed} failed, ${result.seconds.toFixed(1)} s`);
  const before = await demo.report();
  await moreServed(100);
  const after = await demo.report();
  expect(after?.failed, after?.lastFailure).toBe(before?.failed);
}, 300_000);
