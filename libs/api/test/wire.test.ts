// Kubernetes' protobuf: bodies that kubectl 1.35.2 sent, and round trips.
import { readFileSync } from "node:fs";
import { StatusError } from "@coxswain/apimachinery";
import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeProtobuf, encodeProtobuf } from "../src/wire/index.ts";

const bodies = JSON.parse(readFileSync(new URL("wire-kubectl-bodies.json", import.meta.url), "utf8")) as Record<
  string,
  string
>;
const sent = (name: string): Buffer => {
  const found = Object.entries(bodies).find(([key]) => key.startsWith(`${name}-`));
  return Buffer.from(found?.[1] ?? "", "base64");
};

test("kubectl create deployment --replicas=0 --port=80", () => {
  expect(decodeProtobuf(sent("Deployment"))).toEqual({
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "d", labels: { app: "d" } },
    spec: {
      replicas: 0,
      selector: { matchLabels: { app: "d" } },
      template: {
        metadata: { labels: { app: "d" } },
        spec: { containers: [{ name: "nginx", image: "nginx", ports: [{ containerPort: 80 }], resources: {} }] },
      },
      strategy: {},
    },
    status: {},
  });
});

test("kubectl create service, secret, token; auth can-i", () => {
  expect(decodeProtobuf(sent("Service"))).toMatchObject({
    spec: { ports: [{ name: "80-8080", protocol: "TCP", port: 80, targetPort: 8080 }], type: "ClusterIP" },
  });
  expect(decodeProtobuf(sent("Secret"))).toMatchObject({ data: { p: "cQ==" } });
  expect(decodeProtobuf(sent("TokenRequest"))).toMatchObject({ spec: { expirationSeconds: 3600 } });
  expect(decodeProtobuf(sent("SelfSubjectAccessReview"))).toMatchObject({
    spec: { resourceAttributes: { namespace: "default", verb: "get", resource: "pods" } },
  });
});

test.each(Object.keys(bodies))("%s survives decode, encode, decode", (name) => {
  const object = decodeProtobuf(Buffer.from(bodies[name] as string, "base64"));
  expect(decodeProtobuf(encodeProtobuf(object))).toEqual(object);
});

test("values keep their JSON form", () => {
  const pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: "p",
      creationTimestamp: "2026-01-01T00:00:00Z",
      generation: 2 ** 53 - 1,
      managedFields: [{ manager: "m", fieldsType: "FieldsV1", fieldsV1: { "f:spec": {} } }],
    },
    spec: {
      automountServiceAccountToken: false,
      priority: -5,
      volumes: [{ name: "v", configMap: { name: "c", defaultMode: 420 } }],
      containers: [
        {
          name: "c",
          resources: { limits: { cpu: "1500m" } },
          livenessProbe: { httpGet: { path: "/", port: "http" }, periodSeconds: 3 },
          envFrom: [{ configMapRef: { name: "x" } }],
        },
      ],
    },
  };
  expect(decodeProtobuf(encodeProtobuf(pod))).toEqual(pod);
  const lease = {
    apiVersion: "coordination.k8s.io/v1",
    kind: "Lease",
    metadata: { name: "l" },
    spec: { holderIdentity: "h", renewTime: "2026-01-01T00:00:00.123456Z" },
  };
  expect(decodeProtobuf(encodeProtobuf(lease))).toEqual(lease);
});

test("maps of any text round-trip, bytes too", () => {
  const key = fc.string({ unit: "grapheme" }).filter((text) => text !== "__proto__");
  fc.assert(
    fc.property(fc.dictionary(key, fc.string({ unit: "grapheme" })), fc.uint8Array({ minLength: 1 }), (data, bytes) => {
      const object = {
        apiVersion: "v1",
        kind: "ConfigMap",
        data: { ...data, z: "z" },
        binaryData: { b: Buffer.from(bytes).toString("base64") },
      };
      expect(decodeProtobuf(encodeProtobuf(object))).toEqual(object);
    }),
  );
});

test("a quantity that is none is refused", () => {
  const pod = (cpu: string): object => ({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "a" },
    spec: { containers: [{ name: "c", image: "x", resources: { limits: { cpu } } }] },
  });
  expect(decodeProtobuf(encodeProtobuf(pod("100m")))).toMatchObject(pod("100m"));
  expect(() => decodeProtobuf(encodeProtobuf(pod("[object Object]")))).toThrow(
    expect.objectContaining({
      code: 400,
      message: expect.stringContaining("quantities must match") as string,
    }) as Error,
  );
});

test("damaged bodies are refused or read, never crash", () => {
  const whole = sent("Deployment");
  fc.assert(
    fc.property(fc.nat(whole.length - 5), fc.nat(255), fc.nat(whole.length), (at, byte, length) => {
      const damaged = Buffer.from(whole.subarray(0, length));
      if (at + 4 < damaged.length) damaged[at + 4] = byte;
      try {
        decodeProtobuf(damaged);
      } catch (error) {
        expect(error).toBeInstanceOf(StatusError);
      }
      expect(Object.keys(Object.prototype)).toEqual([]);
    }),
    { numRuns: 2000 },
  );
});
