// The node of a pod from its bytes is the node of the parsed pod, whatever else is named like it.
import fc from "fast-check";
import { expect, test } from "vitest";
import { PODS, type Pod } from "@coxswain/api";
import { kindFor } from "@coxswain/api/scheme";
import type { KindDefinition } from "@coxswain/api";
import { podNode } from "../src/feed/pod-node.ts";
import { encodeStored, spliceVersion } from "../src/watch-cache/stored-form.ts";

const kind = kindFor(PODS) as KindDefinition;
const texts = fc.constantFrom(
  "nodeName",
  "spec",
  '"nodeName":"x"',
  ',"spec":{"nodeName":"x"',
  "\\",
  '\\"',
  "{",
  "}",
  "ä",
);
const names = fc.dictionary(texts, texts);
const pods = fc.record({
  labels: names,
  annotations: names,
  nodeSelector: names,
  attributes: names,
  nodeName: fc.option(fc.constantFrom("node-1", "a.example.com"), { nil: undefined }),
  nodeFirst: fc.boolean(),
});

test("the node of a pod is told without parsing it", () => {
  fc.assert(
    fc.property(pods, ({ labels, annotations, nodeSelector, attributes, nodeName, nodeFirst }) => {
      const named = nodeName === undefined ? {} : { nodeName };
      const spec = {
        nodeSelector,
        volumes: [{ name: "v", csi: { driver: "d", volumeAttributes: attributes } }],
        containers: [{ name: "c", image: "i", args: Object.keys(attributes) }],
      };
      const pod: Pod = {
        metadata: { name: "p", namespace: "default", uid: "u", labels, annotations },
        spec: nodeFirst ? { ...named, ...spec } : { ...spec, ...named },
        status: { phase: "Running", nominatedNodeName: "other" },
      };
      expect(podNode(spliceVersion(kind, encodeStored(kind, pod), 5n))).toBe(nodeName ?? "");
    }),
    { numRuns: 500 },
  );
  expect(podNode(Buffer.from('{"kind":"Pod","apiVersion":"v1","metadata":{"name":"nodeName"}}'))).toBe("");
});
