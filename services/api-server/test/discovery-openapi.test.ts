// The generated OpenAPI and discovery documents: complete, self-contained, and of the shape that clients walk.
import { describe, expect, test } from "vitest";
import { parse as parseYaml } from "yaml";
import { allKinds } from "@coxswain/api";
import { customKinds } from "@coxswain/api/apiextensions-v1/custom-kind";
import type { JsonSchemaProps } from "@coxswain/api/apiextensions-v1/types";
import { createDiscovery } from "../src/discovery/discovery-documents.ts";
import { createDiscoveryPaths, wantsAggregated } from "../src/discovery/discovery-paths.ts";
import { createOpenApi } from "../src/openapi/openapi-documents.ts";
import { createOpenApiPaths } from "../src/openapi/openapi-paths.ts";
import type { PathAnswer } from "../src/rest/deps.ts";

const openApi = createOpenApi(allKinds());

interface Document {
  paths: Record<string, { patch?: { parameters: { name: string }[] } }>;
  components: { schemas: Record<string, { properties?: Record<string, unknown> }> };
}

test("every reference of a document is in it", () => {
  for (const path of Object.keys((openApi.index() as { paths: object }).paths)) {
    const text = String(openApi.v3(path)?.body);
    const document = JSON.parse(text) as Document;
    for (const [, name = ""] of text.matchAll(/"#\/components\/schemas\/([^"]+)"/g)) {
      expect(document.components.schemas, `${path}: ${name}`).toHaveProperty([name]);
    }
  }
});

test("a typed client that reads and writes a document finds no empty list or map in it, which it would leave out", () => {
  const names = { kind: "Odd", listKind: "OddList", plural: "odds", singular: "odd" };
  const odd = customKinds({
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: "odds.example.com", uid: "u" },
    spec: {
      group: "example.com",
      names,
      scope: "Namespaced",
      versions: [
        {
          name: "v1",
          served: true,
          storage: true,
          schema: { openAPIV3Schema: ODD_SCHEMA },
          subresources: {
            status: {},
            scale: { specReplicasPath: ".spec.replicas", statusReplicasPath: ".status.replicas" },
          },
        },
      ],
    },
    status: { conditions: [{ type: "Established", status: "True" }] },
  });
  const documents = createOpenApi([...allKinds(), ...odd]);
  for (const path of Object.keys((documents.index() as { paths: object }).paths)) {
    const empty: string[] = [];
    JSON.parse(String(documents.v3(path)?.body), (key, value: unknown) => {
      // A default is a value, and these say that anything goes.
      const may = ["default", "items", "additionalProperties"].includes(key);
      if (!may && typeof value === "object" && Object.keys(value ?? {}).length === 0) empty.push(key);
      return value;
    });
    expect(empty, path).toEqual([]);
  }
  const { paths, components } = JSON.parse(String(documents.v3("apis/example.com/v1")?.body)) as Document;
  const scale = paths["/apis/example.com/v1/namespaces/{namespace}/odds/{name}/scale"];
  expect(scale?.patch).toMatchObject({ operationId: "patchExampleComV1NamespacedOddScale" });
  expect(components.schemas).toHaveProperty(["io.k8s.api.autoscaling.v1.Scale"]);
  expect(components.schemas["com.example.v1.Odd"]?.properties?.["spec"]).toEqual({
    type: "object",
    default: {},
    anyOf: [{ minProperties: 1 }],
    not: { maxProperties: 9 },
    additionalProperties: {},
  });
});

const ODD_SCHEMA: JsonSchemaProps = {
  type: "object",
  required: [],
  properties: {
    spec: {
      type: "object",
      required: [],
      properties: {},
      allOf: [],
      anyOf: [{ minProperties: 1, required: [] }],
      not: { maxProperties: 9, enum: [] },
      default: {},
      additionalProperties: {},
      "x-kubernetes-validations": [],
    },
  },
};

test("the older document has all kinds, and every reference of it", () => {
  const text = JSON.stringify(openApi.v2());
  expect(text).not.toContain("#/components");
  const document = JSON.parse(text) as { paths: Record<string, object>; definitions: Record<string, object> };
  for (const [, name = ""] of text.matchAll(/"#\/definitions\/([^"]+)"/g)) {
    expect(document.definitions, name).toHaveProperty([name]);
  }
  expect(document.paths["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]).toMatchObject({
    put: {
      consumes: ["application/json"],
      parameters: [
        { name: "body", in: "body", required: true, schema: { $ref: "#/definitions/io.k8s.api.apps.v1.Deployment" } },
        {},
        {},
        {},
      ],
      responses: { "200": { schema: { $ref: "#/definitions/io.k8s.api.apps.v1.Deployment" } } },
    },
    parameters: [
      { name: "name", in: "path", type: "string", required: true },
      { name: "namespace" },
      { name: "pretty" },
    ],
  });
  expect(document.definitions["io.k8s.api.apps.v1.DeploymentSpec"]).toMatchObject({
    properties: {
      replicas: { type: "integer", format: "int32" },
      template: { $ref: "#/definitions/io.k8s.api.core.v1.PodTemplateSpec" },
    },
  });
});

test("no two operations have the same name, and clients find the names that upstream's have", () => {
  const document = openApi.v2() as { paths: Record<string, Record<string, { operationId?: string }>> };
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([method, { operationId }]) =>
      operationId === undefined ? [] : [[`${method} ${path}`, operationId] as const],
    ),
  );
  expect(new Set(operations.map(([, id]) => id)).size).toBe(operations.length);
  const pods = "/api/v1/namespaces/{namespace}/pods";
  const roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
  expect(Object.fromEntries(operations)).toMatchObject({
    "get /api/v1/pods": "listCoreV1PodForAllNamespaces",
    [`get ${pods}`]: "listCoreV1NamespacedPod",
    [`delete ${pods}`]: "deleteCoreV1CollectionNamespacedPod",
    [`get ${pods}/{name}/status`]: "readCoreV1NamespacedPodStatus",
    [`get ${pods}/{name}/log`]: "readCoreV1NamespacedPodLog",
    [`post ${pods}/{name}/eviction`]: "createCoreV1NamespacedPodEviction",
    [`post ${pods}/{name}/exec`]: "connectCoreV1PostNamespacedPodExec",
    "head /api/v1/nodes/{name}/proxy/{path}": "connectCoreV1HeadNodeProxyWithPath",
    "put /api/v1/namespaces/{name}/finalize": "replaceCoreV1NamespaceFinalize",
    "patch /apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale": "patchAppsV1NamespacedDeploymentScale",
    [`put ${roles}/{name}`]: "replaceRbacAuthorizationV1ClusterRole",
  });
});

test("subresources take and answer the kinds that they speak", () => {
  const document = openApi.v2() as { paths: Record<string, unknown> };
  const type = { group: "autoscaling", version: "v1", kind: "Scale" };
  const schema = { $ref: "#/definitions/io.k8s.api.autoscaling.v1.Scale" };
  expect(document.paths["/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale"]).toMatchObject({
    get: { "x-kubernetes-group-version-kind": type, responses: { "200": { schema } } },
    put: { "x-kubernetes-group-version-kind": type, parameters: [{ name: "body", schema }, {}, {}, {}] },
  });
  expect(document.paths["/api/v1/namespaces/{namespace}/pods/{name}/log"]).toMatchObject({
    get: { produces: expect.arrayContaining(["text/plain"]), responses: { "200": { schema: { type: "string" } } } },
  });
});

test("a patch says that it takes fieldValidation", () => {
  const { paths } = JSON.parse(String(openApi.v3("apis/apps/v1")?.body)) as Document;
  const patch = paths["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]?.patch;
  expect(patch?.parameters.map((parameter) => parameter.name)).toContain("fieldValidation");
});

test("streams and proxies are connections, the latter by every method and with a path", () => {
  const { paths } = JSON.parse(String(openApi.v3("api/v1")?.body)) as { paths: Record<string, object> };
  const pod = "/api/v1/namespaces/{namespace}/pods/{name}";
  expect(Object.keys(paths[`${pod}/exec`] ?? {})).toEqual(["post", "get", "parameters"]);
  for (const base of [pod, "/api/v1/namespaces/{namespace}/services/{name}", "/api/v1/nodes/{name}"]) {
    for (const path of [`${base}/proxy`, `${base}/proxy/{path}`]) {
      const methods = ["delete", "get", "head", "options", "parameters", "patch", "post", "put"];
      expect(Object.keys(paths[path] ?? {}).toSorted(), path).toEqual(methods);
    }
  }
});

test("discovery lists subresources with the kind they speak", () => {
  const discovery = createDiscovery(allKinds(), "127.0.0.1:6443");
  const apps = discovery.legacy("/apis/apps/v1") as { resources: { name: string }[] };
  expect(apps.resources.find((resource) => resource.name === "deployments/scale")).toEqual({
    name: "deployments/scale",
    singularName: "",
    namespaced: true,
    group: "autoscaling",
    version: "v1",
    kind: "Scale",
    verbs: ["get", "patch", "update"],
  });
  const names = (discovery.legacy("/api/v1") as { resources: { name: string }[] }).resources.map((one) => one.name);
  expect(names).toEqual(expect.arrayContaining(["pods", "pods/log", "pods/exec", "pods/binding", "bindings"]));
  const hashOf = (path: string, name: string): unknown =>
    (discovery.legacy(path) as { resources: { name: string; storageVersionHash?: string }[] }).resources.find(
      (one) => one.name === name,
    )?.storageVersionHash;
  expect(hashOf("/api/v1", "pods")).toBe("xPOwRZ+Yhw8=");
  expect(hashOf("/api/v1", "bindings")).toBeUndefined();
  // Two forms of the same objects are stored alike.
  expect([hashOf("/api/v1", "events"), hashOf("/apis/events.k8s.io/v1", "events")]).toEqual([
    "r2yiGXH7wu8=",
    "r2yiGXH7wu8=",
  ]);
  const autoscalers = ["v1", "v2"].map((version) => hashOf(`/apis/autoscaling/${version}`, "horizontalpodautoscalers"));
  expect(autoscalers).toEqual(["qwQve8ut294=", "qwQve8ut294="]);
  expect(discovery.legacy("/apis/autoscaling")).toMatchObject({
    preferredVersion: { version: "v2" },
    versions: [{ version: "v2" }, { version: "v1" }],
  });
});

test("a definition adds versions to a group that has kinds of its own, and nothing to those that are there", () => {
  const group = "networking.k8s.io";
  const names = { kind: "Bar", listKind: "BarList", plural: "bars", singular: "bar" };
  const version = { served: true, schema: { openAPIV3Schema: { type: "object" } } };
  const bars = customKinds({
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `bars.${group}`, uid: "u" },
    spec: {
      group,
      names,
      scope: "Namespaced",
      versions: [
        { ...version, name: "v1", storage: true },
        { ...version, name: "vfake", storage: false },
      ],
    },
    status: { conditions: [{ type: "Established", status: "True" }] },
  });
  expect(bars).toHaveLength(2);
  const discovery = createDiscovery([...allKinds(), ...bars], "127.0.0.1:6443");
  const listed = (version: string): string[] =>
    (discovery.legacy(`/apis/${group}/${version}`) as { resources: { name: string }[] }).resources.map(
      ({ name }) => name,
    );
  expect(listed("vfake")).toContain("bars");
  expect(listed("v1")).toContain("networkpolicies");
  expect(listed("v1")).not.toContain("bars");
  const { items } = discovery.aggregated("/apis") as {
    items: { metadata: { name: string }; versions: { version: string; resources: { resource: string }[] }[] }[];
  };
  const found = items
    .flatMap(({ versions }) => versions)
    .filter(({ resources }) => resources.some(({ resource }) => resource === "bars"));
  expect(found.map((one) => one.version)).toEqual(["vfake"]);
});

test("aggregated discovery is given to those who ask for v2", () => {
  const v2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
  expect(wantsAggregated(`${v2},application/json`)).toBe(true);
  expect(wantsAggregated(`${v2.replace("v2", "v2beta1")},application/json`)).toBe(false);
  expect(wantsAggregated("application/json")).toBe(false);
});

test("documents of discovery come in the encoding that is asked for", () => {
  const discovery = createDiscovery(allKinds(), "127.0.0.1:6443");
  const paths = createDiscoveryPaths(discovery);
  const get = (accept: string): PathAnswer =>
    paths({ path: "/apis/apps/v1", query: new URLSearchParams(), accept, ifNoneMatch: undefined }) as PathAnswer;
  const yaml = get("application/yaml");
  expect([yaml.contentType, parseYaml(String(yaml.body))]).toEqual([
    "application/yaml",
    discovery.legacy("/apis/apps/v1"),
  ]);
  for (const accept of ["application/json;q=0.9,application/yaml;q=0.1", "application/vnd.kubernetes.protobuf"]) {
    expect([accept, get(accept).contentType]).toEqual([accept, "application/json"]);
  }
});

test("who has an OpenAPI document is not sent it again, and one asked for by its hash may be kept", async () => {
  const now = Date.UTC(2026, 0, 1);
  const paths = createOpenApiPaths(openApi, () => now);
  const get = async (target: string, ifNoneMatch?: string, accept = "application/json"): Promise<PathAnswer> => {
    const { pathname, searchParams } = new URL(target, "https://a");
    const answer = await paths({ path: pathname, query: searchParams, accept, ifNoneMatch });
    if (answer === undefined) throw new Error(`${target} is not served`);
    return answer;
  };
  const index = await get("/openapi/v3");
  const { paths: listed } = JSON.parse(String(index.body)) as { paths: Record<string, { serverRelativeURL: string }> };
  const url = listed["apis/apps/v1"]?.serverRelativeURL ?? "";
  expect(url).toMatch(/^\/openapi\/v3\/apis\/apps\/v1\?hash=[0-9A-F]+$/);
  const kept = await get(url);
  expect(kept).toMatchObject({
    code: 200,
    headers: { "Cache-Control": "public, immutable", Vary: "Accept", Expires: "Fri, 01 Jan 2027 00:00:00 GMT" },
  });
  expect((await get("/openapi/v3/apis/apps/v1")).headers?.["Cache-Control"]).toBeUndefined();
  expect(await get("/openapi/v3/apis/apps/v1?hash=OLD")).toMatchObject({ code: 301, headers: { Location: url } });
  const protobuf = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
  for (const [target, accept] of [["/openapi/v3"], [url], ["/openapi/v2"], ["/openapi/v2", protobuf]] as const) {
    const etag = (await get(target, undefined, accept)).headers?.["ETag"] ?? "";
    expect(etag).toMatch(/^"[0-9A-F]{64,128}"$/);
    const again = await get(target, `"other", ${etag}`, accept);
    expect([again.code, again.body.length, again.headers?.["ETag"]]).toEqual([304, 0, etag]);
    expect((await get(target, '"other"', accept)).code).toBe(200);
  }
});

describe("a generated client can ask for all that there is", () => {
  type Named = readonly { readonly name: string; readonly in: string }[];
  type Path = Record<string, { readonly parameters?: Named; readonly requestBody?: { readonly content: object } }> & {
    readonly parameters?: Named;
  };
  const document = JSON.parse(String(openApi.v3("api/v1")?.body)) as { readonly paths: Record<string, Path> };
  const MAPS = "/api/v1/namespaces/{namespace}/configmaps";
  const POD = "/api/v1/namespaces/{namespace}/pods/{name}";
  const namesOf = (parameters: Named = []): string[] => parameters.map(({ name }) => name).toSorted();

  const WRITE = ["dryRun", "fieldManager", "fieldValidation"];
  const DELETE = [
    "dryRun",
    "gracePeriodSeconds",
    "ignoreStoreReadErrorWithClusterBreakingPotential",
    "orphanDependents",
    "propagationPolicy",
  ];
  const SELECT = [
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
  ];
  const STREAMS = ["container", "stderr", "stdin", "stdout", "tty"];

  test.each([
    [MAPS, "get", ["allowWatchBookmarks", ...SELECT, "watch"]],
    [MAPS, "post", WRITE],
    [MAPS, "delete", [...DELETE, ...SELECT].toSorted()],
    [`${MAPS}/{name}`, "get", []],
    [`${MAPS}/{name}`, "put", WRITE],
    [`${MAPS}/{name}`, "patch", [...WRITE, "force"]],
    [`${MAPS}/{name}`, "delete", DELETE],
    [`${POD}/status`, "patch", [...WRITE, "force"]],
    [`${POD}/exec`, "get", ["command", ...STREAMS]],
    [`${POD}/exec`, "post", ["command", ...STREAMS]],
    [`${POD}/attach`, "post", STREAMS],
    [`${POD}/portforward`, "get", ["ports"]],
    [`${POD}/proxy`, "get", ["path"]],
    [
      `${POD}/log`,
      "get",
      [
        "container",
        "follow",
        "insecureSkipTLSVerifyBackend",
        "limitBytes",
        "previous",
        "sinceSeconds",
        "stream",
        "tailLines",
        "timestamps",
      ],
    ],
  ])("%s %s", (path, method, expected) => {
    expect(namesOf(document.paths[path]?.[method]?.parameters)).toEqual(expected);
  });

  test("what all operations of a path take", () => {
    expect(namesOf(document.paths[`${MAPS}/{name}`]?.parameters)).toEqual(["name", "namespace", "pretty"]);
    expect(namesOf(document.paths["/api/v1/configmaps"]?.parameters)).toEqual(["pretty"]);
    expect(namesOf(document.paths[`${POD}/exec`]?.parameters)).toEqual(["name", "namespace"]);
    expect(Object.keys(document.paths[`${MAPS}/{name}`]?.["patch"]?.requestBody?.content ?? {})).toContain(
      "application/apply-patch+yaml",
    );
  });
});
