// Built-in kinds in several versions or groups, through REST, gRPC's pipeline and the real kubectl: one object, whatever it is
// called, and who wrote what in which version.
import { EVENTS, HORIZONTAL_POD_AUTOSCALERS, RESOURCE_QUOTAS } from "@coxswain/api";
import type { Event, EventsEvent, HorizontalPodAutoscaler, HorizontalPodAutoscalerV1 } from "@coxswain/api";
import type { KubeObject, ManagedFieldsEntry, ResourceRef, StatusError } from "@coxswain/apimachinery";
import { type FieldSet, showPaths } from "@coxswain/apimachinery/managed-fields/index";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually } from "./eventually.ts";
import { kubectl, prepareKubectl, startTestServer } from "./support/test-server.ts";
import type { KubectlResult, TestServer } from "./support/test-server.ts";

const NEW_EVENTS: ResourceRef = { group: "events.k8s.io", version: "v1", resource: "events" };
const V1: ResourceRef = { group: "autoscaling", version: "v1", resource: "horizontalpodautoscalers" };
const V2 = HORIZONTAL_POD_AUTOSCALERS;

let server: TestServer;
const client = (): TestServer["component"]["server"]["loopback"] => server.component.server.loopback;
const run = async (args: string, input = ""): Promise<KubectlResult> => await kubectl(server, args.split(" "), input);
const at = (name: string): { name: string; namespace: string } => ({ name, namespace: "default" });

const eventOf = (name: string, more: object = {}): EventsEvent => ({
  apiVersion: "events.k8s.io/v1",
  kind: "Event",
  metadata: { name, namespace: "default" },
  regarding: { kind: "Pod", name: "p", namespace: "default" },
  eventTime: "2026-01-01T00:00:00.000001Z",
  note: `Note of ${name}`,
  reason: "Tested",
  action: "Test",
  type: "Normal",
  reportingController: "example.com/tester",
  reportingInstance: "tester-1",
  ...more,
});

const autoscalerOf = (name: string, spec: object = {}): HorizontalPodAutoscalerV1 => ({
  apiVersion: "autoscaling/v1",
  kind: "HorizontalPodAutoscaler",
  metadata: { name, namespace: "default" },
  spec: { scaleTargetRef: { kind: "Deployment", name: "web", apiVersion: "apps/v1" }, maxReplicas: 5, ...spec },
});

async function refusal(doing: Promise<unknown>): Promise<StatusError> {
  return await doing.then(
    () => expect.fail("it went well"),
    (error: unknown) => error as StatusError,
  );
}

async function stored(key: string): Promise<KubeObject & Record<string, unknown>> {
  const found = await server.storage.get(key);
  return JSON.parse(found?.value.toString() ?? "{}") as KubeObject & Record<string, unknown>;
}

const owners = (object: KubeObject): Record<string, string[]> =>
  Object.fromEntries(
    (object.metadata?.managedFields ?? []).map((entry: ManagedFieldsEntry) => [
      `${entry.manager} ${entry.operation} ${entry.apiVersion}`,
      showPaths((entry.fieldsV1 ?? {}) as FieldSet),
    ]),
  );

/** What a watch of `ref` sees, until `stop`. */
function watchOf(
  ref: ResourceRef,
  options: object = {},
): { seen: KubeObject[][]; texts: string[]; stop: () => Promise<void> } {
  const controller = new AbortController();
  const texts: string[] = [];
  const seen: KubeObject[][] = [];
  const watching = (async () => {
    const all = { namespace: "default", resourceVersion: "0", ...options };
    for await (const event of client().watch(ref, all, controller.signal)) {
      if (event.type === "BOOKMARK") continue;
      texts.push(`${event.type} ${event.object.apiVersion} ${event.object.metadata?.name}`);
      seen.push([event.object]);
    }
  })();
  const stop = async (): Promise<void> => {
    controller.abort();
    await watching;
  };
  return { seen, texts, stop };
}

beforeAll(async () => {
  await prepareKubectl();
  server = await startTestServer(["ServiceAccount"]);
});

afterAll(async () => {
  await server.close();
});

describe("events of two groups", () => {
  test("are one object with one version, stored as the core group has it", async () => {
    const made = await client().create<EventsEvent>(NEW_EVENTS, eventOf("one"));
    expect(made).toMatchObject({ apiVersion: "events.k8s.io/v1", kind: "Event", note: "Note of one" });
    const core = await client().get<Event>(EVENTS, at("one"));
    expect(core).toMatchObject({
      apiVersion: "v1",
      message: "Note of one",
      involvedObject: { name: "p" },
      reportingComponent: "example.com/tester",
    });
    expect([core.metadata.uid, core.metadata.resourceVersion]).toEqual([
      made.metadata?.uid,
      made.metadata?.resourceVersion,
    ]);
    expect(await stored("/registry/core/events/default/one")).toMatchObject({
      apiVersion: "v1",
      message: "Note of one",
    });
    expect(await server.storage.get("/registry/events.k8s.io/events/default/one")).toBeUndefined();
    await client().delete(EVENTS, at("one"));
    expect((await refusal(client().get(NEW_EVENTS, at("one")))).message).toBe('events "one" not found');
  });

  test("a name is taken in both, and a stale version refused in both", async () => {
    await client().create(NEW_EVENTS, eventOf("two"));
    const taken = await refusal(
      client().create(
        EVENTS,
        await client()
          .get<Event>(EVENTS, at("two"))
          .then(({ metadata: { resourceVersion: _version, ...metadata }, ...rest }) => ({ ...rest, metadata })),
      ),
    );
    expect(taken.message).toBe('events "two" already exists');
    const read = await client().get<EventsEvent>(NEW_EVENTS, at("two"));
    const core = await client().get<Event>(EVENTS, at("two"));
    await client().update(EVENTS, { ...core, metadata: { ...core.metadata, labels: { a: "b" } } });
    expect((await refusal(client().update(NEW_EVENTS, read))).reason).toBe("Conflict");
  });

  test("are judged strictly where they come as events.k8s.io, in upstream's words", async () => {
    const bad = await refusal(client().create(NEW_EVENTS, eventOf("bad", { eventTime: null, deprecatedCount: 3 })));
    expect(bad.message).toBe(
      'Event "bad" is invalid: [eventTime: Required value, count: Invalid value: "": needs to be unset]',
    );
    const legacy = { apiVersion: "v1", kind: "Event", metadata: { name: "old", namespace: "default" } };
    const about = { involvedObject: { kind: "Pod", name: "p", namespace: "default" }, count: 3 };
    await client().create(EVENTS, { ...legacy, ...about });
    expect(await client().get<EventsEvent>(NEW_EVENTS, at("old"))).toMatchObject({ deprecatedCount: 3 });
    await client().create(NEW_EVENTS, eventOf("three"));
    const changed = await client().get<EventsEvent>(NEW_EVENTS, at("three"));
    const refused = await refusal(client().update(NEW_EVENTS, { ...changed, note: "other" }));
    expect(refused.message).toBe('Event "three" is invalid: message: Invalid value: "other": field is immutable');
    await client().update(EVENTS, { ...(await client().get<Event>(EVENTS, at("three"))), message: "other" });
    expect((await client().get<EventsEvent>(NEW_EVENTS, at("three"))).note).toBe("other");
  });

  test("a PUT of an absent one creates it, and a deletion of all deletes them all", async () => {
    const label = { metadata: { name: "put", namespace: "default", labels: { all: "these" } } };
    await client().update(NEW_EVENTS, eventOf("put", label));
    await client().create(NEW_EVENTS, eventOf("put2", { metadata: { ...label.metadata, name: "put2" } }));
    const these = { namespace: "default", labelSelector: "all=these" };
    expect((await client().list(EVENTS, these)).items).toHaveLength(2);
    expect((await run("delete events.events.k8s.io -l all=these")).out).toBe(
      'event.events.k8s.io "put" deleted from default namespace\nevent.events.k8s.io "put2" deleted from default namespace\n',
    );
    expect((await client().list(EVENTS, these)).items).toEqual([]);
  });

  test("are chosen by the fields of their group, in lists and watches of either", async () => {
    const watch = watchOf(NEW_EVENTS, { fieldSelector: "regarding.name=chosen" });
    await client().create(
      NEW_EVENTS,
      eventOf("four", { regarding: { kind: "Pod", name: "chosen", namespace: "default" } }),
    );
    await client().create(NEW_EVENTS, eventOf("five"));
    const patch = { series: { count: 2, lastObservedTime: "2026-01-01T00:00:01.000000Z" } };
    const strategic = "application/strategic-merge-patch+json";
    const patched = await client().patch<EventsEvent>(NEW_EVENTS, at("four"), strategic, patch);
    expect(patched.series).toEqual(patch.series);
    await client().delete(EVENTS, at("four"));
    const wanted = ["ADDED", "MODIFIED", "DELETED"].map((type) => `${type} events.k8s.io/v1 four`);
    await eventually(() => expect(watch.texts).toEqual(wanted));
    expect(watch.seen[2]?.[0]).toMatchObject({ note: "Note of four", series: { count: 2 } });
    await watch.stop();
    const byField = await client().list<EventsEvent>(NEW_EVENTS, {
      namespace: "default",
      fieldSelector: "reportingController=example.com/tester,regarding.kind=Pod",
    });
    expect(byField.items.map(({ metadata }) => metadata?.name)).toContain("five");
    const wrong = client().list(NEW_EVENTS, { namespace: "default", fieldSelector: "involvedObject.name=p" });
    expect((await refusal(wrong)).message).toBe("field label not supported: involvedObject.name");
  });

  test("kubectl shows both alike, and explains each", async () => {
    const [core, other] = await Promise.all([run("get events"), run("get events.events.k8s.io")]);
    expect(other.out).toMatch(/^LAST SEEN +TYPE +REASON +OBJECT +MESSAGE\n/);
    expect(other.out.split("\n").length).toBe(core.out.split("\n").length);
    expect((await run("events")).out).toMatch(/Normal +Tested +Pod\/p +Note of five/);
    expect((await run("explain events --api-version=events.k8s.io/v1")).out).toMatch(
      /GROUP: +events.k8s.io\nKIND: +Event\nVERSION: +v1\n/,
    );
    expect((await run("explain events.deprecatedCount --api-version=events.k8s.io/v1")).out).toContain(
      "FIELD: deprecatedCount <integer>",
    );
    expect((await run("explain events")).out).toMatch(/^KIND: +Event\nVERSION: +v1\n/);
    expect((await run("api-resources --api-group=events.k8s.io --no-headers")).out).toMatch(
      /^events +ev +events.k8s.io\/v1 +true +Event\n$/,
    );
  });

  test("are seen by an admission policy for either, in the form that it is for", async () => {
    const policy = {
      metadata: { name: "no-secrets" },
      spec: {
        matchConstraints: {
          matchPolicy: "Equivalent",
          resourceRules: [{ apiGroups: [""], apiVersions: ["v1"], resources: ["events"], operations: ["CREATE"] }],
        },
        validations: [{ expression: "!object.message.contains('secret')", message: "no secrets" }],
      },
    };
    const binding = {
      metadata: { name: "no-secrets" },
      spec: { policyName: "no-secrets", validationActions: ["Deny"] },
    };
    const policies = { group: "admissionregistration.k8s.io", version: "v1", resource: "validatingadmissionpolicies" };
    const bindings = { ...policies, resource: "validatingadmissionpolicybindings" };
    await client().create(policies, policy);
    await client().create(bindings, binding);
    await eventually(async () => {
      const dry = client().create(NEW_EVENTS, eventOf("told", { note: "a secret" }), { dryRun: true });
      expect((await refusal(dry)).message).toContain("no secrets");
    });
    expect((await client().create<EventsEvent>(NEW_EVENTS, eventOf("kept"))).note).toBe("Note of kept");
    await client().delete(bindings, { name: "no-secrets" });
    await client().delete(policies, { name: "no-secrets" });
  });

  test("count for a quota under the name of the group that they are stored in", async () => {
    const quota = { apiVersion: "v1", kind: "ResourceQuota", metadata: { name: "few", namespace: "counted" } };
    await run("create namespace counted");
    await client().create(RESOURCE_QUOTAS, { ...quota, spec: { hard: { "count/events": "1" } } });
    const event = (name: string): EventsEvent =>
      eventOf(name, {
        metadata: { name, namespace: "counted" },
        regarding: { kind: "Pod", name: "p", namespace: "counted" },
      });
    await client().create(NEW_EVENTS, event("first"));
    await eventually(async () => {
      const found = await client().get<KubeObject & { status?: object }>(RESOURCE_QUOTAS, {
        name: "few",
        namespace: "counted",
      });
      expect(found.status).toEqual({ hard: { "count/events": "1" }, used: { "count/events": "1" } });
    });
  });
});

describe("autoscalers of two versions", () => {
  test("what v1 has no fields for survives a write through v1", async () => {
    const behavior = { scaleDown: { stabilizationWindowSeconds: 60 } };
    const memory = {
      type: "Resource",
      resource: { name: "memory", target: { type: "Utilization", averageUtilization: 60 } },
    };
    const v2 = await client().create<HorizontalPodAutoscaler>(V2, {
      ...autoscalerOf("both"),
      apiVersion: "autoscaling/v2",
      spec: { ...autoscalerOf("both").spec!, metrics: [memory], behavior },
    });
    const v1 = await client().get<HorizontalPodAutoscalerV1>(V1, at("both"));
    expect(Object.keys(v1.metadata?.annotations ?? {})).toEqual([
      "autoscaling.alpha.kubernetes.io/metrics",
      "autoscaling.alpha.kubernetes.io/behavior",
    ]);
    await client().update(V1, { ...v1, spec: { ...v1.spec!, maxReplicas: 7, targetCPUUtilizationPercentage: 33 } });
    const after = await client().get<HorizontalPodAutoscaler>(V2, at("both"));
    expect(after.spec).toMatchObject({ maxReplicas: 7, behavior: v2.spec?.behavior });
    expect(after.spec?.metrics).toEqual([
      memory,
      { type: "Resource", resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 33 } } },
    ]);
    expect(after.metadata?.annotations).toBeUndefined();
    expect(await stored("/registry/autoscaling/horizontalpodautoscalers/default/both")).toMatchObject({
      apiVersion: "autoscaling/v2",
      spec: { maxReplicas: 7 },
    });
  });

  test("a write through either that changes nothing makes no new version", async () => {
    for (const ref of [V1, V2]) {
      const read = await client().get(ref, at("both"));
      const same = await client().update(ref, read);
      expect(same.metadata?.resourceVersion).toBe(read.metadata?.resourceVersion);
    }
  });

  test("the status of one is the status of the other", async () => {
    const v2 = await client().get<HorizontalPodAutoscaler>(V2, at("both"));
    const status = { desiredReplicas: 3, currentReplicas: 2, conditions: [{ type: "AbleToScale", status: "True" }] };
    await client().update(V2, { ...v2, status }, { subresource: "status" });
    const v1 = await client().get<HorizontalPodAutoscalerV1>(V1, at("both"));
    expect(v1.status).toEqual({ desiredReplicas: 3, currentReplicas: 2 });
    await client().update(V1, { ...v1, status: { ...v1.status!, desiredReplicas: 4 } }, { subresource: "status" });
    const after = await client().get<HorizontalPodAutoscaler>(V2, at("both"));
    expect(after.status).toEqual({ ...status, desiredReplicas: 4 });
  });

  test("v1 that says nothing of metrics is answered with the default that is stored", async () => {
    const made = await client().create<HorizontalPodAutoscalerV1>(V1, autoscalerOf("plain"));
    expect(made.spec).toMatchObject({ minReplicas: 1, targetCPUUtilizationPercentage: 80 });
    const bad = client().create(V1, autoscalerOf("bad", { targetCPUUtilizationPercentage: 0 }));
    expect((await refusal(bad)).message).toBe(
      'HorizontalPodAutoscaler.autoscaling "bad" is invalid: spec.metrics[0].resource.target.averageUtilization: Invalid value: 0: must be greater than 0',
    );
  });

  test("kubectl reads, explains, patches and makes them in each version", async () => {
    expect((await run("get hpa.v1.autoscaling plain --no-headers")).out).toMatch(
      /^plain +Deployment\/web +cpu: <unknown>\/80% +1 +5 +0 +\S+\n$/,
    );
    expect((await run("get hpa plain -o jsonpath={.apiVersion}")).out).toBe("autoscaling/v2");
    expect((await run("explain hpa --api-version=autoscaling/v1")).out).toMatch(/VERSION: +v1\n/);
    expect((await run("explain hpa.spec.targetCPUUtilizationPercentage --api-version=autoscaling/v1")).out).toContain(
      "FIELD: targetCPUUtilizationPercentage <integer>",
    );
    expect((await run("explain hpa.spec.metrics")).out).toContain("FIELD: metrics <[]MetricSpec>");
    const patch = `{"spec":{"targetCPUUtilizationPercentage":44}}`;
    expect((await run(`patch horizontalpodautoscalers.v1.autoscaling plain --type=merge -p ${patch}`)).err).toBe("");
    const read = await client().get<HorizontalPodAutoscaler>(V2, at("plain"));
    expect(read.spec?.metrics?.[0]?.resource?.target.averageUtilization).toBe(44);
    await run("create deployment web --image=i:1");
    expect((await run("autoscale deployment web --max=3 --cpu=70%")).out).toBe(
      "horizontalpodautoscaler.autoscaling/web autoscaled\n",
    );
    const auto = await client().get<HorizontalPodAutoscalerV1>(V1, at("web"));
    expect(auto.spec).toMatchObject({ maxReplicas: 3, targetCPUUtilizationPercentage: 70 });
  });

  test("appliers and writers of the two versions take fields from each other", async () => {
    const yaml = (version: string, spec: string): string =>
      `{apiVersion: autoscaling/${version}, kind: HorizontalPodAutoscaler, metadata: {name: shared}, spec: {scaleTargetRef: {kind: Deployment, name: web, apiVersion: apps/v1}, ${spec}}}`;
    const apply = async (manager: string, input: string, more = ""): Promise<KubectlResult> =>
      await run(`apply --server-side --field-manager=${manager}${more} -f -`, input);
    expect((await apply("old", yaml("v1", "maxReplicas: 5, targetCPUUtilizationPercentage: 50"))).err).toBe("");
    const cpu = (value: number): string =>
      `[{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: ${value}}}}]`;
    // What v1 calls the percentage is the list of metrics in v2.
    const refused = await apply("new", yaml("v2", `maxReplicas: 5, metrics: ${cpu(60)}`));
    expect(refused.err).toContain('conflict with "old": .spec.targetCPUUtilizationPercentage');
    expect((await apply("new", yaml("v2", `maxReplicas: 5, metrics: ${cpu(50)}`))).err).toBe("");
    expect((await apply("new", yaml("v2", `maxReplicas: 5, metrics: ${cpu(60)}`), " --force-conflicts")).err).toBe("");
    const object = await client().get<HorizontalPodAutoscaler>(V2, at("shared"));
    const own = owners(object);
    const reference = ["apiVersion", "kind", "name"].map((name) => `.spec.scaleTargetRef.${name}`);
    expect(own["old Apply autoscaling/v1"]).toEqual([".spec.maxReplicas", ".spec.scaleTargetRef"]);
    expect(own["new Apply autoscaling/v2"]).toEqual([".spec.maxReplicas", ".spec.metrics", ...reference]);
    // An applier that changes to the other version stays itself, and gives up what it says no more.
    expect((await apply("new", yaml("v1", "maxReplicas: 5"))).err).toBe("");
    const after = owners(await client().get(V1, at("shared")));
    expect(Object.keys(after).toSorted()).toEqual(["new Apply autoscaling/v1", "old Apply autoscaling/v1"]);
  });

  test("a watch of either sees what is done to the other, once", async () => {
    const watch = [watchOf(V1), watchOf(V2)];
    await client().create(V1, autoscalerOf("seen"));
    await client().delete(V2, at("seen"));
    for (const [version, { texts, stop }] of watch.entries()) {
      const wanted = ["ADDED", "DELETED"].map((type) => `${type} autoscaling/v${version + 1} seen`);
      await eventually(() => expect(texts.filter((text) => text.endsWith(" seen"))).toEqual(wanted));
      await stop();
    }
  });
});
