// Mutating webhooks that want objects in another version or group than requests come in: what they see is of their own form,
// what they change is changed in the request's, and what their form cannot say stays.
import { readFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { Server } from "node:https";
import type { AddressInfo } from "node:net";
import { CUSTOM_RESOURCE_DEFINITIONS, EVENTS, HORIZONTAL_POD_AUTOSCALERS } from "@coxswain/api";
import type { Event, EventsEvent, HorizontalPodAutoscaler, HorizontalPodAutoscalerV1 } from "@coxswain/api";
import type { CustomResourceDefinition } from "@coxswain/api/apiextensions-v1/types";
import type { KubeObject, ResourceRef, StatusError } from "@coxswain/apimachinery";
import { certificateFiles } from "@coxswain/component-base/identity/pki";
import { serverTlsOptions } from "@coxswain/component-base/tls-files";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { eventually } from "./eventually.ts";
import { startTestServer } from "./support/test-server.ts";
import type { TestServer } from "./support/test-server.ts";

interface Review {
  readonly apiVersion: string;
  readonly kind: string;
  readonly request: {
    readonly uid: string;
    readonly kind: object;
    readonly resource: object;
    readonly requestKind: object;
    readonly requestResource: object;
    readonly object: Record<string, unknown> | null;
    readonly oldObject: Record<string, unknown> | null;
  };
}

interface ConversionReview {
  readonly apiVersion: string;
  readonly kind: string;
  readonly request: { readonly uid: string; readonly desiredAPIVersion: string; readonly objects: readonly Widget[] };
}

type Widget = KubeObject & { spec?: { address?: string; host?: string; port?: string; more?: string } };

const CONFIGURATIONS: ResourceRef = {
  group: "admissionregistration.k8s.io",
  version: "v1",
  resource: "mutatingwebhookconfigurations",
};
const NEW_EVENTS: ResourceRef = { group: "events.k8s.io", version: "v1", resource: "events" };
const AUTOSCALERS_V2 = HORIZONTAL_POD_AUTOSCALERS;
const AUTOSCALERS_V1: ResourceRef = { ...AUTOSCALERS_V2, version: "v1" };
const GROUP = "net.example.com";
const widgets = (resource: string, version: string): ResourceRef => ({ group: GROUP, version, resource });

let server: TestServer;
let remote: Server;
let patch: readonly object[] | undefined;
const asked: Review["request"][] = [];

const client = (): TestServer["component"]["server"]["loopback"] => server.component.server.loopback;
const at = (name: string): { name: string; namespace: string } => ({ name, namespace: "default" });
const url = (path: string): object => ({
  url: `https://localhost:${(remote.address() as AddressInfo).port}${path}`,
  caBundle: readFileSync(certificateFiles(server.dir, "admin").caFile).toString("base64"),
});

/** v1 has "host:port", v2 has both by themselves. */
function convert(object: Widget, apiVersion: string): Widget {
  const { address = "", host = "", port = "" } = object.spec ?? {};
  const [left = "", right = ""] = address.split(":");
  return {
    ...object,
    apiVersion,
    spec: apiVersion.endsWith("/v2") ? { host: left, port: right } : { address: `${host}:${port}` },
  };
}

async function answer(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
  let text = "";
  for await (const chunk of incoming) text += String(chunk);
  if (incoming.url?.startsWith("/convert") === true) {
    const { apiVersion, kind, request } = JSON.parse(text) as ConversionReview;
    const convertedObjects = request.objects.map((object) => convert(object, request.desiredAPIVersion));
    const said = { uid: request.uid, convertedObjects, result: { status: "Success" } };
    response.end(JSON.stringify({ apiVersion, kind, response: said }));
    return;
  }
  const { apiVersion, kind, request } = JSON.parse(text) as Review;
  asked.push(request);
  const changes =
    patch === undefined ? {} : { patchType: "JSONPatch", patch: Buffer.from(JSON.stringify(patch)).toString("base64") };
  response.end(JSON.stringify({ apiVersion, kind, response: { uid: request.uid, allowed: true, ...changes } }));
}

/** A webhook for one form of a resource. */
async function hook({ group, version, resource }: ResourceRef, ...operations: readonly object[]): Promise<void> {
  patch = operations.length === 0 ? undefined : operations;
  await client().create(CONFIGURATIONS, {
    apiVersion: "admissionregistration.k8s.io/v1",
    kind: "MutatingWebhookConfiguration",
    metadata: { name: "hook" },
    webhooks: [
      {
        name: "hook.example.com",
        clientConfig: url("/mutate"),
        rules: [{ operations: ["*"], apiGroups: [group], apiVersions: [version], resources: [resource] }],
        matchPolicy: "Equivalent",
        sideEffects: "None",
        admissionReviewVersions: ["v1"],
      },
    ],
  } as KubeObject);
  await eventually(() => expect(server.component.server.source.get(CONFIGURATIONS, "", "hook")).toBeDefined());
}

const definition = (plural: string, kind: string, conversion: object, fields: Record<string, string[]>) =>
  ({
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${plural}.${GROUP}` },
    spec: {
      group: GROUP,
      names: { plural, kind },
      scope: "Namespaced",
      versions: Object.entries(fields).map(([name, of], index) => ({
        name,
        served: true,
        storage: index === 0,
        schema: {
          openAPIV3Schema: {
            type: "object",
            properties: {
              spec: { type: "object", properties: Object.fromEntries(of.map((each) => [each, { type: "string" }])) },
            },
          },
        },
      })),
      conversion,
    },
  }) as unknown as CustomResourceDefinition;

beforeAll(async () => {
  server = await startTestServer(["ServiceAccount"]);
  remote = createServer(serverTlsOptions(server.tls("api-server")), (incoming, response) => {
    void answer(incoming, response);
  });
  await new Promise<void>((resolve) => remote.listen(0, "localhost", resolve));
  const webhook = { conversionReviewVersions: ["v1"], clientConfig: url("/convert") };
  const fields = { v1: ["address"], v2: ["host", "port"] };
  await client().create(
    CUSTOM_RESOURCE_DEFINITIONS,
    definition("addresses", "Address", { strategy: "Webhook", webhook }, fields),
  );
  await client().create(
    CUSTOM_RESOURCE_DEFINITIONS,
    definition("plains", "Plain", { strategy: "None" }, { v1: ["host"], v2: ["host", "more"] }),
  );
  for (const resource of ["addresses", "plains"]) {
    await eventually(() => expect(server.component.server.kinds.kindFor(widgets(resource, "v2"))).toBeDefined());
  }
});

afterEach(async () => {
  asked.length = 0;
  if (server.component.server.source.get(CONFIGURATIONS, "", "hook") === undefined) return;
  await client().delete(CONFIGURATIONS, { name: "hook" });
  await eventually(() => expect(server.component.server.source.get(CONFIGURATIONS, "", "hook")).toBeUndefined());
});

afterAll(async () => {
  await server.close();
  remote.closeAllConnections();
  await new Promise((resolve) => remote.close(resolve));
});

const newEvent = (name: string): EventsEvent => ({
  apiVersion: "events.k8s.io/v1",
  kind: "Event",
  metadata: { name, namespace: "default" },
  regarding: { kind: "Pod", name: "p", namespace: "default" },
  eventTime: "2026-01-01T00:00:00.000001Z",
  note: "Before",
  reason: "Tested",
  action: "Test",
  type: "Normal",
  reportingController: "example.com/tester",
  reportingInstance: "tester-1",
});

test("an event of events.k8s.io is patched as one of the core group", async () => {
  await hook(
    EVENTS,
    { op: "replace", path: "/message", value: "After" },
    { op: "add", path: "/metadata/labels", value: { a: "b" } },
  );
  const made = await client().create<EventsEvent>(NEW_EVENTS, newEvent("one"));
  expect(made).toMatchObject({
    apiVersion: "events.k8s.io/v1",
    note: "After",
    metadata: { labels: { a: "b" } },
    eventTime: "2026-01-01T00:00:00.000001Z",
    reportingController: "example.com/tester",
  });
  expect(asked).toMatchObject([
    {
      kind: { group: "", version: "v1", kind: "Event" },
      resource: { group: "", version: "v1", resource: "events" },
      requestKind: { group: "events.k8s.io", version: "v1", kind: "Event" },
      requestResource: { group: "events.k8s.io", version: "v1", resource: "events" },
      object: { apiVersion: "v1", kind: "Event", message: "Before", involvedObject: { name: "p" } },
      oldObject: null,
    },
  ]);
});

test("an event of the core group is patched as one of events.k8s.io, and told with the old one when it changes", async () => {
  await hook(NEW_EVENTS, { op: "replace", path: "/note", value: "After" });
  const made = await client().create<Event>(EVENTS, {
    apiVersion: "v1",
    kind: "Event",
    metadata: { name: "two", namespace: "default" },
    involvedObject: { kind: "Pod", name: "p", namespace: "default" },
    source: { component: "tester", host: "here" },
    message: "Before",
    reason: "Tested",
    type: "Normal",
  });
  expect(made).toMatchObject({ apiVersion: "v1", message: "After", source: { component: "tester", host: "here" } });
  const changed = await client().update<Event>(EVENTS, { ...made, count: 7, message: "Again" });
  expect(changed).toMatchObject({ count: 7, message: "After" });
  expect(asked[1]).toMatchObject({
    object: { apiVersion: "events.k8s.io/v1", note: "Again", deprecatedCount: 7 },
    oldObject: { apiVersion: "events.k8s.io/v1", note: "After", deprecatedSource: { host: "here" } },
  });
});

const target = { kind: "Deployment", name: "web", apiVersion: "apps/v1" };

test("an autoscaler of v1 gets what only v2 has fields for", async () => {
  const behavior = { scaleDown: { stabilizationWindowSeconds: 60 } };
  await hook(
    AUTOSCALERS_V2,
    { op: "add", path: "/spec/behavior", value: behavior },
    { op: "replace", path: "/spec/maxReplicas", value: 9 },
  );
  const made = await client().create<HorizontalPodAutoscalerV1>(AUTOSCALERS_V1, {
    apiVersion: "autoscaling/v1",
    kind: "HorizontalPodAutoscaler",
    metadata: { name: "one", namespace: "default" },
    spec: { scaleTargetRef: target, maxReplicas: 5, targetCPUUtilizationPercentage: 70 },
  });
  expect(made).toMatchObject({
    apiVersion: "autoscaling/v1",
    spec: { maxReplicas: 9, targetCPUUtilizationPercentage: 70 },
  });
  expect(asked[0]?.object).toMatchObject({
    apiVersion: "autoscaling/v2",
    spec: { maxReplicas: 5, metrics: [{ resource: { name: "cpu", target: { averageUtilization: 70 } } }] },
  });
  const read = await client().get<HorizontalPodAutoscaler>(AUTOSCALERS_V2, at("one"));
  expect(read.spec).toMatchObject({ maxReplicas: 9, behavior });
});

test("an autoscaler of v2 keeps what v1 has no fields for", async () => {
  await hook(AUTOSCALERS_V1, { op: "replace", path: "/spec/maxReplicas", value: 9 });
  const metrics = [
    { type: "Resource", resource: { name: "memory", target: { type: "Utilization", averageUtilization: 50 } } },
  ];
  const behavior = { scaleUp: { stabilizationWindowSeconds: 30 } };
  const made = await client().create<HorizontalPodAutoscaler>(AUTOSCALERS_V2, {
    apiVersion: "autoscaling/v2",
    kind: "HorizontalPodAutoscaler",
    metadata: { name: "two", namespace: "default", annotations: { a: "b" } },
    spec: { scaleTargetRef: target, maxReplicas: 5, metrics, behavior },
  });
  expect(made).toMatchObject({ apiVersion: "autoscaling/v2", spec: { maxReplicas: 9, metrics, behavior } });
  // How v1 carries the rest is nothing that v2 shows.
  expect(made.metadata?.annotations).toEqual({ a: "b" });
  expect(asked[0]?.object).toMatchObject({ apiVersion: "autoscaling/v1", spec: { maxReplicas: 5 } });
});

const widget = (kind: string, version: string, name: string, spec: NonNullable<Widget["spec"]>): Widget => ({
  apiVersion: `${GROUP}/${version}`,
  kind,
  metadata: at(name),
  spec,
});

test("a custom object whose versions a webhook makes into each other is patched in the other one", async () => {
  await hook(widgets("addresses", "v2"), { op: "replace", path: "/spec/port", value: "443" });
  const made = await client().create<Widget>(
    widgets("addresses", "v1"),
    widget("Address", "v1", "one", { address: "a.example:80" }),
  );
  expect(made).toMatchObject({ apiVersion: `${GROUP}/v1`, spec: { address: "a.example:443" } });
  expect(asked).toMatchObject([
    {
      kind: { group: GROUP, version: "v2", kind: "Address" },
      requestKind: { group: GROUP, version: "v1", kind: "Address" },
      object: { apiVersion: `${GROUP}/v2`, spec: { host: "a.example", port: "80" } },
    },
  ]);
  await client().update<Widget>(widgets("addresses", "v1"), { ...made, spec: { address: "b.example:80" } });
  expect(asked[1]).toMatchObject({
    object: { spec: { host: "b.example", port: "80" } },
    oldObject: { apiVersion: `${GROUP}/v2`, spec: { host: "a.example", port: "443" } },
  });
});

test("versions that differ by name alone are named as the webhook wants them, and hold what the request's version knows", async () => {
  await hook(
    widgets("plains", "v2"),
    { op: "replace", path: "/spec/host", value: "after" },
    { op: "add", path: "/spec/more", value: "v2 only" },
  );
  const made = await client().create<Widget>(widgets("plains", "v1"), widget("Plain", "v1", "one", { host: "before" }));
  expect(made).toMatchObject({ apiVersion: `${GROUP}/v1` });
  expect(made.spec).toEqual({ host: "after" });
  expect(asked).toMatchObject([{ object: { apiVersion: `${GROUP}/v2`, spec: { host: "before" } } }]);
  expect((await client().get<Widget>(widgets("plains", "v2"), at("one"))).spec).toEqual({ host: "after" });
});

test("who wants exactly its own version is not asked, and a patch that does not fit is an error with the webhook's name", async () => {
  await hook(EVENTS, { op: "remove", path: "/note" });
  const refused = await client()
    .create(NEW_EVENTS, newEvent("three"))
    .then(
      () => expect.fail("it was let through"),
      (error: unknown) => error as StatusError,
    );
  expect(refused.message).toContain('failed calling webhook "hook.example.com": applying its patch');
  const found = await client().get<KubeObject & { webhooks: object[] }>(CONFIGURATIONS, { name: "hook" });
  await client().update(CONFIGURATIONS, {
    ...found,
    webhooks: found.webhooks.map((one) => ({ ...one, matchPolicy: "Exact" })),
  } as KubeObject);
  await eventually(() =>
    expect(server.component.server.source.get(CONFIGURATIONS, "", "hook")?.object).toMatchObject({
      webhooks: [{ matchPolicy: "Exact" }],
    }),
  );
  asked.length = 0;
  await client().create(NEW_EVENTS, newEvent("three"));
  expect(asked).toEqual([]);
});
