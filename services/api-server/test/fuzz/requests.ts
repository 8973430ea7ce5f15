// Requests that a fuzzer sends: every kind, every verb, every body form, structured first and damaged afterwards.
import { allKinds, kindFor } from "@coxswain/api/scheme";
import type { KindDefinition } from "@coxswain/api";
import { encodeProtobuf } from "@coxswain/api/wire/index";
import { apiVersionOf, type KubeObject } from "@coxswain/apimachinery";
import { customResourceDefinition } from "./definitions.ts";
import { templateFor } from "./templates.ts";
import type { Values } from "./values.ts";

export interface FuzzRequest {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer | undefined;
}

/** They would make the server ask others about every request, or take the rights that the oracle relies on away. */
const LEFT_ALONE = new Set([
  "validatingwebhookconfigurations",
  "mutatingwebhookconfigurations",
  "validatingadmissionpolicybindings",
  "mutatingadmissionpolicybindings",
  "apiservices",
  "roles",
  "clusterroles",
  "rolebindings",
  "clusterrolebindings",
  "namespaces",
  "flowschemas",
  "prioritylevelconfigurations",
]);
const METHODS = "GET GET GET POST POST POST POST POST PUT PUT PATCH PATCH PATCH PATCH DELETE".split(" ");
const ODD_METHODS = ["HEAD", "OPTIONS", "TRACE"];
const PATCHES = [
  "application/json-patch+json",
  "application/merge-patch+json",
  "application/strategic-merge-patch+json",
  "application/apply-patch+yaml",
];
const TYPES = [
  "application/json",
  "application/yaml",
  "application/vnd.kubernetes.protobuf",
  "text/plain",
  "application/json;;",
  "",
];
const ACCEPTS = [
  "application/json",
  "application/yaml",
  "application/vnd.kubernetes.protobuf",
  "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
  "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
  "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
  "application/json;as=Table;v=v9;g=x",
  "*/*;q=0",
  "text/html",
  ";;,,;q=x",
];
const SUBRESOURCES = [
  "status",
  "scale",
  "binding",
  "eviction",
  "token",
  "finalize",
  "log",
  "exec",
  "attach",
  "portforward",
  "ephemeralcontainers",
  "resize",
  "approval",
  "proxy",
  "nope",
];
const QUERY: Readonly<Record<string, readonly string[]>> = {
  limit: ["1", "2", "500", "-1", "x", "99999999999999999999"],
  continue: ["", "zzz", "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJhIn0"],
  resourceVersion: ["", "0", "1", "1024", "-1", "abc", "18446744073709551616", "99999999999999999999999"],
  resourceVersionMatch: ["Exact", "NotOlderThan", "x"],
  labelSelector: ["a=b", "a in (b", "((", "!a", "a!=b,c", "__proto__=x", "a>1", "%", "x".repeat(300)],
  fieldSelector: [
    "metadata.name=a",
    "spec.nodeName=",
    "a==b,,",
    "__proto__=1",
    "metadata.namespace!=default",
    "status.phase=Running",
  ],
  dryRun: ["All", "No", ""],
  fieldValidation: ["Strict", "Warn", "Ignore", "Maybe"],
  fieldManager: ["fuzz", "", "a".repeat(200), "\u0001"],
  force: ["true", "false", "x"],
  timeoutSeconds: ["1", "0", "-1", "x"],
  timeout: ["1s", "30s", "0", "-1s", "x", "1000000h"],
  gracePeriodSeconds: ["0", "30", "-9", "x"],
  propagationPolicy: ["Foreground", "Background", "Orphan", "X"],
  orphanDependents: ["true", "x"],
  pretty: ["true", "1", "x"],
  includeObject: ["None", "Object", "Metadata", "x"],
  sendInitialEvents: ["true", "false", "x"],
  allowWatchBookmarks: ["true", "x"],
};

const stored = allKinds().filter((kind) => kind.schemaName !== "");

const WATCH = { watch: "true", timeoutSeconds: "1" };

function placeOf(values: Values, kind: KindDefinition): string {
  const root = kind.group === "" ? `/api/${kind.version}` : `/apis/${kind.group}/${kind.version}`;
  if (!kind.namespaced) return `${root}/${kind.resource}`;
  const namespace = values.chance(0.92) ? "default" : values.pick(["vault", "nothing", "kube-system", "a%2Fb"]);
  return values.chance(0.03) ? `${root}/${kind.resource}` : `${root}/namespaces/${namespace}/${kind.resource}`;
}

function queryOf(values: Values, method: string): string {
  const query = new URLSearchParams();
  for (let count = values.pick([0, 0, 0, 1, 1, 2, 3]); count > 0; count--) {
    const key = values.pick(Object.keys(QUERY));
    query.append(key, values.pick(QUERY[key]!));
  }
  if (method === "GET" && values.chance(0.06)) for (const [key, value] of Object.entries(WATCH)) query.set(key, value);
  // Whatever a watch asks for, it does not outlive the run.
  if (query.has("watch")) query.set("timeoutSeconds", "1");
  const text = query.toString();
  return values.chance(0.03) ? `${text}&%zz=%zz&=&&watch=0` : text;
}

function objectOf(values: Values, kind: KindDefinition, name: string): KubeObject {
  if (kind.resource === "customresourcedefinitions") return customResourceDefinition(values);
  const template = values.chance(0.6) ? templateFor(kind) : undefined;
  let object: Record<string, unknown> =
    template === undefined ? values.object(kind.schemaName) : (structuredClone(template) as Record<string, unknown>);
  if (template !== undefined) {
    for (let count = values.random.int(3); count > 0; count--) {
      const mutated = values.mutate(object);
      if (typeof mutated === "object" && mutated !== null) object = mutated as Record<string, unknown>;
    }
  }
  if (values.chance(0.95)) Object.assign(object, { kind: kind.kind, apiVersion: apiVersionOf(kind) });
  if (values.chance(0.95)) {
    const metadata = typeof object["metadata"] === "object" && object["metadata"] !== null ? object["metadata"] : {};
    object["metadata"] = { ...metadata, name: name === "" ? values.name() : name, namespace: undefined };
  }
  return object;
}

function jsonPatch(values: Values): unknown {
  return Array.from({ length: values.random.int(4) }, () => ({
    op: values.pick(["add", "remove", "replace", "move", "copy", "test", "x"]),
    path: values.pick([
      "/spec",
      "/metadata/labels/a",
      "/spec/-",
      "/data/x",
      "/__proto__/x",
      "/constructor/prototype/x",
      "",
      "x",
      "/a~2",
      "/spec/containers/0/image",
      "/metadata/finalizers/-",
    ]),
    from: values.pick(["/metadata", "/spec", "/a/b", ""]),
    ...(values.chance(0.7) ? { value: values.anything(3) } : {}),
  }));
}

function jsonOf(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value) ?? "null");
}

function protobufOf(values: Values, object: KubeObject): Buffer {
  try {
    const bytes = encodeProtobuf(object);
    if (bytes !== undefined) return bytes;
  } catch {
    // Not of the form that protobuf has: random bytes behind a good head serve too.
  }
  return Buffer.concat([Buffer.from("k8s\0"), values.random.bytes(values.random.int(80))]);
}

function deep(values: Values): Buffer {
  const depth = values.pick([100, 5_000, 20_000]);
  const [open, close] = values.pick([
    ["[", "]"],
    ['{"a":', "}"],
  ] as const);
  return Buffer.from(`{"metadata":{"name":"a"},"spec":${open.repeat(depth)}1${close.repeat(depth)}}`);
}

function bodyOf(values: Values, kind: KindDefinition, name: string, method: string): { body: Buffer; type: string } {
  if (values.chance(0.01)) return { body: deep(values), type: values.pick([...TYPES, ...PATCHES]) };
  const type =
    method === "PATCH"
      ? values.pick(PATCHES)
      : values.chance(0.85)
        ? values.pick(TYPES.slice(0, 3))
        : values.pick(TYPES);
  if (type === PATCHES[0]) return { body: jsonOf(values.chance(0.95) ? jsonPatch(values) : values.anything()), type };
  const object = values.chance(0.97) ? objectOf(values, kind, name) : (values.anything(4) as KubeObject);
  if (type === TYPES[2]) return { body: protobufOf(values, object), type };
  return { body: jsonOf(object), type };
}

/** Nodes must never tell an address: the server would dial it. */
function withoutAddresses(kind: KindDefinition, body: Buffer): Buffer {
  if (kind.resource !== "nodes") return body;
  return Buffer.from(
    body.toString("latin1").replaceAll("addresses", "addressed").replaceAll("kubelet-grpc", "x"),
    "latin1",
  );
}

function generalPath(values: Values): string {
  return values.pick([
    "/",
    "/api",
    "/apis",
    "/apis/apps",
    "/apis/apps/v1",
    "/openapi/v2",
    "/openapi/v3",
    "/openapi/v3/apis/apps/v1",
    "/version",
    "/healthz",
    "/readyz?verbose",
    "/livez/ping",
    "/metrics",
    "/api/v1/namespaces/",
    "/api/v1//pods",
    "//",
    "/%",
    "/api/v1/%zz",
    "/api/v1/watch/pods?timeoutSeconds=1",
    "/api/v1/namespaces/default/pods/a/../../x",
    "/.well-known/openid-configuration",
    "/openid/v1/jwks",
    "/apis/nope/v1/x",
    "/__proto__",
    "/debug/api_priority_and_fairness/dump_queues",
    "/api/v1/nodes/a/proxy/x",
    "/apis/constructor/__proto__/toString",
    `/${"a".repeat(9_000)}`,
  ]);
}

/** The next request of the sequence. */
export function nextRequest(values: Values): FuzzRequest {
  const method = values.chance(0.01) ? values.pick(ODD_METHODS) : values.pick(METHODS);
  const headers: Record<string, string> = {};
  if (values.chance(0.3))
    headers["accept"] = values.chance(0.9) ? values.pick(ACCEPTS.slice(0, 4)) : values.pick(ACCEPTS);
  if (values.chance(0.02)) headers["impersonate-user"] = values.pick(["x", "system:serviceaccount:a:b", ""]);
  if (values.chance(0.01)) headers["impersonate-extra-__proto__"] = "x";
  if (values.chance(0.02)) headers["x-remote-user"] = "kubernetes-admin";
  if (values.chance(0.01)) headers["x".repeat(values.pick([10, 2_000]))] = "y".repeat(values.pick([1, 4_000]));
  if (values.chance(0.04)) return { method, path: generalPath(values), headers, body: undefined };
  const kind = values.chance(0.06) ? custom(values) : values.pick(stored);
  const used = LEFT_ALONE.has(kind.resource) || (!kind.stored && method !== "POST") ? "GET" : method;
  const name =
    used === "POST"
      ? values.chance(0.95)
        ? ""
        : values.name()
      : values.chance(used === "GET" ? 0.4 : 0.97)
        ? values.name()
        : "";
  let path = placeOf(values, kind) + (name === "" ? "" : `/${encodeURIComponent(name)}`);
  if (name !== "" && values.chance(used === "POST" ? 0.9 : 0.15)) path += `/${subresourceOf(values, kind)}`;
  const query = queryOf(values, used);
  if (query !== "") path += `?${query}`;
  if (used === "GET" || used === "HEAD" || used === "OPTIONS") return { method: used, path, headers, body: undefined };
  const { body, type } = bodyOf(values, kind, name, used);
  if (type !== "") headers["content-type"] = type;
  const damaged = values.chance(0.1) ? values.damage(body) : body;
  return { method: used, path, headers, body: withoutAddresses(kind, damaged) };
}

function subresourceOf(values: Values, kind: KindDefinition): string {
  const own = [...kind.subresources.map((each) => each.name), "status", "scale"];
  return values.chance(0.8) ? values.pick(own) : values.pick(SUBRESOURCES);
}

/** What the run's own definitions serve, if they are. */
function custom(values: Values): KindDefinition {
  const known = kindFor({ group: "", version: "v1", resource: "configmaps" })!;
  const plural = values.pick(["widgets", "gadgets"]);
  return {
    ...known,
    group: "fuzz.example.com",
    version: values.pick(["v1", "v2"]),
    resource: plural,
    kind: plural === "widgets" ? "Widget" : "Gadget",
  };
}
