// Bodies with a common end: what is made of them is what decoding all of each gives, errors and warnings included.
import fc from "fast-check";
import { expect, test } from "vitest";
import { PODS, type Pod } from "@coxswain/api";
import { kindFor } from "@coxswain/api/scheme";
import { StatusError, type KubeObject } from "@coxswain/apimachinery";
import { decodeCreated, decodeObject, type DecodeTarget } from "../src/registry/codec.ts";
import { KnownSpecs } from "../src/registry/known-specs.ts";
import { startTestServer } from "./test-server.ts";

const kind = kindFor(PODS)!;
const VALIDATIONS = ["Strict", "Warn", "Ignore"] as const;

const ENDS = [
  ',"spec":{"containers":[{"name":"a","image":"b"}]}}',
  ',"spec":{"containers":[{"name":"a","image":"b:1","ports":[{"containerPort":80}]}]},"status":{}} \n',
  ',"spec":{"containers":[{"name":"a","resources":{"limits":{"cpu":1}}}],"nodeName":null}}',
  ',"spec":{"containers":[{"name":"a","imge":"b"}]}}',
  ',"spec":{"containers":[{"name":"a","name":"b"}]}}',
  ',"spec":{"containers":"none"}}',
  ',"spec":{"containers":[]},"spec":{"containers":[]}}',
  ',"spec":{"containers":[]},"metadata":{"name":"late"}}',
  ',"spec":{"containers":[]}',
  ',"spec":{"containers":[]}}}',
  ',"spec":{"__proto__":{}}}',
  ',"spec":{}}',
];
const BEGINNINGS = [
  '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x"}',
  '{"kind":"Pod","metadata":{"name":"x","labels":{"a":"b"},"annotations":{"t":",\\"spec\\":{"},"creationTimestamp":null}',
  '{"metadata":{"name":"x","managedFields":[]}',
  '{"metadata":{"name":"x","lables":{}}',
  '{"metadata":{"name":"x","name":"y"}',
  '{"metadata":{"name":"x"},"spec":{"nodeName":"n"}',
  '{"spec":{"nodeName":"n"}',
  '{"status":{"phase":"Failed"}',
  '{"metadata":{"ownerReferences":[{"name":"o"',
  '{"metadata":{"name":3}',
  '{"kind":"Node"',
  '{"apiVersion":"v2","kind":"Pod"',
  "{",
  '{"a":1,',
  "[",
  '"text"',
  "",
];

/** What comes out, be it an error. */
function outcome(
  decode: (target: DecodeTarget) => KubeObject,
  fieldValidation: DecodeTarget["fieldValidation"],
): unknown {
  const warnings: string[] = [];
  try {
    return { object: decode({ kind, fieldValidation, warnings }), warnings };
  } catch (error) {
    if (error instanceof StatusError) return { status: error.toStatus(), warnings };
    throw error;
  }
}

test("a body with a known end is decoded as if it were the first", () => {
  let known = 0;
  fc.assert(
    fc.property(
      fc.constantFrom(...BEGINNINGS),
      fc.constantFrom(...ENDS),
      fc.constantFrom(...VALIDATIONS),
      (beginning, end, validation) => {
        const body = Buffer.from(beginning + end);
        const whole = outcome((target) => decodeObject(target, body, undefined), validation);
        for (let time = 0; time < 3; time++) {
          const decode = (target: DecodeTarget): KubeObject => {
            const { object, template } = decodeCreated(target, body, undefined);
            if (template !== undefined) known++;
            return object;
          };
          expect(outcome(decode, validation)).toEqual(whole);
        }
      },
    ),
    { numRuns: 600 },
  );
  expect(known).toBeGreaterThan(0);
});

test("what is made of a template belongs to its object alone", () => {
  const body = Buffer.from(BEGINNINGS[0]! + ENDS[1]!);
  const decode = (): Pod => decodeCreated({ kind, fieldValidation: "Warn", warnings: [] }, body, undefined).object;
  const first = structuredClone(decode());
  for (let time = 0; time < 3; time++) {
    const pod = decode();
    expect(pod).toEqual(first);
    pod.spec!.containers[0]!.ports!.push({ containerPort: 81 });
    pod.spec!.containers[0]!.image = "other";
  }
});

test("pods of one template get the same fields and the same spec, whatever their labels are", async () => {
  const server = await startTestServer();
  const spec = { containers: [{ name: "main", image: "hull", env: [{ name: "A", value: "B" }] }] };
  const make = async (name: string, labels: Record<string, string>): Promise<Pod> =>
    server.client.create<KubeObject & Pod>(PODS, {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace: "default", labels },
      spec,
    });
  const bare = ({ metadata, spec: made }: Pod): unknown => ({
    sets: metadata?.managedFields?.map(({ time: _time, ...entry }) => entry),
    spec: made,
  });
  const [first, second, third, fourth] = [
    await make("a", { x: "1" }),
    await make("b", { x: "2" }),
    await make("c", { x: "3" }),
    await make("d", { y: "1" }),
  ];
  expect(bare(second)).toEqual(bare(first));
  expect(bare(third)).toEqual(bare(first));
  const fields = JSON.stringify(fourth.metadata?.managedFields?.[0]?.fieldsV1);
  expect(fields).toBe(JSON.stringify(first.metadata?.managedFields?.[0]?.fieldsV1).replace('"f:x"', '"f:y"'));
  await server.stop();
});

test("a spec is known where its like was found valid, and never another", () => {
  const known = new KnownSpecs();
  const seen: boolean[] = [];
  const ask = (text: string, errors: string[] = []): string[] =>
    known.errorsOf(text, (before) => {
      seen.push(before);
      return before ? [] : errors;
    });
  const spec = (volume: string, mount: string): string => JSON.stringify({ volumes: [{ name: volume }], mount });
  ask(spec("kube-api-access-abcde", "kube-api-access-abcde"));
  ask(spec("kube-api-access-fghij", "kube-api-access-fghij"));
  // Two names are not one.
  expect(ask(spec("kube-api-access-abcde", "kube-api-access-fghij"), ["not found"])).toEqual(["not found"]);
  expect(ask(spec("kube-api-access-abcde", "kube-api-access-fghij"), ["not found"])).toEqual(["not found"]);
  ask(spec("kube-api-access-Abcde", "x"));
  ask(spec("kube-api-access-Bbcde", "x"));
  ask(spec("kube-api-access-abcdef", "x"));
  ask(spec("kube-api-access-bbcdef", "x"));
  expect(seen).toEqual([false, true, false, false, false, false, false, false]);
});
