// Objects that are valid, for a fuzzer to start from: what is refused at once reaches little code.
import type { KindDefinition } from "@coxswain/api";

const labels = { app: "a" };
const podSpec = {
  containers: [
    {
      name: "c",
      image: "i:1",
      ports: [{ containerPort: 80, name: "http" }],
      env: [{ name: "A", value: "b" }],
      resources: { limits: { cpu: "1" } },
    },
  ],
  volumes: [{ name: "v", emptyDir: {} }],
  tolerations: [{ key: "a", operator: "Exists" }],
};
const template = { metadata: { labels }, spec: podSpec };
const selector = { matchLabels: labels };
const metadata = { labels, annotations: { note: "x" } };

const TEMPLATES: Readonly<Record<string, object>> = {
  pods: { metadata, spec: podSpec },
  deployments: { metadata, spec: { replicas: 1, selector, template } },
  replicasets: { metadata, spec: { replicas: 1, selector, template } },
  statefulsets: { metadata, spec: { serviceName: "a", selector, template } },
  daemonsets: { metadata, spec: { selector, template } },
  replicationcontrollers: { metadata, spec: { replicas: 1, selector: labels, template } },
  jobs: { metadata, spec: { template: { spec: { ...podSpec, restartPolicy: "Never" } } } },
  cronjobs: {
    metadata,
    spec: {
      schedule: "*/5 * * * *",
      jobTemplate: { spec: { template: { spec: { ...podSpec, restartPolicy: "Never" } } } },
    },
  },
  configmaps: { metadata, data: { a: "b" } },
  secrets: { metadata, data: { a: "Yg==" }, type: "Opaque" },
  services: { metadata, spec: { selector: labels, ports: [{ port: 80, targetPort: "http" }] } },
  endpoints: { metadata, subsets: [{ addresses: [{ ip: "10.1.2.3" }], ports: [{ port: 80 }] }] },
  endpointslices: { metadata, addressType: "IPv4", endpoints: [{ addresses: ["10.1.2.3"] }], ports: [{ port: 80 }] },
  ingresses: {
    metadata,
    spec: {
      rules: [
        {
          host: "a.example",
          http: {
            paths: [{ path: "/", pathType: "Prefix", backend: { service: { name: "a", port: { number: 80 } } } }],
          },
        },
      ],
    },
  },
  networkpolicies: {
    metadata,
    spec: { podSelector: selector, policyTypes: ["Ingress"], ingress: [{ from: [{ podSelector: selector }] }] },
  },
  poddisruptionbudgets: { metadata, spec: { minAvailable: 1, selector } },
  horizontalpodautoscalers: {
    metadata,
    spec: { maxReplicas: 3, scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "a" } },
  },
  leases: { metadata, spec: { holderIdentity: "a", leaseDurationSeconds: 15 } },
  persistentvolumeclaims: {
    metadata,
    spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
  },
  persistentvolumes: {
    metadata,
    spec: { accessModes: ["ReadWriteOnce"], capacity: { storage: "1Gi" }, hostPath: { path: "/x" } },
  },
  serviceaccounts: { metadata },
  events: {
    metadata,
    involvedObject: { kind: "Pod", name: "a", namespace: "default" },
    reason: "X",
    message: "y",
    type: "Normal",
  },
  nodes: { metadata, spec: { taints: [{ key: "a", effect: "NoSchedule" }] } },
  priorityclasses: { metadata, value: 5 },
  storageclasses: { metadata, provisioner: "x.example/y" },
  subjectaccessreviews: { spec: { user: "x", resourceAttributes: { verb: "get", resource: "pods" } } },
  selfsubjectaccessreviews: { spec: { resourceAttributes: { verb: "get", resource: "pods" } } },
  selfsubjectrulesreviews: { spec: { namespace: "default" } },
  tokenreviews: { spec: { token: "x.y.z" } },
};

/** Undefined where there is none for the kind. */
export function templateFor(kind: KindDefinition): object | undefined {
  return TEMPLATES[kind.resource];
}
