// A list as bytes: the items as the cache holds them, packed or not, in parts that add up to the length that was told.
import { expect, test } from "vitest";
import { CONFIG_MAPS } from "@coxswain/api";
import type { KindDefinition } from "@coxswain/api";
import { kindFor } from "@coxswain/api/scheme";
import { encodeResult } from "../src/rest/encode.ts";
import { CachedObject } from "../src/watch-cache/cached-object.ts";
import { Slab } from "../src/watch-cache/slab.ts";
import { encodeStored } from "../src/watch-cache/stored-form.ts";

const kind = kindFor(CONFIG_MAPS) as KindDefinition;

function items(count: number, bytes: number): CachedObject[] {
  const slab = new Slab();
  return Array.from({ length: count }, (_, n) => {
    const name = `n${n}`;
    const object = { metadata: { name, uid: "u", managedFields: [] }, data: { filler: "x".repeat(bytes) } };
    const stored = encodeStored(kind, object);
    const place = [kind, "default", name, BigInt(n + 1)] as const;
    return n % 2 === 0 ? CachedObject.packed(slab, ...place, stored) : CachedObject.fromStored(...place, stored);
  });
}

test.each([
  [0, 1],
  [1, 10],
  [3, 10],
  [25, 10_000],
  [27, 10_000],
  [150, 5_000],
  [3, 300_000],
])("a list of %i items of %i bytes", async (count, bytes) => {
  let pauses = 0;
  const pause = async (): Promise<void> => void pauses++;
  const result = {
    type: "list" as const,
    kind,
    items: items(count, bytes),
    resourceVersion: "9",
    continue: "",
    remainingItemCount: undefined,
  };
  const options = { pretty: false, protobuf: () => undefined, include: "Metadata" as const, nowMs: 0, pause };
  const encoded = encodeResult(result, { encoding: "json" }, options);
  const parts: Buffer[] = [];
  let before: Buffer | undefined;
  let untouched = "";
  for await (const part of encoded.parts) {
    // What was handed over last may still be on its way to the reader.
    expect(before?.toString("latin1") ?? "").toBe(untouched);
    before = part;
    untouched = part.toString("latin1");
    parts.push(Buffer.from(part));
  }
  // All but the last fill records of TLS.
  for (const part of parts.slice(0, -1)) expect(part.length % (16 * 1024)).toBe(0);
  const body = Buffer.concat(parts);
  expect(body).toHaveLength(encoded.length);
  expect(JSON.parse(body.toString())).toEqual({
    kind: "ConfigMapList",
    apiVersion: "v1",
    metadata: { resourceVersion: "9" },
    // The list says what its items are.
    items: result.items.map(({ json }) => {
      const { kind: _kind, apiVersion: _apiVersion, ...item } = JSON.parse(json.toString()) as Record<string, unknown>;
      return item;
    }),
  });
  // Others have their turn at least once in half a megabyte.
  expect(pauses).toBeGreaterThanOrEqual(Math.floor(count / Math.max(1, (512 * 1024) / bytes)));
});

test("items of custom kinds say of themselves what they are, in JSON and in YAML", () => {
  const custom = {
    ...kind,
    group: "example.com",
    kind: "Widget",
    listKind: "WidgetList",
    custom: {},
  } as KindDefinition;
  const stored = encodeStored(custom, { metadata: { name: "w" } });
  const item = CachedObject.fromStored(custom, "default", "w", 3n, stored);
  const base = { type: "list" as const, resourceVersion: "9", continue: "", remainingItemCount: undefined };
  const options = {
    pretty: false,
    protobuf: () => undefined,
    include: "Metadata" as const,
    nowMs: 0,
    pause: async () => {},
  };
  const text = (of: KindDefinition, one: CachedObject, encoding: "json" | "yaml"): string =>
    Buffer.concat([
      ...(encodeResult({ ...base, kind: of, items: [one] }, { encoding }, options).parts as Buffer[]),
    ]).toString();
  const typed = /kind"?: ?"?Widget"?[,\n]/;
  expect(text(custom, item, "json")).toMatch(typed);
  expect(text(custom, item, "yaml")).toMatch(typed);
  const [plain] = items(1, 1);
  for (const encoding of ["json", "yaml"] as const)
    expect(text(kind, plain!, encoding)).not.toMatch(/ConfigMap"?[,\n]/);
});
