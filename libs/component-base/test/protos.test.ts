// The contracts pass their checks, and messages come off the wire as their types say.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checkProtos } from "../../../protos/check.ts";
import {
  fileDescriptorSet,
  filesByName,
  filesBySymbol,
  serviceDefinition,
  structFromJson,
  structToJson,
} from "@coxswain/protos";
import type { GetInfoResponse } from "@coxswain/protos/component-v1.gen";
import type { SimulateRequest } from "@coxswain/protos/scheduler-v1.gen";

describe("contracts", () => {
  test("pass lint, break nothing, and match the generated files", () => {
    expect(checkProtos()).toEqual([]);
  });

  test("maps, 64-bit integers, oneofs and defaults come out as typed", () => {
    const info = serviceDefinition("coxswain.component.v1.Component")["GetInfo"]!;
    const sent = { facts: { lagMs: "3" }, pid: "9007199254740993" };
    const got = info.responseDeserialize(info.responseSerialize(sent)) as GetInfoResponse;
    expect(got).toMatchObject({ ...sent, component: "", leader: false });

    const batch = serviceDefinition("coxswain.api.v1.Resources")["Batch"]!;
    const request = { id: 7, create: { object: { json: Buffer.from("{}") } } };
    expect(batch.requestDeserialize(batch.requestSerialize(request))).toMatchObject({
      id: "7",
      operation: "create",
      create: { object: { json: Buffer.from("{}"), body: "json" } },
    });
    const logs = serviceDefinition("coxswain.kubelet.v1.Kubelet")["GetLogs"]!;
    expect(logs.requestDeserialize(logs.requestSerialize({}))).not.toHaveProperty("tailLines");
    expect(logs.requestDeserialize(logs.requestSerialize({ tailLines: 0 }))).toMatchObject({ tailLines: "0" });
  });

  test("an unknown service is an error", () => {
    expect(() => serviceDefinition("coxswain.nope.v1.Nope")).toThrow("no service coxswain.nope.v1.Nope");
  });

  test("reflection finds files with all their imports", () => {
    const files = filesBySymbol("coxswain.scheduler.v1.Scheduler.Explain");
    expect(files).toHaveLength(2);
    expect(files).toEqual(filesByName("coxswain/scheduler/v1/scheduler.proto"));
    expect(filesBySymbol("coxswain.scheduler.v1.Nothing")).toBeUndefined();
    expect(fileDescriptorSet().length).toBeGreaterThan(5_000);
  });
});

describe("Struct", () => {
  const simulate = serviceDefinition("coxswain.scheduler.v1.Scheduler")["Simulate"]!;

  test("any JSON object survives the wire", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 4 })), (json) => {
        fc.pre(!JSON.stringify(json).includes('"__proto__":'));
        const wire = simulate.requestSerialize({ pod: structFromJson(json) });
        const back = structToJson((simulate.requestDeserialize(wire) as SimulateRequest).pod);
        expect(JSON.parse(JSON.stringify(back))).toEqual(JSON.parse(JSON.stringify(json)));
      }),
      { numRuns: 200 },
    );
  });

  test("what JSON cannot hold is refused", () => {
    expect(() => structFromJson({ a: 1n })).toThrow("a bigint has no JSON form");
    for (const text of ['{"__proto__":1}', '{"a":[{"__proto__":null}]}'])
      expect(() => structFromJson(JSON.parse(text) as object)).toThrow("a member named __proto__ cannot be sent");
    expect(structToJson(structFromJson({ a: undefined }) as never)).toEqual({});
  });
});
