// The OpenAPI v3 document of metrics.k8s.io/v1beta1: pure.
import { GROUP, VERSION } from "./metrics-objects.ts";

const META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const name = (kind: string): string => `io.k8s.metrics.pkg.apis.metrics.v1beta1.${kind}`;
const ref = (to: string): object => ({ allOf: [{ $ref: `#/components/schemas/${to}` }], default: {} });
const text = (description: string): object => ({ type: "string", description });
const usage = (description: string): object => ({
  type: "object",
  description,
  additionalProperties: { type: "string" },
});
const objectOf = (description: string, properties: object, kind?: string): object => ({
  type: "object",
  description,
  properties,
  ...(kind === undefined ? {} : { "x-kubernetes-group-version-kind": [{ group: GROUP, version: VERSION, kind }] }),
});

const TYPE = {
  kind: text("Which kind of object this is."),
  apiVersion: text("The group and version of its form."),
};
const MEASURED = {
  ...TYPE,
  metadata: ref(META),
  timestamp: { ...text("When the window ended."), format: "date-time" },
  window: text("How long CPU use was measured."),
};

function listOf(kind: string): object {
  const items = { type: "array", description: "What was found.", items: ref(name(kind)) };
  return objectOf(`A list of ${kind}.`, { ...TYPE, metadata: { type: "object" }, items }, `${kind}List`);
}

const SCHEMAS: Readonly<Record<string, object>> = {
  [META]: { type: "object", description: "Name, namespace and labels of the node or pod." },
  [name("NodeMetrics")]: objectOf(
    "What a node uses.",
    { ...MEASURED, usage: usage("Of the whole node.") },
    "NodeMetrics",
  ),
  [name("ContainerMetrics")]: objectOf("What a container uses.", {
    name: text("The container's, as in the pod's spec."),
    usage: usage("Of the container."),
  }),
  [name("PodMetrics")]: objectOf(
    "What the containers of a pod use.",
    {
      ...MEASURED,
      containers: { type: "array", description: "Those that run.", items: ref(name("ContainerMetrics")) },
    },
    "PodMetrics",
  ),
  [name("NodeMetricsList")]: listOf("NodeMetrics"),
  [name("PodMetricsList")]: listOf("PodMetrics"),
};

function operation(kind: string, action: "get" | "list"): object {
  const schema = { $ref: `#/components/schemas/${name(action === "list" ? `${kind}List` : kind)}` };
  return {
    get: {
      tags: ["metrics_v1beta1"],
      description: action === "list" ? `list objects of kind ${kind}` : `read the specified ${kind}`,
      responses: { "200": { description: "OK", content: { "application/json": { schema } } } },
      "x-kubernetes-action": action,
      "x-kubernetes-group-version-kind": { group: GROUP, version: VERSION, kind },
    },
  };
}

const BASE = `/apis/${GROUP}/${VERSION}`;

export const OPEN_API = {
  openapi: "3.0.0",
  info: { title: GROUP, version: VERSION },
  paths: {
    [`${BASE}/nodes`]: operation("NodeMetrics", "list"),
    [`${BASE}/nodes/{name}`]: operation("NodeMetrics", "get"),
    [`${BASE}/pods`]: operation("PodMetrics", "list"),
    [`${BASE}/namespaces/{namespace}/pods`]: operation("PodMetrics", "list"),
    [`${BASE}/namespaces/{namespace}/pods/{name}`]: operation("PodMetrics", "get"),
  },
  components: { schemas: SCHEMAS },
};
