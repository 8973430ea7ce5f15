// Deployment plans: a model of ReplicaSets and pods under random readiness never leaves the rollout's limits and always
// converges; and tables for the arithmetic of limits and proportional scaling.
import type { Deployment, ReplicaSet } from "@coxswain/api";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { rolloutLimits } from "../src/deployment/limits.ts";
import { planDeployment } from "../src/deployment/plan.ts";
import { newReplicaSetSize, planScale, planScaleDown } from "../src/deployment/plan-scaling.ts";
import { nextRevision, REVISION } from "../src/deployment/revision.ts";
import { sameTemplate, templateHash } from "../src/deployment/template-hash.ts";
import { deployment, template } from "./cluster-fixture.ts";

/** ReplicaSets whose pods become ready when the test says so. */
class Model {
  deployment: Deployment;
  replicaSets: ReplicaSet[] = [];
  nowMs = 0;

  constructor(spec: Partial<NonNullable<Deployment["spec"]>>) {
    this.deployment = deployment("web", spec);
    this.deployment.metadata = { ...this.deployment.metadata, uid: "d", generation: 1 };
  }

  step(): boolean {
    this.nowMs += 1_000;
    const plan = planDeployment({
      deployment: this.deployment,
      replicaSets: this.replicaSets,
      oldPodsRunning: false,
      nowMs: this.nowMs,
    });
    if (plan.create !== undefined) {
      const creationTimestamp = new Date(this.nowMs).toISOString();
      this.replicaSets.push({ ...plan.create, metadata: { ...plan.create.metadata, creationTimestamp } });
    }
    for (const { from, to } of plan.changes) this.replicaSets[this.replicaSets.indexOf(from)] = to;
    this.replicaSets = this.replicaSets.filter((rs) => !plan.remove.includes(rs));
    const still = JSON.stringify(this.deployment.status) === JSON.stringify(plan.status);
    this.deployment = { ...this.deployment, status: plan.status };
    return plan.create === undefined && plan.changes.length === 0 && still;
  }

  /** What the ReplicaSet controller does: pods follow the size (those not available go first), some become available. */
  pods(becomeAvailable: (most: number) => number): void {
    this.replicaSets = this.replicaSets.map((rs) => {
      const replicas = rs.spec?.replicas ?? 0;
      const kept = Math.min(rs.status?.availableReplicas ?? 0, replicas);
      const available = kept + becomeAvailable(replicas - kept);
      const status = { replicas, readyReplicas: available, availableReplicas: available, observedGeneration: 1 };
      return { ...rs, status };
    });
  }

  total(): number {
    return this.replicaSets.reduce((sum, rs) => sum + (rs.spec?.replicas ?? 0), 0);
  }
  /** Were every ReplicaSet to follow its size at once. */
  available(): number {
    return this.replicaSets.reduce(
      (sum, rs) => sum + Math.min(rs.status?.availableReplicas ?? 0, rs.spec?.replicas ?? 0),
      0,
    );
  }
}

const share = fc.oneof(
  fc.integer({ min: 0, max: 5 }),
  fc.integer({ min: 0, max: 100 }).map((n) => `${n}%`),
);

test("a rolling update stays within its limits and converges, whatever pods become ready when", () => {
  const rolls = fc.array(fc.constantFrom("v1", "v2", "v3"), { minLength: 1, maxLength: 3 });
  const shares = fc.array(fc.float({ min: 0, max: 1, noNaN: true }), { minLength: 20, maxLength: 60 });
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 12 }),
      share,
      share,
      rolls,
      shares,
      (replicas, maxSurge, maxUnavailable, images, luck) => {
        const rollingUpdate = { maxSurge, maxUnavailable };
        const model = new Model({ replicas, strategy: { type: "RollingUpdate", rollingUpdate } });
        const limits = rolloutLimits(model.deployment);
        let at = 0;
        const settle = (): void => {
          for (let round = 0; round < 200; round++) {
            model.pods((most) => most);
            if (model.step() && model.available() === replicas) return;
          }
          expect.fail("did not converge");
        };
        settle();
        for (const image of images) {
          const { spec, metadata } = model.deployment;
          model.deployment = {
            ...model.deployment,
            metadata: { ...metadata, generation: (metadata?.generation ?? 0) + 1 },
            spec: { ...spec!, template: template("web", image) },
          };
          const floor = Math.min(model.available(), replicas - limits.maxUnavailable);
          for (let round = 0; round < 15; round++) {
            model.step();
            expect(model.total()).toBeLessThanOrEqual(replicas + limits.maxSurge);
            expect(model.available()).toBeGreaterThanOrEqual(floor);
            model.pods((most) => Math.floor(most * (luck[at++ % luck.length] ?? 0)));
          }
        }
        settle();
        const active = model.replicaSets.filter((rs) => (rs.spec?.replicas ?? 0) > 0);
        expect(active.map((rs) => rs.spec?.template?.spec?.containers[0]?.image)).toEqual(
          replicas === 0 ? [] : [images.at(-1)],
        );
      },
    ),
    { numRuns: 200 },
  );
});

describe("limits", () => {
  test.each([
    [10, "25%", "25%", 3, 2],
    [3, "25%", "25%", 1, 0],
    [1, "0%", "0%", 0, 1],
    [5, 2, 0, 2, 0],
    [2, 0, 5, 0, 2],
    [0, "25%", 1, 0, 0],
  ])("%d replicas, surge %s, unavailable %s", (replicas, maxSurge, maxUnavailable, surge, unavailable) => {
    const rollingUpdate = { maxSurge, maxUnavailable };
    const limits = rolloutLimits(deployment("web", { replicas, strategy: { type: "RollingUpdate", rollingUpdate } }));
    expect(limits).toEqual({ maxSurge: surge, maxUnavailable: unavailable });
  });
});

function rs(name: string, replicas: number, max: number, createdAt: number): ReplicaSet {
  return {
    metadata: {
      name,
      creationTimestamp: new Date(createdAt * 1000).toISOString(),
      annotations: {
        "deployment.kubernetes.io/desired-replicas": "10",
        "deployment.kubernetes.io/max-replicas": String(max),
      },
    },
    spec: { replicas, selector: {} },
  };
}

describe("scaling in the middle of a rollout", () => {
  const spec = (replicas: number) =>
    deployment("web", {
      replicas,
      strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 3, maxUnavailable: 2 } },
    });
  test.each([
    // https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#proportional-scaling
    [15, 5, 8, { new: 7, old: 11 }],
    [10, 5, 8, { new: 5, old: 8 }],
    [5, 5, 8, { new: 3, old: 5 }],
    [0, 5, 8, { new: 0, old: 0 }],
  ])("to %d", (replicas, newSize, oldSize, wanted) => {
    const sizes = planScale(spec(replicas), rs("new", newSize, 13, 2), [rs("old", oldSize, 13, 1)]);
    expect(Object.fromEntries(sizes)).toEqual(wanted);
  });

  test("a new ReplicaSet grows as far as the surge allows", () => {
    expect(newReplicaSetSize(spec(10), [rs("old", 10, 13, 1)], 0)).toBe(3);
    expect(newReplicaSetSize(spec(10), [rs("old", 13, 13, 1)], 0)).toBe(0);
    expect(newReplicaSetSize(spec(10), [], 0)).toBe(10);
  });
});

test("pods that a ReplicaSet was told to remove, and still counts, are not spare", () => {
  const counted = (set: ReplicaSet, availableReplicas: number): ReplicaSet => ({
    ...set,
    status: { replicas: availableReplicas, availableReplicas },
  });
  const rolling = deployment("web", {
    replicas: 8,
    strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 2, maxUnavailable: 2 } },
  });
  const [old, fresh] = [counted(rs("old", 4, 10, 1), 6), counted(rs("new", 6, 10, 2), 4)];
  expect([...planScaleDown(rolling, fresh, [old])]).toEqual([["old", 2]]);
});

test("the hash depends on the template alone, not on the order of its members", () => {
  const a = { metadata: { labels: { app: "a", b: "c" } }, spec: { containers: [{ name: "c", image: "i" }] } };
  const b = { spec: { containers: [{ image: "i", name: "c" }] }, metadata: { labels: { b: "c", app: "a" } } };
  expect(templateHash(a, 0)).toBe(templateHash(b, 0));
  expect(templateHash(a, 1)).not.toBe(templateHash(a, 0));
  expect(templateHash(a, 0)).toMatch(/^[bcdfghjklmnpqrstvwxz2456789]+$/);
  const labelled = { ...a, metadata: { labels: { ...a.metadata.labels, "pod-template-hash": "x" } } };
  expect(sameTemplate(a, labelled)).toBe(true);
});

test("revisions count in 64 bits, and what is no number counts as none", () => {
  const after = (...texts: string[]): bigint =>
    nextRevision(
      texts.map((text) => ({
        apiVersion: "apps/v1",
        kind: "ReplicaSet",
        metadata: { annotations: { [REVISION]: text } },
      })),
    );
  expect(after()).toBe(1n);
  expect(after("2", "10")).toBe(11n);
  expect(after("3546343826724305832")).toBe(3546343826724305833n);
  expect(after("9223372036854775808", "x", "")).toBe(1n);
});
