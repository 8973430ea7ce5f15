// Annotations with which the kubelet tells a runtime, and itself after a restart, what a container is to its pod.

/** On a ContainerConfig: "init" for what has to end before the pod's main containers start. */
export const CONTAINER_TYPE_ANNOTATION = "io.kubernetes.container.type";
