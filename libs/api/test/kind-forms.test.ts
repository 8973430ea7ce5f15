// Kinds that are served in several forms: what one form says comes back from the other, and each has the rules it should.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  convertForm,
  formsOf,
  kindFor,
  storedKindOf,
  storedResource,
  type Event,
  type HorizontalPodAutoscaler,
  type HorizontalPodAutoscalerV1,
  type KindDefinition,
} from "../src/index.ts";
import type { KubeObject } from "@coxswain/apimachinery";

const kind = (group: string, version: string, resource: string): KindDefinition =>
  kindFor({ group, version, resource })!;
const CORE = kind("", "v1", "events");
const EVENTS = kind("events.k8s.io", "v1", "events");
const V1 = kind("autoscaling", "v1", "horizontalpodautoscalers");
const V2 = kind("autoscaling", "v2", "horizontalpodautoscalers");
const NOW = { nowMs: Date.UTC(2026, 0, 1) };

const word = fc.stringMatching(/^[a-z]{1,8}$/);
const time = fc.constantFrom("2026-01-01T00:00:00Z", "2025-06-30T12:30:01.000001Z");
const small = fc.integer({ min: 1, max: 200 });
const quantity = small.map((value) => `${value}m`);
const selector = fc.record({ matchLabels: fc.dictionary(word, word, { minKeys: 1, maxKeys: 2 }) });

const metadata = fc.record(
  {
    name: word,
    namespace: word,
    labels: fc.dictionary(word, word, { maxKeys: 3 }),
    annotations: fc.dictionary(word, word, { minKeys: 1, maxKeys: 3 }),
  },
  { requiredKeys: ["name"] },
);
const reference = fc.record(
  { kind: word, name: word, namespace: word, uid: word, fieldPath: word },
  { requiredKeys: ["kind"] },
);

const coreEvent = fc.record(
  {
    metadata,
    involvedObject: reference,
    related: reference,
    reason: word,
    message: fc.string(),
    source: fc.record({ component: word, host: word }, { requiredKeys: [] }),
    firstTimestamp: time,
    lastTimestamp: time,
    count: small,
    type: fc.constantFrom("Normal", "Warning"),
    eventTime: time,
    series: fc.record({ count: small, lastObservedTime: time }),
    action: word,
    reportingComponent: word,
    reportingInstance: word,
  },
  { requiredKeys: ["metadata", "involvedObject"] },
);

const metric = fc.record({ name: word, selector }, { requiredKeys: ["name"] });
const described = fc.record({ kind: word, name: word, apiVersion: word }, { requiredKeys: ["kind", "name"] });
const valued = fc.oneof(
  fc.record({ type: fc.constant("Value"), value: quantity }),
  fc.record({ type: fc.constant("AverageValue"), averageValue: quantity }),
);
const resourceTarget = fc.oneof(
  fc.record({ type: fc.constant("Utilization"), averageUtilization: small }),
  fc.record({ type: fc.constant("AverageValue"), averageValue: quantity }),
);
const average = fc.record({ type: fc.constant("AverageValue"), averageValue: quantity });
const notCpu = fc.constantFrom("memory", "storage");
/** Those that v1 has no field for. */
const otherMetric = fc.oneof(
  fc.record({ type: fc.constant("Resource"), resource: fc.record({ name: notCpu, target: resourceTarget }) }),
  fc.record({
    type: fc.constant("ContainerResource"),
    containerResource: fc.record({ name: word, container: word, target: resourceTarget }),
  }),
  fc.record({ type: fc.constant("Pods"), pods: fc.record({ metric, target: average }) }),
  fc.record({ type: fc.constant("External"), external: fc.record({ metric, target: valued }) }),
  fc.record({
    type: fc.constant("Object"),
    object: fc.record({
      describedObject: described,
      metric,
      target: fc.record({ type: fc.constant("Value"), value: quantity }),
    }),
  }),
);
const cpu = small.map((averageUtilization) => ({
  type: "Resource",
  resource: { name: "cpu", target: { type: "Utilization", averageUtilization } },
}));
const metrics = fc
  .tuple(fc.array(otherMetric, { maxLength: 3 }), fc.option(cpu, { nil: undefined }))
  .map(([others, last]) => (last === undefined ? others : [...others, last]))
  .filter((all) => all.length > 0);

const amount = fc.record({ averageValue: quantity, averageUtilization: small }, { requiredKeys: ["averageValue"] });
const metricStatus = fc.oneof(
  fc.record({ type: fc.constant("Resource"), resource: fc.record({ name: word, current: amount }) }),
  fc.record({
    type: fc.constant("ContainerResource"),
    containerResource: fc.record({ name: word, container: word, current: amount }),
  }),
  fc.record({
    type: fc.constant("Pods"),
    pods: fc.record({ metric, current: fc.record({ averageValue: quantity }) }),
  }),
  fc.record({
    type: fc.constant("External"),
    external: fc.record({
      metric,
      current: fc.record({ value: quantity, averageValue: quantity }, { requiredKeys: ["value"] }),
    }),
  }),
  fc.record({
    type: fc.constant("Object"),
    object: fc.record({
      describedObject: described,
      metric,
      current: fc.record({ value: quantity, averageValue: quantity }, { requiredKeys: ["value"] }),
    }),
  }),
);
const rules = fc.record(
  {
    stabilizationWindowSeconds: fc.integer({ min: 0, max: 3600 }),
    selectPolicy: fc.constantFrom("Max", "Min", "Disabled"),
    policies: fc.array(fc.record({ type: fc.constantFrom("Pods", "Percent"), value: small, periodSeconds: small }), {
      minLength: 1,
      maxLength: 2,
    }),
    tolerance: quantity,
  },
  { requiredKeys: ["policies"] },
);
const condition = fc.record(
  { type: word, status: fc.constantFrom("True", "False"), reason: word, message: word, lastTransitionTime: time },
  { requiredKeys: ["type", "status"] },
);
const autoscaler = fc.record(
  {
    metadata,
    spec: fc.record(
      {
        scaleTargetRef: described,
        minReplicas: small,
        maxReplicas: small,
        metrics,
        behavior: fc.record({ scaleUp: rules, scaleDown: rules }),
      },
      { requiredKeys: ["scaleTargetRef", "maxReplicas", "metrics"] },
    ),
    status: fc.record(
      {
        observedGeneration: small,
        lastScaleTime: time,
        currentReplicas: small,
        desiredReplicas: fc.nat(9),
        currentMetrics: fc.array(metricStatus, { minLength: 1, maxLength: 3 }),
        conditions: fc.array(condition, { minLength: 1, maxLength: 2 }),
      },
      { requiredKeys: ["desiredReplicas"] },
    ),
  },
  { requiredKeys: ["metadata", "spec"] },
);

const there = (from: KindDefinition, to: KindDefinition, object: object): KubeObject =>
  convertForm(from, to, { apiVersion: "", kind: "", ...object });

test("what is stored comes back from every other form, and neither state is touched", () => {
  const cases: readonly (readonly [KindDefinition, KindDefinition, fc.Arbitrary<object>])[] = [
    [CORE, EVENTS, coreEvent],
    [V2, V1, autoscaler],
  ];
  for (const [stored, served, arbitrary] of cases) {
    fc.assert(
      fc.property(arbitrary, (object) => {
        const copy = structuredClone(object);
        const form = there(stored, served, object);
        expect(object).toEqual(copy);
        const kept = structuredClone(form);
        const back = convertForm(served, stored, form);
        expect(form).toEqual(kept);
        expect(back).toEqual({ ...object, kind: stored.kind, apiVersion: back.apiVersion });
        // A client that reads the form and writes it back changes nothing.
        expect(convertForm(stored, served, back)).toEqual(form);
      }),
      { numRuns: 300 },
    );
  }
});

test("whatever is in the annotations of an autoscaler's v1 form, its v2 form has the right types", () => {
  const keys = ["metrics", "behavior", "conditions", "current-metrics"];
  const known = ["type", "resource", "name", "target", "ScaleUp", "scaledown", "Policies", "value", "status", "reason"];
  const nearly = fc.dictionary(fc.constantFrom(...known), fc.jsonValue({ maxDepth: 2 }));
  const text = fc.oneof(
    fc.json(),
    fc.string(),
    fc.array(nearly, { maxLength: 2 }).map((each) => JSON.stringify(each)),
  );
  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom(...keys), text, { minKeys: 1 }), (given) => {
      const annotations = Object.fromEntries(
        Object.entries(given).map(([key, value]) => [`autoscaling.alpha.kubernetes.io/${key}`, value]),
      );
      const object = { metadata: { name: "x", annotations }, spec: { maxReplicas: 1 }, status: { desiredReplicas: 0 } };
      const stored = there(V1, V2, object) as HorizontalPodAutoscaler;
      expect(stored.metadata).toEqual({ name: "x" });
      V2.defaults(stored);
      V2.validateCreate(stored);
      V2.row(stored, NOW);
    }),
    { numRuns: 500 },
  );
});

describe("finding forms", () => {
  test("a form knows what it is stored as, and the stored kind all its forms", () => {
    expect([storedKindOf(EVENTS), storedKindOf(CORE), storedKindOf(V1)]).toEqual([CORE, CORE, V2]);
    expect(formsOf(CORE)).toEqual([CORE, EVENTS]);
    expect(formsOf(V1)).toEqual([V2, V1]);
    expect(formsOf(kind("", "v1", "pods"))).toBeUndefined();
  });

  test("only a form of another group is stored under another resource", () => {
    expect(storedResource(EVENTS)).toEqual({ group: "", resource: "events" });
    expect(storedResource(V1)).toBe(V1);
    expect(storedResource(CORE)).toBe(CORE);
  });
});

describe("an autoscaler in v1", () => {
  const v2: HorizontalPodAutoscaler = {
    metadata: { name: "shop", annotations: { mine: "yes" } },
    spec: {
      scaleTargetRef: { kind: "Deployment", name: "shop", apiVersion: "apps/v1" },
      maxReplicas: 9,
      metrics: [
        {
          type: "Resource",
          resource: { name: "memory", target: { type: "Utilization", averageUtilization: 60 } },
        },
        { type: "Resource", resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 50 } } },
      ],
      behavior: { scaleDown: { policies: [{ type: "Pods", value: 1, periodSeconds: 60 }] } },
    },
    status: {
      currentReplicas: 2,
      desiredReplicas: 3,
      currentMetrics: [
        { type: "Resource", resource: { name: "cpu", current: { averageUtilization: 70, averageValue: "7m" } } },
      ],
      conditions: [{ type: "AbleToScale", status: "True" }],
    },
  };

  test("has CPU in its fields and the rest in upstream's annotations", () => {
    const v1 = there(V2, V1, v2) as HorizontalPodAutoscalerV1;
    expect(v1.spec).toEqual({
      scaleTargetRef: v2.spec?.scaleTargetRef,
      maxReplicas: 9,
      targetCPUUtilizationPercentage: 50,
    });
    expect(v1.status).toEqual({ currentReplicas: 2, desiredReplicas: 3, currentCPUUtilizationPercentage: 70 });
    const prefix = "autoscaling.alpha.kubernetes.io";
    expect(v1.metadata?.annotations).toEqual({
      mine: "yes",
      [`${prefix}/metrics`]: '[{"type":"Resource","resource":{"name":"memory","targetAverageUtilization":60}}]',
      [`${prefix}/current-metrics`]:
        '[{"type":"Resource","resource":{"name":"cpu","currentAverageUtilization":70,"currentAverageValue":"7m"}}]',
      [`${prefix}/conditions`]: '[{"type":"AbleToScale","status":"True"}]',
      [`${prefix}/behavior`]:
        '{"ScaleUp":null,"ScaleDown":{"StabilizationWindowSeconds":null,"SelectPolicy":null,' +
        '"Policies":[{"Type":"Pods","Value":1,"PeriodSeconds":60}],"Tolerance":null}}',
    });
  });

  test("scales on 80% of CPU where it says nothing of metrics", () => {
    const stored = there(V1, V2, { metadata: { name: "x" }, spec: { maxReplicas: 1 } }) as HorizontalPodAutoscaler;
    expect(stored.spec?.metrics).toEqual([
      { type: "Resource", resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 80 } } },
    ]);
  });

  test("keeps its status in an update, conditions too, and takes it in a status update", () => {
    const old = there(V2, V1, v2);
    const next = { ...structuredClone(old), metadata: { name: "shop" }, status: { desiredReplicas: 100 } };
    V1.strategy.prepareForUpdate(next, old, NOW);
    const stored = convertForm(V1, V2, next) as HorizontalPodAutoscaler;
    expect(stored.status).toEqual(v2.status);
    // The annotations that held the rest of the spec are gone, and it with them.
    expect(stored.spec?.metrics).toHaveLength(1);
    const status = { ...structuredClone(old), spec: { maxReplicas: 1 }, status: { desiredReplicas: 7 } };
    V1.strategy.prepareForStatusUpdate?.(status, old, NOW);
    const after = convertForm(V1, V2, status) as HorizontalPodAutoscaler;
    expect([after.spec, after.status?.desiredReplicas]).toEqual([v2.spec, 7]);
  });

  test("is judged, and shown, as in v2", () => {
    const v1 = { ...there(V2, V1, v2), spec: { maxReplicas: 0, targetCPUUtilizationPercentage: 0 } };
    expect(V1.validateCreate(v1).map(({ field }) => field)).toEqual(
      V2.validateCreate(convertForm(V1, V2, v1)).map(({ field }) => field),
    );
    expect(V1.validateCreate(v1).map(({ field }) => field)).toContain(
      "spec.metrics[1].resource.target.averageUtilization",
    );
    expect(V1.row(there(V2, V1, v2), NOW)).toEqual(V2.row(v2, NOW));
  });

  test("v2 has no use for the annotations", () => {
    const object = structuredClone(v2);
    object.metadata!.annotations!["autoscaling.alpha.kubernetes.io/metrics"] = "[]";
    V2.defaults(object);
    expect(object.metadata?.annotations).toEqual({ mine: "yes" });
  });
});

describe("an event of events.k8s.io", () => {
  const good = {
    metadata: { name: "e", namespace: "shop" },
    regarding: { kind: "Pod", name: "p", namespace: "shop" },
    eventTime: "2026-01-01T00:00:00.000001Z",
    note: "It happened",
    reason: "Happened",
    action: "Do",
    type: "Normal",
    reportingController: "example.com/c",
    reportingInstance: "c-1",
  };
  const complaints = (object: object): string[] => EVENTS.validateCreate(object).map(({ field }) => field);

  test("must be new-style, and is otherwise told so by the names of the core form", () => {
    expect(complaints(good)).toEqual([]);
    const { eventTime: _time, ...timeless } = good;
    expect(complaints(timeless)).toEqual(["eventTime"]);
    const legacy = {
      deprecatedSource: { component: "c" },
      deprecatedFirstTimestamp: "2026-01-01T00:00:00Z",
      deprecatedLastTimestamp: "2026-01-01T00:00:00Z",
      deprecatedCount: 1,
    };
    expect(complaints({ ...good, ...legacy })).toEqual(["firstTimestamp", "lastTimestamp", "count", "source"]);
    expect(EVENTS.validateCreate({ ...good, type: "Bad" } as KubeObject)).toMatchObject([
      { field: "type", detail: 'Invalid value: "": has invalid value: Bad' },
    ]);
    expect(complaints({ ...good, series: { count: 1 } })).toEqual(["series.count", "series.lastObservedTime"]);
    expect(complaints({ ...good, reportingController: "" })).toContain("reportingController");
  });

  test("changes in nothing but its series", () => {
    const update = (change: object): string[] =>
      EVENTS.validateUpdate({ ...good, ...change }, good).map(({ field }) => field);
    expect(update({ series: { count: 2, lastObservedTime: "2026-01-01T00:00:01.000000Z" } })).toEqual([]);
    expect(update({ series: { count: 1, lastObservedTime: "2026-01-01T00:00:01.000000Z" } })).toEqual(["series.count"]);
    expect(update({ note: "other", reportingController: "d", regarding: { kind: "Node" } })).toEqual([
      "involvedObject.namespace",
      "involvedObject",
      "message",
      "reportingController",
    ]);
  });

  test("is shown as the core group shows it", () => {
    const event = there(EVENTS, CORE, good) as Event;
    expect(EVENTS.row(good, NOW)).toEqual(CORE.row(event, NOW));
    expect(EVENTS.columns).toBe(CORE.columns);
  });
});
