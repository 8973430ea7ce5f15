// The builders make valid objects, and waiting waits.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { VirtualEnv } from "@coxswain/env";
import {
  expectGolden,
  goldenJson,
  labelNames,
  makeDeployment,
  makeEndpointSlice,
  makeNode,
  makePod,
  makeReplicaSet,
  makeService,
  pods,
  runningStatus,
  runUntil,
  waitFor,
} from "../src/index.ts";

test("builders fill in what a test does not name", () => {
  expect(makePod({ node: "n1", requests: { cpu: "1" } })).toEqual({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "pod", namespace: "default" },
    spec: {
      nodeName: "n1",
      containers: [{ name: "app", image: "example.test/app:1", resources: { requests: { cpu: "1" } } }],
    },
  });
  expect(makeNode({ name: "n1", ready: false }).status?.conditions?.[0]).toMatchObject({
    type: "Ready",
    status: "False",
  });
  expect(makeService({ clusterIP: "10.96.0.7" }).spec).toMatchObject({ clusterIP: "10.96.0.7", ports: [{ port: 80 }] });
  expect(makeEndpointSlice({ service: "web", addresses: ["10.244.0.3"] }).endpoints).toHaveLength(1);
  expect(runningStatus(makePod()).containerStatuses?.[0]?.ready).toBe(true);
});

test("a workload's selector matches its pods, and an owner is referred to as controller", () => {
  const deployment = makeDeployment({ name: "web", replicas: 3, meta: { name: "web", uid: "u1" } });
  expect(deployment.spec?.selector.matchLabels).toEqual(deployment.spec?.template.metadata?.labels);
  const owned = makeReplicaSet({ name: "web-1", owner: deployment });
  expect(owned.metadata?.ownerReferences).toEqual([
    { apiVersion: "apps/v1", kind: "Deployment", name: "web", uid: "u1", controller: true, blockOwnerDeletion: true },
  ]);
});

test("waitFor gives the value, or names what it waited for", async () => {
  const env = new VirtualEnv({ seed: 1 });
  let calls = 0;
  const found = waitFor(env, "three calls", () => (++calls >= 3 ? calls : undefined));
  await env.advance(100);
  expect(await found).toBe(3);
  const failing = expect(waitFor(env, "nothing", () => false, 500)).rejects.toThrow(
    "waited 500 ms in vain for nothing",
  );
  await env.advance(1_000);
  await failing;
  await expect(runUntil(env, "never", () => false, 10)).rejects.toThrow(
    "10 ms of virtual time passed in vain for never",
  );
});

test("golden files name the first line that differs", () => {
  const dir = mkdtempSync(join(tmpdir(), "coxswain-golden-"));
  const file = join(dir, "x.json");
  writeFileSync(file, goldenJson({ b: 1, a: { d: 2, c: 3 } }));
  expectGolden(file, goldenJson({ a: { c: 3, d: 2 }, b: 1 }));
  expect(() => expectGolden(file, goldenJson({ a: { c: 4, d: 2 }, b: 1 }))).toThrow(/x\.json:3 differs/);
  expect(() => expectGolden(join(dir, "none"), "")).toThrow("is missing");
  rmSync(dir, { recursive: true });
});

test("fixtures are valid", () => {
  fc.assert(fc.property(labelNames, (name) => /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(name) && name.length <= 63));
  fc.assert(fc.property(pods, (pod) => pod.spec?.containers.length === 1 && pod.metadata?.name !== undefined));
});
