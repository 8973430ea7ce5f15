// The Events of pods and nodes, in upstream's words of v1.35.
import type { Node, Pod } from "@coxswain/api";
import type { EventRecorder } from "@coxswain/client";
import type { ContainerKind } from "./pod-state.ts";

const FIELDS: Readonly<Record<ContainerKind, string>> = {
  init: "initContainers",
  sidecar: "initContainers",
  main: "containers",
  ephemeral: "ephemeralContainers",
};

export interface PodEvents {
  pod(pod: Pod, type: "Normal" | "Warning", reason: string, message: string): void;
  container(
    pod: Pod,
    container: { readonly name: string; readonly kind: ContainerKind },
    type: "Normal" | "Warning",
    reason: string,
    message: string,
  ): void;
  node(node: Node, reason: string, message: string, type?: "Normal" | "Warning"): void;
}

/** Reports as the kubelet of `host`. */
export function createPodEvents(recorder: EventRecorder, host: string): PodEvents {
  // Objects out of lists and feeds may lack these.
  const about = (pod: Pod): Pod => ({ apiVersion: "v1", kind: "Pod", metadata: pod.metadata });
  return {
    pod: (pod, type, reason, message) => recorder.event(about(pod), type, reason, message, { host }),
    container: (pod, { name, kind }, type, reason, message) => {
      const fieldPath = `spec.${FIELDS[kind]}{${name}}`;
      recorder.event(about(pod), type, reason, message, { host, fieldPath });
    },
    node: (node, reason, message, type = "Normal") => {
      // A node's events are filed under its name: upstream's kubelet does not know the uid when it starts.
      const metadata = { name: node.metadata?.name, uid: node.metadata?.name };
      recorder.event({ apiVersion: "v1", kind: "Node", metadata }, type, reason, message, { host });
    },
  };
}
