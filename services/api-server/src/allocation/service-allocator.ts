// Gives Services their addresses and node ports. Guarantee: an address or port belongs to one Service at a time, because
// its key is written in the Service's own transaction on the condition that it is absent, and goes with it.
import type { Service, ServicePort } from "@coxswain/api";
import { canonicalIp } from "@coxswain/api/validation/ip";
import {
  deepEqual,
  fieldInvalid,
  newInternalError,
  newInvalid,
  type FieldError,
  type KubeObject,
} from "@coxswain/apimachinery";
import type { Random } from "@coxswain/env";
import type { Mutation, StoredValue } from "@coxswain/storage";
import type { Contribution, Contributor } from "../registry/committer.ts";
import type { WriteContext } from "../registry/write-context.ts";
import { pick, type Range } from "./ranges.ts";
import {
  clusterIpKey,
  heldKeys,
  needsClusterIp,
  needsHealthCheckPort,
  needsNodePorts,
  nodePortKey,
  NONE,
} from "./service-needs.ts";

const STATE = "service-allocation";
const OWN_FAMILY = "IPv4";

/** What one request has learnt so far. */
interface Progress {
  /** Keys drawn by us rather than asked for. */
  readonly drawn: Set<string>;
  /** Keys that turned out to be taken. */
  readonly taken: Set<string>;
}

interface AllocatorDeps {
  readonly random: Random;
  /** The ranges of the moment; at least one. */
  readonly clusterIps: () => readonly Range[];
  readonly nodePorts: Range;
  /** True where a known Service holds the key. */
  readonly inUse: (key: string) => boolean;
  /** True where somebody has taken the address by an IPAddress of their own. */
  readonly reserved: (ip: string) => boolean;
}

export function createServiceAllocator(deps: AllocatorDeps): Contributor {
  return {
    prepare({ context, next, old, state }) {
      if (!concerns(context) || context.subresource === "status") return;
      const service = next as Service;
      normalize(service, old);
      assign(deps, service, old, progressOf(state));
    },
    contribute({ context, next, old, state }) {
      if (!concerns(context)) return undefined;
      const progress = progressOf(state);
      const service = next;
      // A create is committed again with the same object after a collision: draw anew what collided.
      if (service !== undefined && progress.taken.size > 0) {
        assign(deps, service, old, progress);
      }
      return claim(service, old, progress);
    },
  };
}

function concerns({ kind }: WriteContext): boolean {
  return kind.group === "" && kind.resource === "services";
}

function progressOf(state: Map<string, unknown>): Progress {
  let progress = state.get(STATE) as Progress | undefined;
  if (progress === undefined) state.set(STATE, (progress = { drawn: new Set(), taken: new Set() }));
  return progress;
}

/** Brings clusterIP and clusterIPs in step, and carries over what the writer left out. */
function normalize(service: Service, old: Service | undefined): void {
  const spec = (service.spec ??= {});
  const before = old?.spec;
  if (!needsClusterIp(service)) return;
  const kept = before !== undefined && needsClusterIp(old!);
  if (kept && !spec.clusterIP && (spec.clusterIPs ?? []).length === 0) {
    spec.clusterIP = before.clusterIP;
    spec.clusterIPs = before.clusterIPs;
  } else if (spec.clusterIP && (spec.clusterIPs ?? []).length === 0) spec.clusterIPs = [spec.clusterIP];
  else if (!spec.clusterIP && (spec.clusterIPs ?? []).length > 0) spec.clusterIP = spec.clusterIPs![0];
  else if (kept && spec.clusterIP !== before.clusterIP && spec.clusterIPs?.[0] === before.clusterIPs?.[0]) {
    spec.clusterIPs = spec.clusterIP ? [spec.clusterIP] : undefined;
  }
  if (kept) {
    spec.ipFamilies ??= before.ipFamilies;
    spec.ipFamilyPolicy ??= before.ipFamilyPolicy;
  }
  keepNodePorts(service, old);
  if (needsHealthCheckPort(service) && old !== undefined && needsHealthCheckPort(old)) {
    spec.healthCheckNodePort ||= before?.healthCheckNodePort;
  }
}

/** A port that the writer sent without its node port keeps the one it had. */
function keepNodePorts(service: Service, old: Service | undefined): void {
  if (old === undefined || !needsNodePorts(service) || !needsNodePorts(old)) return;
  const id = (port: ServicePort): string => `${port.protocol ?? "TCP"}/${port.port}`;
  const known = new Map((old.spec?.ports ?? []).map((port) => [id(port), port.nodePort]));
  const given = new Set((service.spec?.ports ?? []).map((port) => port.nodePort ?? 0));
  for (const port of service.spec?.ports ?? []) {
    const before = known.get(id(port));
    if (!port.nodePort && before && !given.has(before)) port.nodePort = before;
  }
}

function assign(deps: AllocatorDeps, service: Service, old: Service | undefined, progress: Progress): void {
  const errors: FieldError[] = [];
  const spec = service.spec!;
  const held = heldKeys(old);
  if (needsClusterIp(service)) {
    errors.push(...assignFamilies(service, old));
    if (errors.length > 0) throw newInvalid({ group: "", kind: "Service" }, service.metadata?.name ?? "", errors);
    assignClusterIp(deps, service, held, progress, errors);
  }
  const mine = new Set<string>();
  for (const [index, port] of (spec.ports ?? []).entries()) {
    if (port.nodePort && progress.taken.has(nodePortKey(port.nodePort))) delete port.nodePort;
    if (port.nodePort) checkNodePort(deps, port.nodePort, `spec.ports[${index}].nodePort`, held, errors);
    if (port.nodePort) mine.add(nodePortKey(port.nodePort));
  }
  if (needsNodePorts(service)) {
    for (const port of spec.ports ?? []) port.nodePort ||= drawNodePort(deps, progress, mine);
  }
  if (needsHealthCheckPort(service)) {
    const { healthCheckNodePort } = spec;
    if (healthCheckNodePort && progress.taken.has(nodePortKey(healthCheckNodePort))) delete spec.healthCheckNodePort;
    if (spec.healthCheckNodePort) {
      checkNodePort(deps, spec.healthCheckNodePort, "spec.healthCheckNodePort", held, errors);
    } else spec.healthCheckNodePort = drawNodePort(deps, progress, mine);
  }
  if (errors.length > 0) throw newInvalid({ group: "", kind: "Service" }, service.metadata?.name ?? "", errors);
}

/** Here are addresses of one family. Who has neither an address nor pods to look for may name any. */
function assignFamilies({ spec = {} }: Service, old: Service | undefined): FieldError[] {
  const free = spec.clusterIP === NONE && Object.keys(spec.selector ?? {}).length === 0;
  const policy = (spec.ipFamilyPolicy ??= free ? "RequireDualStack" : "SingleStack");
  let families = (spec.ipFamilies ??= [OWN_FAMILY]);
  if (policy === "SingleStack" && families.length > 1 && deepEqual(families, old?.spec?.ipFamilies)) {
    families = spec.ipFamilies = families.slice(0, 1);
  }
  if (policy === "SingleStack" && families.length > 1) {
    const detail = "must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified";
    return [fieldInvalid("spec.ipFamilyPolicy", policy, detail)];
  }
  if (free) {
    if (policy !== "SingleStack" && families.length === 1) {
      spec.ipFamilies = [families[0]!, families[0] === OWN_FAMILY ? "IPv6" : OWN_FAMILY];
    }
    return [];
  }
  const errors = families.flatMap((family, at) =>
    family === OWN_FAMILY ? [] : [fieldInvalid(`spec.ipFamilies[${at}]`, family, "not configured on this cluster")],
  );
  if (policy !== "RequireDualStack") return errors;
  const detail = "this cluster is not configured for dual-stack services";
  return [fieldInvalid("spec.ipFamilyPolicy", policy, detail), ...errors];
}

function assignClusterIp(
  deps: AllocatorDeps,
  service: Service,
  held: ReadonlySet<string>,
  progress: Progress,
  errors: FieldError[],
): void {
  const spec = service.spec!;
  if (spec.clusterIP && progress.taken.has(clusterIpKey(spec.clusterIP))) delete spec.clusterIP;
  if (spec.clusterIP === NONE) return;
  if (spec.clusterIP) {
    const ip = spec.clusterIP;
    if (held.has(clusterIpKey(ip))) return;
    const ranges = deps.clusterIps();
    const why = !ranges.some((range) => range.contains(canonicalIp(ip)))
      ? "the provided network does not match the current range"
      : deps.reserved(canonicalIp(ip))
        ? "provided IP is already allocated"
        : undefined;
    if (why !== undefined) errors.push(fieldInvalid("spec.clusterIPs", [ip], `failed to allocate IP ${ip}: ${why}`));
    return;
  }
  const taken = (value: string): boolean => isTaken(deps, progress, clusterIpKey(value)) || deps.reserved(value);
  let ip: string | undefined;
  for (const range of deps.clusterIps()) if ((ip = pick(range, deps.random, taken)) !== undefined) break;
  if (ip === undefined) throw newInternalError("failed to allocate a serviceIP: range is full");
  progress.drawn.add(clusterIpKey(ip));
  spec.clusterIP = ip;
  spec.clusterIPs = [ip];
}

function checkNodePort(
  deps: AllocatorDeps,
  port: number,
  field: string,
  held: ReadonlySet<string>,
  errors: FieldError[],
): void {
  if (held.has(nodePortKey(port)) || deps.nodePorts.contains(String(port))) return;
  const detail = `provided port is not in the valid range. The range of valid ports is ${deps.nodePorts.text}`;
  errors.push(fieldInvalid(field, port, detail));
}

function drawNodePort(deps: AllocatorDeps, progress: Progress, mine: Set<string>): number {
  const taken = (value: string): boolean => {
    const key = nodePortKey(Number(value));
    return mine.has(key) || isTaken(deps, progress, key);
  };
  const port = pick(deps.nodePorts, deps.random, taken);
  if (port === undefined) throw newInternalError("failed to allocate a nodePort: range is full");
  const key = nodePortKey(Number(port));
  progress.drawn.add(key);
  mine.add(key);
  return Number(port);
}

function isTaken(deps: AllocatorDeps, progress: Progress, key: string): boolean {
  return progress.taken.has(key) || deps.inUse(key);
}

/** What the transaction must hold and write besides the Service itself. */
function claim(service: Service | undefined, old: Service | undefined, progress: Progress): Contribution | undefined {
  const before = heldKeys(old);
  const after = heldKeys(service);
  const added = [...after].filter((key) => !before.has(key));
  const released = [...before].filter((key) => !after.has(key));
  if (added.length === 0 && released.length === 0) return undefined;
  const owner = ownerValue(service ?? old!);
  const mutations: Mutation[] = [
    ...added.map((key): Mutation => ({ op: "put", key, value: owner })),
    ...released.map((key): Mutation => ({ op: "delete", key })),
  ];
  return {
    conditions: added.map((key) => ({ key, is: "absent" })),
    mutations,
    refused(current: readonly (StoredValue | undefined)[]) {
      const collided = added.filter((_key, index) => current[index] !== undefined);
      for (const key of collided) progress.taken.add(key);
      const asked = collided.filter((key) => !progress.drawn.has(key));
      if (asked.length > 0) throw alreadyAllocated(service!, asked);
    },
  };
}

/** Who holds an allocation, for people and for repair. */
export function ownerValue(service: KubeObject): Buffer {
  const { namespace, name, uid } = service.metadata ?? {};
  return Buffer.from(JSON.stringify({ service: `${namespace}/${name}`, uid }));
}

function alreadyAllocated(service: Service, keys: readonly string[]): Error {
  const errors: FieldError[] = [];
  const ip = service.spec?.clusterIP ?? "";
  if (keys.includes(clusterIpKey(ip))) {
    errors.push(fieldInvalid("spec.clusterIPs", [ip], `failed to allocate IP ${ip}: provided IP is already allocated`));
  }
  for (const [index, port] of (service.spec?.ports ?? []).entries()) {
    if (port.nodePort && keys.includes(nodePortKey(port.nodePort))) {
      errors.push(fieldInvalid(`spec.ports[${index}].nodePort`, port.nodePort, "provided port is already allocated"));
    }
  }
  const check = service.spec?.healthCheckNodePort;
  if (check && keys.includes(nodePortKey(check))) {
    errors.push(fieldInvalid("spec.healthCheckNodePort", check, "provided port is already allocated"));
  }
  return newInvalid({ group: "", kind: "Service" }, service.metadata?.name ?? "", errors);
}
