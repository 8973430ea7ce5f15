// The kinds that a server serves, and those that it knows for itself.
import { allKinds, CUSTOM_RESOURCE_DEFINITIONS } from "@coxswain/api";
import type { CustomResourceDefinition } from "@coxswain/api/apiextensions-v1/types";
import { silentLogger } from "@coxswain/component-base";
import { expect, test } from "vitest";
import { CustomKinds } from "../src/extensions/kind-source.ts";
import type { WatchCache } from "../src/watch-cache/watch-cache.ts";

const crd: CustomResourceDefinition = {
  metadata: { name: "boats.example.test" },
  spec: {
    group: "example.test",
    names: { plural: "boats", singular: "boat", kind: "Boat", listKind: "BoatList" },
    scope: "Namespaced",
    versions: [{ name: "v1", served: true, storage: true, schema: { openAPIV3Schema: { type: "object" } } }],
  },
  status: {
    acceptedNames: { plural: "boats", singular: "boat", kind: "Boat", listKind: "BoatList" },
    conditions: [{ type: "Established", status: "True" }],
    storedVersions: ["v1"],
  },
};

test("a definition is compiled once for what is served and for the server's own objects", () => {
  const definitions = { lastRv: 7n, list: () => [{ name: "boats.example.test", object: crd }] };
  let listeners = 0;
  const cache = {
    find: (ref: unknown) => (ref === CUSTOM_RESOURCE_DEFINITIONS ? definitions : undefined),
    onChange: () => listeners++,
    endWatches: () => {},
  } as unknown as WatchCache;
  let compiled = 0;
  const converter = (): undefined => {
    compiled++;
    return undefined;
  };
  const off = (kind: { readonly group: string }): boolean => kind.group === "batch";
  const kinds = new CustomKinds(cache, silentLogger, converter, (kind) => !off(kind));

  const boats = { group: "example.test", version: "v1", resource: "boats" };
  expect(kinds.whole.kindFor(boats)?.kind).toBe("Boat");
  expect(kinds.kindFor(boats)).toBe(kinds.whole.kindFor(boats));
  expect({ compiled, listeners }).toEqual({ compiled: 1, listeners: 1 });

  const jobs = { group: "batch", version: "v1", resource: "jobs" };
  expect(kinds.kindFor(jobs)).toBeUndefined();
  expect(kinds.kindForGvk({ group: "batch", version: "v1", kind: "Job" })).toBeUndefined();
  expect(kinds.whole.kindFor(jobs)?.kind).toBe("Job");
  expect(kinds.whole.kindForGvk({ group: "batch", version: "v1", kind: "Job" })?.kind).toBe("Job");
  expect(kinds.all().filter(off)).toEqual([]);
  expect(kinds.whole.all().map(({ kind }) => kind)).toEqual([...allKinds().map(({ kind }) => kind), "Boat"]);
  expect(kinds.whole.all()).toBe(kinds.whole.all());
});
