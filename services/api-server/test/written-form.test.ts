// What was written is taken for what would be read again only where it is the very same.
import fc from "fast-check";
import { expect, test } from "vitest";
import { CONFIG_MAPS, PODS, type Pod } from "@coxswain/api";
import { kindFor } from "@coxswain/api/scheme";
import type { KubeObject, ManagedFieldsEntry } from "@coxswain/apimachinery";
import { parseStored } from "../src/watch-cache/managed-form.ts";
import { OwnWrites } from "../src/watch-cache/own-writes.ts";
import { encodeStored, spliceVersion } from "../src/watch-cache/stored-form.ts";
import { parsedForm } from "../src/watch-cache/written-form.ts";
import { startTestServer } from "./test-server.ts";

const KIND = kindFor(CONFIG_MAPS)!;

class Odd {
  toJSON(): string {
    return "odd";
  }
}

const name = fc.oneof(fc.string({ unit: "grapheme", maxLength: 6 }), fc.constantFrom("1", "0", "toJSON", "__proto__"));
const plain = fc.jsonValue({ maxDepth: 3 });
/** What JSON leaves out or writes in another way. */
const strange = fc.constantFrom<unknown>(undefined, Number.NaN, Infinity, -0, new Odd(), () => 1, Symbol("s"), [
  undefined,
  1,
]);
const value = fc.oneof({ weight: 20, arbitrary: plain }, { weight: 1, arbitrary: strange });
const map = fc.dictionary(name, value, { maxKeys: 4 });
const entry = fc
  .record(
    {
      manager: name,
      operation: fc.constantFrom("Apply", "Update"),
      apiVersion: name,
      time: fc.option(name, { nil: undefined }),
      fieldsType: fc.constant("FieldsV1"),
      fieldsV1: fc.dictionary(
        name.map((field) => `f:${field}`),
        fc.constant({}),
        { maxKeys: 3 },
      ),
      subresource: name,
    },
    { requiredKeys: ["operation", "apiVersion", "fieldsType"] },
  )
  .map((each) => each as ManagedFieldsEntry);

const objects = fc
  .record({
    metadata: fc.record({ managedFields: fc.option(fc.array(entry, { maxLength: 3 }), { nil: undefined }), more: map }),
    uid: fc.option(name, { nil: undefined }),
    rest: map,
  })
  .map(({ metadata: { managedFields, more }, uid, rest }): KubeObject => {
    const metadata = { ...more, managedFields, uid, resourceVersion: "7", selfLink: "here" } as KubeObject["metadata"];
    return { ...rest, apiVersion: "v1", kind: "ConfigMap", metadata };
  });

test("what was written is what would be read again, or is not taken for it", () => {
  let taken = 0;
  fc.assert(
    fc.property(objects, (object) => {
      const written = parsedForm(KIND, structuredLike(object), 12_345n);
      if (written === undefined) return;
      taken++;
      const again = parseStored(spliceVersion(KIND, encodeStored(KIND, structuredLike(object)), 12_345n));
      expect(Object.keys(written.metadata!)).toEqual(Object.keys(again.metadata!));
      expect(written).toStrictEqual(again);
      expect(JSON.stringify(written)).toBe(JSON.stringify(again));
    }),
    { numRuns: 2_000 },
  );
  expect(taken).toBeGreaterThan(200);
});

/** A copy of the top, as writing freezes sets of fields. */
function structuredLike(object: KubeObject): KubeObject {
  const { managedFields } = object.metadata!;
  const copies = managedFields?.map((each) => ({
    ...each,
    ...(each.fieldsV1 === undefined ? {} : { fieldsV1: { ...(each.fieldsV1 as object) } }),
  }));
  return { ...object, metadata: { ...object.metadata, managedFields: copies } };
}

test("an object is found by its key and bytes, once", () => {
  const writes = new OwnWrites();
  const [one, other] = [Buffer.from("one"), Buffer.from("other")];
  const object: KubeObject = { kind: "ConfigMap" };
  writes.add("k", one, object);
  expect(writes.take("k", other)).toBeUndefined();
  expect(writes.take("l", one)).toBeUndefined();
  expect(writes.take("k", Buffer.from("one"))).toBe(object);
  expect(writes.take("k", one)).toBeUndefined();
  for (let at = 0; at < 10_000; at++) writes.add(`k${at}`, one, object);
  expect(writes.take("k0", one)).toBeUndefined();
  expect(writes.take("k9999", one)).toBe(object);
});

test("pods that this process wrote are served as if they had been read", async () => {
  const server = await startTestServer();
  const { client, api } = server;
  const target = { namespace: "default", name: "boat" };
  const pod: KubeObject & Pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { ...target, labels: { app: "boat" } },
    spec: { containers: [{ name: "main", image: "hull" }] },
  };
  const check = (): void => {
    const [cached] = api.source.list(PODS);
    const read = JSON.parse(cached!.json.toString()) as KubeObject;
    expect(cached!.object).toStrictEqual(read);
    expect(Object.keys(cached!.object).toSorted()).toEqual(Object.keys(read).toSorted());
  };
  await client.create(PODS, pod);
  check();
  const binding = { apiVersion: "v1", kind: "Binding", metadata: target, target: { kind: "Node", name: "harbor" } };
  await client.create(PODS, binding, { subresource: "binding" });
  check();
  const status = { status: { phase: "Running", podIP: "10.0.0.1" } };
  await client.patch(PODS, target, "application/merge-patch+json", status, { subresource: "status" });
  check();
  await client.patch(PODS, target, "application/merge-patch+json", { metadata: { labels: { app: null } } });
  check();
  await server.stop();
});
