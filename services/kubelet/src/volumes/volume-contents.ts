// Reads what the files of a volume are to say now: ConfigMaps, Secrets, downward API and tokens, of one or many sources.
import { aggregateText } from "@coxswain/apimachinery";
import type { Pod, VolumeProjection } from "@coxswain/api";
import type { ObjectCache } from "../pods/object-cache.ts";
import type { FileContent, Payload } from "./atomic-writer.ts";
import { configMapPayload, downwardPayload, secretPayload, SourceError } from "./payload.ts";
import { allContainers, type FilesPlan } from "./plan-volumes.ts";
import type { ServiceAccountTokens } from "./service-account-tokens.ts";

/** A token is for its pod's user alone, where that is known. */
const TOKEN_MODE = 0o600;

export interface ContentSources {
  readonly objects: ObjectCache;
  readonly tokens: ServiceAccountTokens;
  readonly allocatable: Readonly<Record<string, string>>;
}

export interface Contents {
  readonly payload: Payload;
  /** True where an object behind it may change at any time. */
  readonly mayChange: boolean;
  /** When a token in it should be replaced. */
  readonly renewAtMs: number | undefined;
}

interface Part {
  readonly files: Payload;
  readonly mayChange?: boolean;
  readonly renewAtMs?: number;
}

/** Rejects with the errors of all sources that fail, as one. */
export async function readContents(pod: Pod, plan: FilesPlan, from: ContentSources): Promise<Contents> {
  const parts = await Promise.allSettled(plan.sources.map((source) => readSource(pod, plan.mode, source, from)));
  const messages = new Set<string>();
  const payload = new Map<string, FileContent>();
  let mayChange = false;
  let renewAtMs: number | undefined;
  for (const part of parts) {
    if (part.status === "rejected") {
      messages.add(part.reason instanceof Error ? part.reason.message : String(part.reason));
      continue;
    }
    for (const [path, content] of part.value.files) payload.set(path, content);
    mayChange ||= part.value.mayChange ?? false;
    const at = part.value.renewAtMs;
    if (at !== undefined) renewAtMs = Math.min(renewAtMs ?? at, at);
  }
  if (messages.size > 0) throw new SourceError(aggregateText([...messages]));
  return { payload, mayChange, renewAtMs };
}

async function readSource(pod: Pod, mode: number, source: VolumeProjection, from: ContentSources): Promise<Part> {
  const namespace = pod.metadata?.namespace ?? "";
  const { configMap, secret, downwardAPI, serviceAccountToken } = source;
  if (configMap !== undefined) {
    const { name = "", optional = false, items } = configMap;
    const found = await from.objects.configMap(namespace, name);
    if (found === undefined && !optional) throw new SourceError(`configmap "${name}" not found`);
    return { files: configMapPayload(found, { items, mode, optional }), mayChange: found?.immutable !== true };
  }
  if (secret !== undefined) {
    const { name = "", optional = false, items } = secret;
    const found = await from.objects.secret(namespace, name);
    if (found === undefined && !optional) throw new SourceError(`secret "${name}" not found`);
    return { files: secretPayload(found, { items, mode, optional }), mayChange: found?.immutable !== true };
  }
  if (serviceAccountToken !== undefined) {
    const { token, renewAtMs } = await from.tokens.token(pod, serviceAccountToken);
    const content = { data: Buffer.from(token, "utf8"), ...tokenOwner(pod, mode) };
    return { files: new Map([[serviceAccountToken.path, content]]), renewAtMs };
  }
  return { files: downwardPayload(downwardAPI?.items ?? [], { pod, mode, allocatable: from.allocatable }) };
}

function tokenOwner(pod: Pod, mode: number): { mode: number; uid?: number } {
  const uid = commonUser(pod);
  if (uid !== undefined) return { mode: TOKEN_MODE, uid };
  return { mode: pod.spec?.securityContext?.fsGroup === undefined ? mode : TOKEN_MODE };
}

/** The user that all containers are told to run as. */
function commonUser(pod: Pod): number | undefined {
  const ofPod = pod.spec?.securityContext?.runAsUser;
  const users = new Set(allContainers(pod).map((container) => container.securityContext?.runAsUser ?? ofPod));
  const [only] = users;
  return users.size === 1 ? only : undefined;
}
