// Events, by both of their groups.
import { expect } from "vitest";
import { eventually } from "../integration/cluster-fixture.ts";
import { conformsShared } from "./conforms.ts";
import { at } from "./rest-client.ts";

const events = conformsShared("events");
const GROUP = "events.k8s.io/v1";

const eventOf = (name: string, namespace: string, labels: Record<string, string>): object => ({
  metadata: { name, labels },
  regarding: { kind: "Pod", namespace, name: "event-regarding", apiVersion: "v1" },
  eventTime: "2025-01-01T00:00:00.000001Z",
  note: `This is ${name}`,
  action: "Do",
  reason: "Test",
  type: "Normal",
  reportingController: "test-controller",
  reportingInstance: "test-node",
});

events("core/v1 deletecollection", async ({ api, namespace }) => {
  const ns = await namespace("events");
  const all = api.resource("v1", "events", ns);
  for (const name of ["one", "two", "three"]) {
    await all.create({
      metadata: { name, labels: { "testevent-set": "true" } },
      involvedObject: { namespace: ns, kind: "Pod", name: "p" },
      message: `This is ${name}`,
      reason: "Test",
      type: "Normal",
    });
  }
  expect((await all.list({ labelSelector: "testevent-set=true" })).items).toHaveLength(3);
  await all.deleteCollection({ labelSelector: "testevent-set=true" });
  await eventually(
    () => all.list({ labelSelector: "testevent-set=true" }),
    ({ items }) => items.length === 0,
  );
});

events("events.k8s.io deletecollection", async ({ api, namespace }) => {
  const ns = await namespace("events");
  const all = api.resource(GROUP, "events", ns);
  for (const name of ["one", "two", "three"]) await all.create(eventOf(name, ns, { "testevent-set": "true" }));
  expect((await api.resource("v1", "events", ns).list({ labelSelector: "testevent-set=true" })).items).toHaveLength(3);
  await all.deleteCollection({ labelSelector: "testevent-set=true" });
  await eventually(
    () => all.list({ labelSelector: "testevent-set=true" }),
    ({ items }) => items.length === 0,
  );
});

events("events.k8s.io create/patch/update series/delete/list", async ({ api, namespace }) => {
  const ns = await namespace("events");
  const all = api.resource(GROUP, "events", ns);
  const made = await all.create(eventOf("one", ns, { "testevent-constant": ns }));
  expect(made).toMatchObject({
    apiVersion: GROUP,
    kind: "Event",
    note: "This is one",
    regarding: { name: "event-regarding" },
  });
  const listed = await api.resource(GROUP, "events").list({ labelSelector: `testevent-constant=${ns}` });
  expect(listed.items.map((one) => one["note"])).toEqual(["This is one"]);
  const byField = await all.list({ fieldSelector: "reportingController=test-controller" });
  expect(byField.items.map((one) => one.metadata.name)).toEqual(["one"]);
  const series = { count: 2, lastObservedTime: "2025-01-01T00:01:00.000002Z" };
  expect((await all.patch("one", { series }))["series"]).toEqual(series);
  const before = await all.get("one");
  const later = { count: 100, lastObservedTime: "2025-01-01T00:02:00.000003Z" };
  const updated = await all.replace({ ...before, series: later });
  expect(updated["series"]).toEqual(later);
  const legacy = await api.resource("v1", "events", ns).get("one");
  expect([legacy["message"], at(legacy, "series.count")]).toEqual(["This is one", 100]);
  await all.delete("one");
  expect((await all.list()).items).toEqual([]);
  expect((await api.resource("v1", "events", ns).list()).items).toEqual([]);
});
