// What a pod's volumes need before its containers may start: the ConfigMaps, Secrets and claims that they name. The simulated
// runtime mounts nothing; what is missing keeps the pod in ContainerCreating, as on a real node.
import type { Pod, Volume } from "@coxswain/api";
import { claimedVolumes } from "../volumes/claimed-volumes.ts";
import type { ObjectCache } from "./object-cache.ts";

interface Need {
  readonly volume: string;
  readonly kind: "configmap" | "secret";
  readonly name: string;
}

function needsOf(volume: Volume): Need[] {
  const found: Need[] = [];
  const add = (
    kind: Need["kind"],
    source: { name?: string; secretName?: string; optional?: boolean } | undefined,
  ): void => {
    const name = source?.secretName ?? source?.name;
    if (source?.optional !== true && name !== undefined && name !== "") found.push({ volume: volume.name, kind, name });
  };
  add("configmap", volume.configMap);
  add("secret", volume.secret);
  for (const source of volume.projected?.sources ?? []) {
    add("configmap", source.configMap);
    add("secret", source.secret);
  }
  return found;
}

/** What FailedMount says, one message a volume; empty where all is there. */
export async function missingVolumeSources(pod: Pod, objects: ObjectCache): Promise<string[]> {
  const namespace = pod.metadata?.namespace ?? "";
  const messages: string[] = [];
  for (const { volume, kind, name } of (pod.spec?.volumes ?? []).flatMap(needsOf)) {
    const found =
      kind === "configmap" ? await objects.configMap(namespace, name) : await objects.secret(namespace, name);
    if (found !== undefined) continue;
    messages.push(`MountVolume.SetUp failed for volume "${volume}" : ${kind} "${name}" not found`);
  }
  for (const claimed of await claimedVolumes(pod, objects)) if ("kind" in claimed) messages.push(claimed.message);
  return messages;
}
