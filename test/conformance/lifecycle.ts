// What the API promises of every kind, walked through on one kind: discovery, create, get, list, watch, patch, update, status,
// delete and deletecollection, each checked by what it changed and by the events of a watch.
import { expect } from "vitest";
import { eventually } from "../integration/cluster-fixture.ts";
import { at, type Resource, type Rest, type Thing } from "./rest-client.ts";
import { found, gone } from "./shared-cluster.ts";

export interface LifecycleKind {
  readonly groupVersion: string;
  readonly plural: string;
  readonly kind: string;
  /** Absent for what belongs to no namespace. */
  readonly namespace?: string;
  /** The object but for apiVersion, kind, and the name and labels that the walk gives; `n` is 0, 1 or 2. */
  readonly body: (n: number) => object;
  /** Names where the kind wants others than the walk's own. */
  readonly name?: (n: number) => string;
  /** What a merge patch of the status sets, and is to be read back. */
  readonly status?: object;
  /** A change of the object by an update, and what is to be read back. */
  readonly change?: object;
  /** False where no collection of it can be deleted by upstream's rules for the kind. */
  readonly discovery?: boolean;
}

let walks = 0;

/** Checks that the group, the version and the resource (with its status, if any) are in discovery. */
export async function discovered(
  api: Rest,
  groupVersion: string,
  wanted: { plural: string; kind: string; namespaced: boolean; status?: boolean },
): Promise<void> {
  const [group = "", version] = groupVersion.includes("/") ? groupVersion.split("/") : ["", groupVersion];
  if (version !== undefined && group !== "") {
    const groups = await api.json<{ groups: { name: string; versions: { version: string }[] }[] }>("GET", "/apis");
    const own = groups.groups.find((one) => one.name === group);
    expect(own?.versions.map((one) => one.version)).toContain(version);
    const alone = await api.json<{ kind: string; versions: { groupVersion: string }[] }>("GET", `/apis/${group}`);
    expect(alone.kind).toBe("APIGroup");
    expect(alone.versions.map((one) => one.groupVersion)).toContain(groupVersion);
  }
  const prefix = group === "" ? `/api/${groupVersion}` : `/apis/${groupVersion}`;
  const { resources } = await api.json<{ resources: { name: string; kind: string; namespaced: boolean }[] }>(
    "GET",
    prefix,
  );
  const { plural, kind, namespaced } = wanted;
  expect(resources.find((one) => one.name === plural)).toMatchObject({ kind, namespaced });
  if (wanted.status === true) expect(resources.find((one) => one.name === `${plural}/status`)).toMatchObject({ kind });
}

/** Walks three objects of the kind through their lives. Rejects at the first thing that is not as promised. */
export async function walkLifecycle(api: Rest, wish: LifecycleKind): Promise<void> {
  const { groupVersion, plural, kind, namespace } = wish;
  await discovered(api, groupVersion, {
    plural,
    kind,
    namespaced: namespace !== undefined,
    status: wish.status !== undefined,
  });
  const resource = api.resource(groupVersion, plural, namespace);
  const label = `walk-${process.pid}-${++walks}`;
  const labelSelector = `conformance=${label}`;
  const nameOf = wish.name ?? ((n: number): string => `${label}-${n}`);
  const { resourceVersion } = (await resource.list({ labelSelector })).metadata;
  using watch = resource.watch({ labelSelector, resourceVersion });
  for (const n of [0, 1, 2]) {
    const body = { apiVersion: groupVersion, kind, ...wish.body(n) };
    const metadata = { ...at<object>(body, "metadata"), name: nameOf(n), labels: { conformance: label } };
    const made = await resource.create({ ...body, metadata });
    expect(made.metadata).toMatchObject({ name: nameOf(n), labels: { conformance: label } });
    expect(made.metadata.uid).toMatch(/^[0-9a-f-]{36}$/);
  }
  const name = nameOf(0);
  const of = (type: string) => (event: { type: string; object: Thing }) =>
    event.type === type && event.object.metadata.name === name;
  await watch.until("the watch sees it added", of("ADDED"));
  await readBack(api, resource, wish, { name, labelSelector });
  await changeIt(resource, wish, name);
  await watch.until("the watch sees the patch", (event) => {
    return of("MODIFIED")(event) && event.object.metadata.annotations?.["patched"] === "true";
  });
  await watch.until("the watch sees the update", (event) => {
    return of("MODIFIED")(event) && event.object.metadata.annotations?.["updated"] === "true";
  });
  if (wish.status !== undefined) await changeStatus(resource, name, wish.status);
  await resource.delete(name);
  await gone(() => resource.get(name));
  await watch.until("the watch sees it deleted", of("DELETED"));
  await resource.deleteCollection({ labelSelector });
  await eventually(
    () => resource.list({ labelSelector }),
    ({ items }) => items.length === 0,
  );
  expect(await found(resource.get(nameOf(1)))).toBeUndefined();
}

async function readBack(
  api: Rest,
  resource: Resource,
  { groupVersion, plural, kind, namespace }: LifecycleKind,
  { name, labelSelector }: { name: string; labelSelector: string },
): Promise<void> {
  const read = await resource.get(name);
  expect(read).toMatchObject({ apiVersion: groupVersion, kind, metadata: { name } });
  const listed = await resource.list({ labelSelector });
  expect(listed.kind).toBe(`${kind}List`);
  expect(listed.items).toHaveLength(3);
  if (namespace === undefined) return;
  const everywhere = await api.resource(groupVersion, plural).list({ labelSelector });
  expect(everywhere.items.map((one) => one.metadata.namespace)).toEqual([namespace, namespace, namespace]);
}

async function changeIt(resource: Resource, { change }: LifecycleKind, name: string): Promise<void> {
  const before = await resource.get(name);
  const patched = await resource.patch(name, { metadata: { annotations: { patched: "true" } } });
  expect(patched.metadata.annotations).toMatchObject({ patched: "true" });
  expect(patched.metadata.resourceVersion).not.toBe(before.metadata.resourceVersion);
  const updated = await retryOnConflict(async () => {
    const now = await resource.get(name);
    const annotations = { ...now.metadata.annotations, updated: "true" };
    return resource.replace({ ...now, ...change, metadata: { ...now.metadata, annotations } });
  });
  expect(updated).toMatchObject({ ...change, metadata: { annotations: { patched: "true", updated: "true" } } });
}

async function changeStatus(resource: Resource, name: string, status: object): Promise<void> {
  const wanted = holding(status);
  const patched = await resource.patch(name, { status }, "merge", "status");
  expect(patched["status"]).toMatchObject(wanted);
  expect((await resource.get(name, "status"))["status"]).toMatchObject(wanted);
  const updated = await retryOnConflict(async () => {
    const now = await resource.get(name, "status");
    const annotations = { ...now.metadata.annotations, "status-updated": "true" };
    return resource.replace({ ...now, status, metadata: { ...now.metadata, annotations } }, "status");
  });
  expect(updated["status"]).toMatchObject(wanted);
}

/** The status as it may be read back: the cluster has conditions of its own, beside those that were set. */
function holding(status: object): object {
  const conditions = at<object[]>(status, "conditions");
  if (conditions === undefined) return status;
  return { ...status, conditions: expect.arrayContaining(conditions.map((one) => expect.objectContaining(one))) };
}

/** As clients do: reads and writes anew while somebody else was quicker. */
export async function retryOnConflict<T>(write: () => Promise<T>, attempts = 20): Promise<T> {
  for (let n = 1; ; n++) {
    try {
      return await write();
    } catch (error) {
      if (n === attempts || (error as { code?: number }).code !== 409) throw error;
    }
  }
}
