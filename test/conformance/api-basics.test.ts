// Discovery, versions, chunks, tables, namespaces and watches, as any client meets them.
import { expect } from "vitest";
import { eventually } from "../integration/cluster-fixture.ts";
import { conformsShared } from "./conforms.ts";
import { retryOnConflict } from "./lifecycle.ts";
import { ApiError, at, type Resource, type Rest, type Thing, type Watch } from "./rest-client.ts";
import { gone } from "./shared-cluster.ts";

const version = conformsShared("version");
version("/version major and minor are integers", async ({ api }) => {
  const info = await api.json<{ major: string; minor: string }>("GET", "/version");
  expect(info.major).toMatch(/^\d+$/);
  expect(info.minor).toMatch(/^\d+\+?$/);
});

const discovery = conformsShared("discovery");
const AGGREGATED = "application/json;v=v2;g=apidiscovery.k8s.io;as=APIGroupDiscoveryList";

interface Aggregated {
  kind: string;
  apiVersion: string;
  items: {
    metadata: { name?: string };
    versions: { version: string; resources: { resource: string; scope: string; verbs: string[] }[] }[];
  }[];
}

async function aggregated(api: Rest, root: string): Promise<Aggregated> {
  return api.json<Aggregated>("GET", root, { headers: { accept: AGGREGATED } });
}

discovery("each API group reports a valid preferredVersion", async ({ api }) => {
  const { groups } = await api.json<{ groups: { name: string; preferredVersion: object; versions: object[] }[] }>(
    "GET",
    "/apis",
  );
  expect(groups.length).toBeGreaterThan(15);
  for (const { name } of groups) {
    const group = await api.json<{ name: string; preferredVersion: object; versions: object[] }>(
      "GET",
      `/apis/${name}`,
    );
    expect(group.name).toBe(name);
    expect(group.versions).toContainEqual(group.preferredVersion);
  }
});

discovery("aggregated discovery client sees built-in resources", async ({ api }) => {
  const core = await aggregated(api, "/api");
  const groups = await aggregated(api, "/apis");
  expect(core).toMatchObject({ kind: "APIGroupDiscoveryList", apiVersion: "apidiscovery.k8s.io/v2" });
  const served = (list: Aggregated, group: string, name: string): string[] =>
    list.items
      .filter((item) => (item.metadata.name ?? "") === group)
      .flatMap((item) => item.versions)
      .find((one) => one.version === name)
      ?.resources.map((one) => one.resource) ?? [];
  expect(served(core, "", "v1")).toEqual(expect.arrayContaining(["namespaces", "pods", "services", "secrets"]));
  for (const [group, wanted, resource] of [
    ["admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations"],
    ["apiextensions.k8s.io", "v1", "customresourcedefinitions"],
    ["apps", "v1", "deployments"],
    ["authentication.k8s.io", "v1", "tokenreviews"],
    ["rbac.authorization.k8s.io", "v1", "clusterroles"],
    ["autoscaling", "v2", "horizontalpodautoscalers"],
    ["batch", "v1", "jobs"],
    ["networking.k8s.io", "v1", "ingresses"],
    ["policy", "v1", "poddisruptionbudgets"],
    ["storage.k8s.io", "v1", "storageclasses"],
  ] as const) {
    expect(served(groups, group, wanted)).toContain(resource);
  }
});

/** A small definition of a kind of its own; `group` has to be new. */
const crd = (group: string, plural: string): Thing => ({
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: { name: `${plural}.${group}` },
  spec: {
    group,
    scope: "Namespaced",
    names: { plural, kind: "Foo" },
    versions: [{ name: "v1", served: true, storage: true, schema: { openAPIV3Schema: { type: "object" } } }],
  },
});

for (const behaviour of ["aggregated discovery client sees a new CRD", "raw aggregated discovery lists a new CRD"]) {
  discovery(behaviour, async ({ api, ok }) => {
    const raw = behaviour.startsWith("raw");
    const group = raw ? "raw.discovery.example.com" : "client.discovery.example.com";
    const definitions = api.resource("apiextensions.k8s.io/v1", "customresourcedefinitions");
    const plural = raw ? "rawfoos" : "clientfoos";
    await definitions.create(crd(group, plural));
    const seen = async (): Promise<boolean> => {
      if (!raw) return (await ok(["api-resources", `--api-group=${group}`, "--cached=false"])).includes(plural);
      const item = (await aggregated(api, "/apis")).items.find((one) => one.metadata.name === group);
      const resource = item?.versions.find((one) => one.version === "v1")?.resources[0];
      return resource?.resource === plural && resource.scope === "Namespaced" && resource.verbs.includes("watch");
    };
    await eventually(seen, (is) => is, 30_000);
    await definitions.delete(`${plural}.${group}`);
    await eventually(seen, (is) => !is, 30_000);
  });
}

const table = conformsShared("table");
table("406 for a Table request the backend cannot serve", async ({ api }) => {
  const review = {
    apiVersion: "authorization.k8s.io/v1",
    kind: "SelfSubjectAccessReview",
    spec: { nonResourceAttributes: { path: "/", verb: "get" } },
  };
  const answer = await api.send("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {
    body: review,
    headers: { accept: "application/json;as=Table;v=v1;g=meta.k8s.io" },
  });
  expect(answer.code).toBe(406);
  expect(JSON.parse(answer.text)).toMatchObject({ kind: "Status", reason: "NotAcceptable", code: 406 });
});

const chunking = conformsShared("chunking");
const TEMPLATES = 40;

async function manyTemplates(c: { api: Rest; namespace: (word: string) => Promise<string> }): Promise<Resource> {
  const templates = c.api.resource("v1", "podtemplates", await c.namespace("chunking"));
  const names = Array.from({ length: TEMPLATES }, (_, n) => `template-${String(n).padStart(4, "0")}`);
  await Promise.all(
    names.map((name) =>
      templates.create({
        metadata: { name },
        template: { spec: { containers: [{ name: "test", image: "example.test/chunk:1" }] } },
      }),
    ),
  );
  return templates;
}

chunking("limit/continue paging with remainingItemCount", async (c) => {
  const templates = await manyTemplates(c);
  for (const limit of [1, 7, 17, TEMPLATES + 1]) {
    const names: string[] = [];
    let next: string | undefined;
    let firstVersion: string | undefined;
    do {
      const page = await templates.list({ limit, continue: next });
      firstVersion ??= page.metadata.resourceVersion;
      expect(page.metadata.resourceVersion).toBe(firstVersion);
      names.push(...page.items.map((one) => one.metadata.name ?? ""));
      next = page.metadata.continue === "" ? undefined : page.metadata.continue;
      const left = TEMPLATES - names.length;
      expect(page.items.length).toBe(left > 0 || next !== undefined ? limit : page.items.length);
      expect(page.metadata.remainingItemCount ?? 0).toBe(left);
      expect(next !== undefined).toBe(left > 0);
    } while (next !== undefined);
    expect(names).toEqual(Array.from({ length: TEMPLATES }, (_, n) => `template-${String(n).padStart(4, "0")}`));
  }
});

const namespaces = conformsShared("namespace");
namespaces("patch a Namespace label", async ({ api, namespace }) => {
  const all = api.resource("v1", "namespaces");
  const name = await namespace("nspatch");
  await all.patch(name, { metadata: { labels: { testLabel: "testValue" } } }, "strategic");
  expect((await all.get(name)).metadata.labels).toMatchObject({
    testLabel: "testValue",
    "kubernetes.io/metadata.name": name,
  });
});

namespaces("update a Namespace", async ({ api, namespace }) => {
  const all = api.resource("v1", "namespaces");
  const name = await namespace("nsupdate");
  const updated = await retryOnConflict(async () => {
    const now = await all.get(name);
    return all.replace({ ...now, metadata: { ...now.metadata, labels: { ...now.metadata.labels, updated: name } } });
  });
  expect(updated.metadata.labels).toMatchObject({ updated: name });
  expect((await all.get(name)).metadata.labels).toMatchObject({ updated: name });
});

namespaces("spec.finalizers added and removed via finalize", async ({ api, namespace }) => {
  const all = api.resource("v1", "namespaces");
  const name = await namespace("nsfinalize");
  const finalize = (change: (now: string[]) => string[]): Promise<Thing> =>
    retryOnConflict(async () => {
      const now = await all.get(name);
      return all.replace(
        { ...now, spec: { finalizers: change(at<string[]>(now, "spec.finalizers") ?? []) } },
        "finalize",
      );
    });
  const fake = "e2e.example.com/fakeFinalizer";
  expect(at(await finalize((now) => [...now, fake]), "spec.finalizers")).toEqual(["kubernetes", fake]);
  expect(at(await all.get(name), "spec.finalizers")).toEqual(["kubernetes", fake]);
  await all.delete(name);
  await eventually(
    () => all.get(name),
    (now) => JSON.stringify(at(now, "spec.finalizers")) === JSON.stringify([fake]),
  );
  expect(at(await all.get(name), "status.phase")).toBe("Terminating");
  await finalize(() => []);
  await gone(() => all.get(name));
});

const watches = conformsShared("watch");
const configMap = (name: string, label: string): object => ({
  metadata: { name, labels: { "watch-this-configmap": label } },
});

const saw =
  (type: string, name: string, mutation?: string) =>
  (event: { type: string; object: Thing }): boolean =>
    event.type === type &&
    event.object.metadata.name === name &&
    (mutation === undefined || at(event.object, "data.mutation") === mutation);

watches("several label-filtered watchers see add/update/delete", async ({ api, namespace }) => {
  const maps = api.resource("v1", "configmaps", await namespace("watch"));
  using a = maps.watch({ labelSelector: "watch-this-configmap=multiple-watchers-A" });
  using b = maps.watch({ labelSelector: "watch-this-configmap=multiple-watchers-B" });
  using both = maps.watch({ labelSelector: "watch-this-configmap in (multiple-watchers-A,multiple-watchers-B)" });
  const step = async (first: Watch, type: string, name: string, mutation?: string): Promise<void> => {
    for (const watch of [first, both]) await watch.until(`${type} ${name}`, saw(type, name, mutation));
  };
  await maps.create(configMap("a", "multiple-watchers-A"));
  await step(a, "ADDED", "a");
  await maps.patch("a", { data: { mutation: "1" } });
  await step(a, "MODIFIED", "a", "1");
  await maps.patch("a", { data: { mutation: "2" } });
  await step(a, "MODIFIED", "a", "2");
  await maps.delete("a");
  await step(a, "DELETED", "a");
  await maps.create(configMap("b", "multiple-watchers-B"));
  await step(b, "ADDED", "b");
  await maps.delete("b");
  await step(b, "DELETED", "b");
  for (const [watch, other] of [
    [a, "b"],
    [b, "a"],
  ] as const)
    expect(watch.take().filter((event) => event.object.metadata.name === other)).toEqual([]);
});

watches("object leaving the selector yields DELETED, re-entering ADDED", async ({ api, namespace }) => {
  const maps = api.resource("v1", "configmaps", await namespace("watch"));
  using watch = maps.watch({ labelSelector: "watch-this-configmap=label-changed-and-restored" });
  await maps.create(configMap("c", "label-changed-and-restored"));
  const relabel = (label: string, mutation: string): Promise<Thing> =>
    maps.patch("c", { metadata: { labels: { "watch-this-configmap": label } }, data: { mutation } });
  await watch.until("created", saw("ADDED", "c"));
  await relabel("label-changed-and-restored", "1");
  await watch.until("changed", saw("MODIFIED", "c", "1"));
  await relabel("wrong-value", "1");
  await watch.until("left", saw("DELETED", "c"));
  await relabel("wrong-value", "2");
  await relabel("label-changed-and-restored", "3");
  const next = await watch.until("any event", () => true);
  expect(next.type).toBe("ADDED");
  expect(at(next.object, "data.mutation")).toBe("3");
  await maps.delete("c");
  await watch.until("deleted", saw("DELETED", "c"));
});

watches("watch starts at a given resourceVersion", async ({ api, namespace }) => {
  const maps = api.resource("v1", "configmaps", await namespace("watch"));
  await maps.create(configMap("v", "from-version"));
  const first = await maps.patch("v", { data: { mutation: "1" } });
  await maps.patch("v", { data: { mutation: "2" } });
  await maps.delete("v");
  using watch = maps.watch({ resourceVersion: first.metadata.resourceVersion });
  const own = (event: { object: Thing }): boolean => event.object.metadata.name === "v";
  const second = await watch.until("the second change", own);
  expect([second.type, at(second.object, "data.mutation")]).toEqual(["MODIFIED", "2"]);
  const third = await watch.until("the deletion", own);
  expect([third.type, at(third.object, "data.mutation")]).toEqual(["DELETED", "2"]);
});

watches("concurrent watches deliver the same order", async ({ api, namespace }) => {
  const maps = api.resource("v1", "configmaps", await namespace("watch"));
  const start = (await maps.list()).metadata.resourceVersion;
  const EVENTS = 100;
  const write = async (lane: number): Promise<void> => {
    for (let n = 0; n < EVENTS / 5; n++) {
      const name = `cm-${lane}-${Math.floor(n / 4)}`;
      if (n % 4 === 0) await maps.create({ metadata: { name } });
      else if (n % 4 === 3) await maps.delete(name);
      else await maps.patch(name, { data: { mutation: String(n) } });
    }
  };
  const follow = async (): Promise<string[]> => {
    using watch = maps.watch({ resourceVersion: start });
    const seen: string[] = [];
    while (seen.length < EVENTS) {
      const event = await watch.until(
        "the next event",
        ({ object }) => object.metadata.name?.startsWith("cm-") === true,
      );
      seen.push(event.object.metadata.resourceVersion ?? "");
    }
    return seen;
  };
  const [, ...orders] = await Promise.all([
    Promise.all([0, 1, 2, 3, 4].map(write)),
    ...Array.from({ length: 10 }, follow),
  ]);
  for (const order of orders) expect(order).toEqual(orders[0]);
  expect(orders[0]?.map(BigInt)).toEqual(orders[0]?.map(BigInt).toSorted((x, y) => (x < y ? -1 : x > y ? 1 : 0)));
});

chunking(
  "expired continue token gives 410 plus an inconsistent token (needs etcd compaction, ~5 min)",
  async (c) => {
    const templates = await manyTemplates(c);
    const first = await templates.list({ limit: 10 });
    for (const mark of ["1", "2"]) await templates.patch("template-0000", { metadata: { annotations: { mark } } });
    await c.compact();
    const expired: ApiError = (await eventually(
      () => templates.list({ limit: 10, continue: first.metadata.continue }).then(() => undefined, asApiError),
      (error) => error !== undefined,
    )) as ApiError;
    expect(expired.code).toBe(410);
    expect(expired.status.reason).toBe("Expired");
    const token = at<string>(expired.status, "metadata.continue");
    expect(token).toMatch(/./);
    const rest = await templates.list({ limit: 10, continue: token });
    expect(rest.items.map((one) => one.metadata.name)).toEqual(
      Array.from({ length: 10 }, (_, n) => `template-${String(n + 10).padStart(4, "0")}`),
    );
    expect(BigInt(rest.metadata.resourceVersion ?? "0")).toBeGreaterThan(BigInt(first.metadata.resourceVersion ?? "0"));
    const names = [...first.items, ...rest.items];
    let next = rest.metadata.continue;
    while (next !== undefined && next !== "") {
      const page = await templates.list({ limit: 10, continue: next });
      names.push(...page.items);
      next = page.metadata.continue;
    }
    expect(names).toHaveLength(TEMPLATES);
  },
  { alone: true },
);

function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  throw error;
}
