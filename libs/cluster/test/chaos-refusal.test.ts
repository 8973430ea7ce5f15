// Faults that say nothing in a cluster without etcd are refused by name; all others are let through.
import { expect, test } from "vitest";
import { chaosRefusal } from "../src/chaos-refusal.ts";

test("in memory: no fault on etcd, and no death of the api-server, which would take all objects with it", () => {
  const memory = { storage: "memory" } as const;
  for (const action of ["kill", "freeze", "thaw", "start"] as const)
    expect(chaosRefusal(memory, action, "etcd")).toContain("--storage memory");
  expect(chaosRefusal(memory, "kill", "api-server")).toContain("--storage memory");
  for (const action of ["freeze", "thaw", "start"] as const)
    expect(chaosRefusal(memory, action, "api-server")).toBeUndefined();
  for (const component of ["scheduler", "controller-manager", "kubelet", "nats", "node"])
    expect(chaosRefusal(memory, "kill", component)).toBeUndefined();
});

test("with etcd every part may be hit", () => {
  for (const component of ["etcd", "api-server", "scheduler", "node"])
    expect(chaosRefusal({ storage: "etcd" }, "kill", component)).toBeUndefined();
});
