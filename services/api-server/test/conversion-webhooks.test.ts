// Custom resources in two versions that a webhook makes into each other, over real HTTPS on loopback: what is read, written,
// listed and watched in either, and what is told when the webhook fails.
import { readFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { Server } from "node:https";
import type { AddressInfo } from "node:net";
import { CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES } from "@coxswain/api";
import type { CustomResourceDefinition } from "@coxswain/api/apiextensions-v1/types";
import type { KubeObject, ResourceRef, StatusError } from "@coxswain/apimachinery";
import { certificateFiles } from "@coxswain/component-base/identity/pki";
import { serverTlsOptions } from "@coxswain/component-base/tls-files";
import { Agent, request } from "undici";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { eventually } from "./eventually.ts";
import { MUTATING_POLICIES_ON } from "./support/mutating-policies.ts";
import { kubectl, prepareKubectl, startTestServer } from "./support/test-server.ts";
import type { KubectlResult, TestServer } from "./support/test-server.ts";

type Address = KubeObject & { spec?: { address?: string; host?: string; port?: string } };

interface Review {
  readonly apiVersion: string;
  readonly kind: string;
  readonly request: { readonly uid: string; readonly desiredAPIVersion: string; readonly objects: readonly Address[] };
}

const GROUP = "net.example.com";
const NAME = `addresses.${GROUP}`;
const V1: ResourceRef = { group: GROUP, version: "v1", resource: "addresses" };
const V2: ResourceRef = { ...V1, version: "v2" };

let server: TestServer;
let remote: Server;
let respond: (review: Review, response: ServerResponse) => object | undefined;
const asked: Review[] = [];

/** v1 has "host:port", v2 has both by themselves. */
function convert(object: Address, apiVersion: string): Address {
  const { address = "", host = "", port = "" } = object.spec ?? {};
  const [left = "", right = ""] = address.split(":");
  const spec = apiVersion.endsWith("/v2") ? { host: left, port: right } : { address: `${host}:${port}` };
  const labels = { ...object.metadata?.labels, converted: apiVersion.split("/")[1] ?? "" };
  return { ...object, apiVersion, metadata: { ...object.metadata, labels }, spec };
}

const usual: typeof respond = ({ request }) => ({
  convertedObjects: request.objects.map((object) => convert(object, request.desiredAPIVersion)),
  result: { status: "Success" },
});

async function answer(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
  let text = "";
  for await (const chunk of incoming) text += String(chunk);
  const review = JSON.parse(text) as Review;
  asked.push(review);
  const said = respond(review, response);
  if (said === undefined) return;
  const { apiVersion, kind, request } = review;
  response.end(JSON.stringify({ apiVersion, kind, response: { uid: request.uid, ...said } }));
}

const spec = (...names: string[]): object => ({
  type: "object",
  properties: Object.fromEntries(names.map((name) => [name, { type: "string" }])),
});

function definition(storage: string): CustomResourceDefinition {
  const { port } = remote.address() as AddressInfo;
  const caBundle = readFileSync(certificateFiles(server.dir, "admin").caFile).toString("base64");
  const version = (name: string, ...fields: string[]): object => ({
    name,
    served: true,
    storage: name === storage,
    schema: { openAPIV3Schema: { type: "object", properties: { spec: spec(...fields) } } },
    selectableFields: [{ jsonPath: `.spec.${fields[0]}` }],
    additionalPrinterColumns: fields.map((field) => ({ name: field, type: "string", jsonPath: `.spec.${field}` })),
  });
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: NAME },
    spec: {
      group: GROUP,
      names: { plural: "addresses", kind: "Address" },
      scope: "Namespaced",
      versions: [version("v1", "address"), version("v2", "host", "port")],
      conversion: {
        strategy: "Webhook",
        webhook: {
          conversionReviewVersions: ["v1"],
          clientConfig: { url: `https://localhost:${port}/convert`, caBundle },
        },
      },
    },
  } as unknown as CustomResourceDefinition;
}

const client = (): TestServer["component"]["server"]["loopback"] => server.component.server.loopback;
const run = async (args: string, input = ""): Promise<KubectlResult> => await kubectl(server, args.split(" "), input);
const inV1 = (name: string, address: string): Address => ({
  apiVersion: `${GROUP}/v1`,
  kind: "Address",
  metadata: { name, namespace: "shop" },
  spec: { address },
});
const at = (name: string): { name: string; namespace: string } => ({ name, namespace: "shop" });
const storedAs = async (name: string): Promise<string> => {
  const found = await server.storage.get(`/registry/${GROUP}/addresses/shop/${name}`);
  return (JSON.parse(found?.value.toString() ?? "{}") as KubeObject).apiVersion ?? "";
};

async function refusal(doing: Promise<unknown>): Promise<StatusError> {
  return await doing.then(
    () => expect.fail("it went well"),
    (error: unknown) => error as StatusError,
  );
}

beforeAll(async () => {
  await prepareKubectl();
  server = await startTestServer(["ServiceAccount"], MUTATING_POLICIES_ON);
  remote = createServer(serverTlsOptions(server.tls("api-server")), (incoming, response) => {
    void answer(incoming, response);
  });
  await new Promise<void>((resolve) => remote.listen(0, "localhost", resolve));
  await client().create(NAMESPACES, { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } });
  await client().create(CUSTOM_RESOURCE_DEFINITIONS, definition("v1"));
  await eventually(() => expect(server.component.server.kinds.kindFor(V2)).toBeDefined());
});

beforeEach(() => {
  respond = usual;
  asked.length = 0;
});

afterAll(async () => {
  await server.close();
  remote.closeAllConnections();
  await new Promise((resolve) => remote.close(resolve));
});

test("what is written in one version is read in the other, and the webhook may change labels and nothing else of the metadata", async () => {
  const created = await client().create<Address>(V1, inV1("one", "a.example:80"));
  expect(created.spec).toEqual({ address: "a.example:80" });
  // It is stored in the version that it came in: nobody was asked.
  expect(asked).toEqual([]);
  const read = await client().get<Address>(V2, at("one"));
  expect(read).toMatchObject({ apiVersion: `${GROUP}/v2`, kind: "Address", spec: { host: "a.example", port: "80" } });
  expect(read.metadata).toEqual({ ...created.metadata, labels: { converted: "v2" } });
  expect(asked).toMatchObject([
    { apiVersion: "apiextensions.k8s.io/v1", kind: "ConversionReview", request: { desiredAPIVersion: `${GROUP}/v2` } },
  ]);
  expect(asked[0]?.request.objects).toEqual([created]);
});

test("a change in the other version is stored in the storage version", async () => {
  const read = await client().get<Address>(V2, at("one"));
  const changed = await client().update<Address>(V2, { ...read, spec: { host: "b.example", port: "81" } });
  expect(changed.spec).toEqual({ host: "b.example", port: "81" });
  expect((await client().get<Address>(V1, at("one"))).spec).toEqual({ address: "b.example:81" });
  expect(await storedAs("one")).toBe(`${GROUP}/v1`);
  const v2 = `{apiVersion: ${GROUP}/v2, kind: Address, metadata: {name: two, namespace: shop}, spec: {host: c.example, port: "82"}}`;
  expect((await run("apply -f -", v2)).out).toBe("address.net.example.com/two created\n");
  expect((await client().get<Address>(V1, at("two"))).spec).toEqual({ address: "c.example:82" });
});

test("lists ask about all at once, and choose by what was converted", async () => {
  asked.length = 0;
  await client().create(V1, inV1("three", "d.example:83"));
  const listed = await client().list<Address>(V2, { namespace: "shop" });
  expect(listed.items.map((each) => each.spec?.port)).toEqual(["81", "83", "82"]);
  expect(asked.filter(({ request }) => request.objects.length > 1).length).toBeLessThanOrEqual(1);
  expect((await run("get addresses.v2.net.example.com -n shop --field-selector=spec.host=d.example")).out).toMatch(
    /^NAME +HOST +PORT\nthree +d\.example +83\n$/,
  );
  expect((await run("get addresses.v1.net.example.com -n shop -l converted=v2")).err).toContain("No resources found");
  expect((await run("get addresses.v2.net.example.com -n shop -l converted=v2 -o name")).out.split("\n")).toHaveLength(
    4,
  );
});

test("a watch shows objects in its version, in order", async () => {
  const seen: string[] = [];
  const stop = new AbortController();
  const watching = (async () => {
    const options = { namespace: "shop", resourceVersion: "0" };
    for await (const event of client().watch<Address>(V2, options, stop.signal)) {
      if (event.type === "BOOKMARK") continue;
      seen.push(`${event.type} ${event.object.metadata?.name} ${event.object.spec?.port}`);
    }
  })();
  await eventually(() => expect(seen).toHaveLength(3));
  await client().create(V1, inV1("four", "e.example:84"));
  const four = await client().get<Address>(V1, at("four"));
  await client().update(V1, { ...four, spec: { address: "e.example:85" } });
  await client().delete(V1, at("four"));
  await eventually(() => expect(seen.slice(3)).toEqual(["ADDED four 84", "MODIFIED four 85", "DELETED four 85"]));
  stop.abort();
  await watching;
});

test("a watch that chooses by content tells of objects that leave it, also beside one of the other version", async () => {
  const stop = new AbortController();
  const follow = (ref: ResourceRef, fieldSelector: string): string[] => {
    const seen: string[] = [];
    const watch = client().watch<Address>(ref, { namespace: "shop", fieldSelector }, stop.signal);
    watching.push(
      (async () => {
        for await (const event of watch) {
          if (event.type !== "BOOKMARK") seen.push(`${event.type} ${event.object.metadata?.name}`);
        }
      })(),
    );
    return seen;
  };
  const watching: Promise<void>[] = [];
  const v2 = follow(V2, "spec.host=leaver");
  const v1 = follow(V1, "spec.address=leaver:80");
  const names = ["deleted", "changed"];
  for (const name of names) await client().create(V1, inV1(name, "leaver:80"));
  const added = names.map((name) => `ADDED ${name}`);
  await eventually(() => expect([v1, v2]).toEqual([added, added]));
  await client().delete(V1, at("deleted"));
  const changed = await client().get<Address>(V2, at("changed"));
  await client().update(V2, { ...changed, spec: { host: "elsewhere", port: "80" } });
  const left = names.map((name) => `DELETED ${name}`);
  await eventually(() => expect([v1.slice(2), v2.slice(2)]).toEqual([left, left]));
  stop.abort();
  await Promise.all(watching);
  await client().delete(V1, at("changed"));
});

test("a call of the webhook ends when nobody waits for it any more", async () => {
  await client().create(V1, inV1("forgotten", "f:1"));
  const called = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<void>();
  respond = (_review, response) => {
    response.once("close", () => ended.resolve());
    called.resolve();
    return undefined;
  };
  const agent = new Agent({ connect: { ...server.tls("admin"), checkServerIdentity: () => undefined } as never });
  const gone = new AbortController();
  const path = `/apis/${GROUP}/v2/namespaces/shop/addresses/forgotten`;
  const asking = request(server.url + path, { dispatcher: agent, signal: gone.signal });
  await called.promise;
  gone.abort();
  await expect(asking).rejects.toThrow();
  await ended.promise;
  await agent.close();
  respond = usual;
  expect((await client().get<Address>(V2, at("forgotten"))).spec).toEqual({ host: "f", port: "1" });
  await client().delete(V1, at("forgotten"));
});

test.each<[string, typeof respond, string]>([
  ["says no", () => ({ result: { status: "Failed", message: "not today" } }), "failed: not today"],
  ["says nothing", () => ({}), "failed: response.result.status was '', not 'Success'"],
  [
    "answers another request",
    (review) => ({ ...usual(review, undefined as never), uid: "other" }),
    'failed: expected response.uid="',
  ],
  ["gives too few", () => ({ convertedObjects: [], result: { status: "Success" } }), "returned 0 objects, expected 1"],
  [
    "gives another version",
    ({ request }) => ({ convertedObjects: request.objects, result: { status: "Success" } }),
    `returned invalid object at index 0: invalid groupVersion (expected ${GROUP}/v2, received ${GROUP}/v1)`,
  ],
  [
    "gives another name",
    ({ request: { objects, desiredAPIVersion } }) => ({
      convertedObjects: objects.map((each) => ({
        ...convert(each, desiredAPIVersion),
        metadata: { ...each.metadata, name: "x" },
      })),
      result: { status: "Success" },
    }),
    "returned invalid object: must have the same name: fresh != x",
  ],
  [
    "gives a bad label",
    ({ request: { objects, desiredAPIVersion } }) => ({
      convertedObjects: objects.map((each) => ({
        ...convert(each, desiredAPIVersion),
        metadata: { ...each.metadata, labels: { "not a label": "x" } },
      })),
      result: { status: "Success" },
    }),
    "returned invalid metadata: ",
  ],
  [
    "answers with an error",
    (_review, response) => {
      response.statusCode = 500;
      response.end("broken");
      return undefined;
    },
    'failed: an error on the server ("broken") has prevented the request from succeeding',
  ],
])("a webhook that %s is told of", async (_what, says, message) => {
  await client().create(V1, inV1("fresh", "f.example:1"));
  respond = says;
  const error = await refusal(client().get(V2, at("fresh")));
  expect(error.code).toBe(500);
  expect(error.message).toContain(`conversion webhook for ${GROUP}/v1, Kind=Address ${message}`);
  // In the version that it is stored in, the object is there as ever.
  expect((await client().get<Address>(V1, at("fresh"))).spec).toEqual({ address: "f.example:1" });
  await client().delete(V1, at("fresh"));
});

test("kubectl is told what the webhook said", async () => {
  respond = () => ({ result: { status: "Failed", message: "not today" } });
  await client().create(V1, inV1("five", "g.example:86"));
  expect((await run("get addresses.v2.net.example.com five -n shop")).err).toBe(
    `Error from server: conversion webhook for ${GROUP}/v1, Kind=Address failed: not today\n`,
  );
});

test("a policy for one version sees requests of the other as its own", async () => {
  const group = "admissionregistration.k8s.io";
  const rules = [{ operations: ["CREATE"], apiGroups: [GROUP], apiVersions: ["v2"], resources: ["addresses"] }];
  const made: [ResourceRef, string][] = [];
  const make = async (
    version: string,
    resource: string,
    kind: string,
    name: string,
    policySpec: object,
  ): Promise<void> => {
    const ref = { group, version, resource };
    const object = { apiVersion: `${group}/${version}`, kind, metadata: { name }, spec: policySpec } as KubeObject;
    await client().create(ref, object);
    made.push([ref, name]);
    await eventually(() => expect(server.component.server.source.get(ref, "", name)).toBeDefined());
  };
  const validations = [{ expression: "object.spec.port != '13' && object.apiVersion == 'net.example.com/v2'" }];
  const matchConstraints = { resourceRules: rules };
  await make("v1", "validatingadmissionpolicies", "ValidatingAdmissionPolicy", "luck", {
    matchConstraints,
    validations,
  });
  const binding = { policyName: "luck", validationActions: ["Deny"] };
  await make("v1", "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", "luck", binding);
  const mutations = [
    {
      patchType: "ApplyConfiguration",
      applyConfiguration: { expression: "Object{spec: Object.spec{host: 'x.' + object.spec.host}}" },
    },
  ];
  await make("v1beta1", "mutatingadmissionpolicies", "MutatingAdmissionPolicy", "prefix", {
    reinvocationPolicy: "Never",
    matchConstraints,
    mutations,
  });
  await make("v1beta1", "mutatingadmissionpolicybindings", "MutatingAdmissionPolicyBinding", "prefix", {
    policyName: "prefix",
  });
  expect((await refusal(client().create(V1, inV1("unlucky", "a.example:13")))).message).toContain(
    "ValidatingAdmissionPolicy 'luck' with binding 'luck' denied request: failed expression",
  );
  expect((await client().create<Address>(V1, inV1("lucky", "a.example:14"))).spec).toEqual({
    address: "x.a.example:14",
  });
  await client().delete(V1, at("lucky"));
  for (const [ref, name] of made.toReversed()) {
    await client().delete(ref, { name });
    await eventually(() => expect(server.component.server.source.get(ref, "", name)).toBeUndefined());
  }
});

test("when the storage version changes, what lies there is read on, and rewritten when it changes", async () => {
  const crd = await client().get<CustomResourceDefinition>(CUSTOM_RESOURCE_DEFINITIONS, { name: NAME });
  await client().update(CUSTOM_RESOURCE_DEFINITIONS, { ...crd, spec: definition("v2").spec });
  await eventually(() => expect(server.component.server.kinds.kindFor(V1)?.custom?.storedAs.version).toBe("v2"));
  const after = await client().get<CustomResourceDefinition>(CUSTOM_RESOURCE_DEFINITIONS, { name: NAME });
  expect(after.status?.storedVersions).toEqual(["v1", "v2"]);
  expect(await storedAs("two")).toBe(`${GROUP}/v1`);
  const two = await client().get<Address>(V2, at("two"));
  expect(two.spec).toEqual({ host: "c.example", port: "82" });
  await client().update<Address>(V2, { ...two, spec: { host: "h.example", port: "90" } });
  expect(await storedAs("two")).toBe(`${GROUP}/v2`);
  expect((await client().get<Address>(V1, at("two"))).spec).toEqual({ address: "h.example:90" });
  const created = await client().create<Address>(V1, inV1("six", "i.example:87"));
  expect(created.spec).toEqual({ address: "i.example:87" });
  expect(await storedAs("six")).toBe(`${GROUP}/v2`);
});

test("a definition whose webhook is gone can be deleted with its objects", async () => {
  respond = () => ({ result: { status: "Failed", message: "gone" } });
  for (const name of ["one", "three", "five"]) await client().delete(V1, at(name));
  await client().delete(CUSTOM_RESOURCE_DEFINITIONS, { name: NAME });
  await eventually(async () => {
    expect(await storedAs("six")).toBe("");
    expect(server.component.server.source.get(CUSTOM_RESOURCE_DEFINITIONS, "", NAME)).toBeUndefined();
  });
});
