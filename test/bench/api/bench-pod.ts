// The pods of the API benchmarks: about 2.5 KB each as JSON, valid, bound to no node.
import type { Pod } from "@coxswain/api";
import type { KubeObject } from "@coxswain/apimachinery";

export const NAMESPACE = "bench";
const TARGET_BYTES = 2_500;

function bare(name: string, namespace: string, filler: string): KubeObject & Pod {
  const labels = { app: "bench", tier: "measured" };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace, labels, annotations: { "bench.coxswain.dev/filler": filler } },
    spec: {
      automountServiceAccountToken: false,
      // Nobody schedules it.
      schedulerName: "nobody",
      containers: [
        {
          name: "main",
          image: "example.test/bench:v1",
          ports: [{ name: "http", containerPort: 8080 }],
          env: [{ name: "MODE", value: "bench" }],
          resources: { requests: { cpu: "10m", memory: "16Mi" }, limits: { memory: "32Mi" } },
        },
      ],
    },
  };
}

const overhead = JSON.stringify(bare("pod-000000", NAMESPACE, "")).length;

export function benchPod(name: string, namespace = NAMESPACE): KubeObject & Pod {
  return bare(name, namespace, "x".repeat(TARGET_BYTES - overhead));
}
