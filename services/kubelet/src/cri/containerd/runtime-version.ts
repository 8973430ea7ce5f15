// What a runtime can do by its version. Pure. Other runtimes of this interface than containerd have had all of it before.

function isContainerdBefore(runtimeName: string, runtimeVersion: string, major: number, minor: number): boolean {
  if (runtimeName !== "containerd") return false;
  const [first = 0, second = 0] = runtimeVersion
    .replace(/^v/, "")
    .split(".")
    .map((part) => Number.parseInt(part, 10));
  return first < major || (first === major && second < minor);
}

/** containerd tells of events from 1.7 on. */
export function hasEvents(runtimeName: string, runtimeVersion: string): boolean {
  return !isContainerdBefore(runtimeName, runtimeVersion, 1, 7);
}

/** containerd mounts images as volumes from 2.1 on. */
export function mountsImages(runtimeName: string, runtimeVersion: string): boolean {
  return !isContainerdBefore(runtimeName, runtimeVersion, 2, 1);
}

/** containerd mounts a folder of an image from 2.2 on. */
export function mountsImageSubPaths(runtimeName: string, runtimeVersion: string): boolean {
  return !isContainerdBefore(runtimeName, runtimeVersion, 2, 2);
}
