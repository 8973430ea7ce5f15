// Gives Services their addresses and node ports. Guarantee: an address or port belongs to one Service at a time, because
// its key is written in the Service's own transaction on the condition that it is absent, and goes with it.
import type { Service, ServicePort, ServiceSpec } from "@coxswain/api";
import { validateClusterIps } from "@coxswain/api/core-v1/service/validation";
import { canonicalIp } from "@coxswain/api/validation/ip";
import {
  deepEqual,
  fieldInvalid,
  newInternalError,
  newUnnamedRefusal,
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
const TAKEN = "provided port is already allocated";

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

/** Carries over what the writer left out, and gives clusterIPs what was said by clusterIP. */
function normalize(service: Service, old: Service | undefined): void {
  const spec = (service.spec ??= {});
  const before = old?.spec;
  if (before !== undefined && needsClusterIp(old!) && needsClusterIp(service)) {
    spec.clusterIP ||= before.clusterIP;
    if ((spec.clusterIPs ?? []).length === 0) spec.clusterIPs = before.clusterIPs;
  }
  const given = spec.clusterIPs ?? [];
  if (old === undefined) {
    if (spec.clusterIP && given.length === 0) spec.clusterIPs = [spec.clusterIP];
  } else if ((before?.clusterIP ?? "") !== (spec.clusterIP ?? "") && deepEqual(given, before?.clusterIPs ?? [])) {
    spec.clusterIPs = spec.clusterIP ? [spec.clusterIP] : undefined;
  }
  keepNodePorts(service, old);
  if (needsHealthCheckPort(service) && old !== undefined && needsHealthCheckPort(old)) {
    spec.healthCheckNodePort ||= before?.healthCheckNodePort;
  }
}

/** A port that the writer sent without its node port keeps the one that the port of its name had. */
function keepNodePorts(service: Service, old: Service | undefined): void {
  if (old === undefined || !needsNodePorts(service) || !needsNodePorts(old)) return;
  const known = new Map((old.spec?.ports ?? []).map((port) => [port.name ?? "", port.nodePort]));
  const given = new Set((service.spec?.ports ?? []).map((port) => port.nodePort ?? 0));
  for (const port of service.spec?.ports ?? []) {
    const before = known.get(port.name ?? "");
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
  const ports = spec.ports ?? [];
  const mine = new Set<string>();
  const oldPorts = new Set((old?.spec?.ports ?? []).map((port) => port.nodePort));
  for (const [index, port] of ports.entries()) {
    if (port.nodePort && progress.taken.has(nodePortKey(port.nodePort))) delete port.nodePort;
    if (!port.nodePort) continue;
    const at = `spec.ports[${index}].nodePort`;
    const health = port.nodePort === old?.spec?.healthCheckNodePort && !oldPorts.has(port.nodePort);
    const why = health ? TAKEN : wrongNodePort(deps, port.nodePort, held);
    if (why !== undefined) errors.push(fieldInvalid(at, port.nodePort, why));
    mine.add(nodePortKey(port.nodePort));
  }
  if (errors.length > 0) throw newInvalid({ group: "", kind: "Service" }, service.metadata?.name ?? "", errors);
  if (needsNodePorts(service)) {
    for (const port of ports) port.nodePort ||= twinsNodePort(port, ports, old) ?? drawNodePort(deps, progress, mine);
  }
  if (needsHealthCheckPort(service)) assignHealthCheckPort(deps, service, old, progress, mine);
}

/** A new Service's ports of one number, one for each protocol, share their node port. */
function twinsNodePort(port: ServicePort, ports: readonly ServicePort[], old: Service | undefined): number | undefined {
  if (old !== undefined) return undefined;
  return ports.find((other) => other.port === port.port && other.nodePort)?.nodePort;
}

function assignHealthCheckPort(
  deps: AllocatorDeps,
  service: Service,
  old: Service | undefined,
  progress: Progress,
  mine: Set<string>,
): void {
  const spec = service.spec!;
  if (spec.healthCheckNodePort && progress.taken.has(nodePortKey(spec.healthCheckNodePort))) {
    delete spec.healthCheckNodePort;
  }
  const asked = spec.healthCheckNodePort;
  if (!asked) {
    spec.healthCheckNodePort = drawNodePort(deps, progress, mine);
    return;
  }
  if (old !== undefined && needsHealthCheckPort(old)) return;
  const why = mine.has(nodePortKey(asked)) ? TAKEN : wrongNodePort(deps, asked, new Set());
  if (why !== undefined) throw healthCheckPortRefused(asked, why);
}

function healthCheckPortRefused(port: number, why: string): Error {
  return newUnnamedRefusal(`failed to allocate requested HealthCheck NodePort ${port}: ${why}`);
}

/** Here are addresses of one family. Who has neither an address nor pods to look for may name any. */
function assignFamilies(service: Service, old: Service | undefined): FieldError[] {
  const spec = service.spec!;
  const before = old?.spec;
  if (before !== undefined && stillPrefersDualStack(spec, before)) return [];
  const free = spec.clusterIP === NONE && Object.keys(spec.selector ?? {}).length === 0;
  const policy = (spec.ipFamilyPolicy ??= before?.ipFamilyPolicy ?? (free ? "RequireDualStack" : "SingleStack"));
  const malformed = validateClusterIps(spec);
  if (malformed.length > 0) return malformed;
  const errors = assignPolicy(spec, before, policy);
  const ips = spec.clusterIP === NONE ? [] : (spec.clusterIPs ?? []);
  const families = [...(spec.ipFamilies ?? [])];
  for (const [index, ip] of ips.entries()) {
    if (index < families.length) continue;
    const family = ip.includes(":") ? "IPv6" : OWN_FAMILY;
    if (family === OWN_FAMILY) families.push(family);
    else errors.push(fieldInvalid(`spec.clusterIPs[${index}]`, ips, `${family} is not configured on this cluster`));
  }
  if (errors.length > 0) return errors;
  if (families.length === 0) families.push(OWN_FAMILY);
  spec.ipFamilies = families;
  if (free) {
    if (policy !== "SingleStack" && families.length === 1) {
      families.push(families[0] === OWN_FAMILY ? "IPv6" : OWN_FAMILY);
    }
    return [];
  }
  if (policy === "RequireDualStack") {
    const detail = "this cluster is not configured for dual-stack services";
    errors.push(fieldInvalid("spec.ipFamilyPolicy", policy, detail));
  }
  for (const [at, family] of families.entries()) {
    if (family !== OWN_FAMILY) {
      errors.push(fieldInvalid(`spec.ipFamilies[${at}]`, family, "not configured on this cluster"));
    }
  }
  return errors;
}

/** What prefers both families stays as it is until somebody changes its families or addresses. */
function stillPrefersDualStack(spec: ServiceSpec, before: ServiceSpec): boolean {
  return (
    spec.ipFamilyPolicy === "PreferDualStack" &&
    (before.ipFamilyPolicy ?? spec.ipFamilyPolicy) === spec.ipFamilyPolicy &&
    before.type === spec.type &&
    deepEqual(before.clusterIPs ?? [], spec.clusterIPs ?? []) &&
    deepEqual(before.ipFamilies ?? [], spec.ipFamilies ?? [])
  );
}

/** Lets go of the second family where that is asked for, and finds what the policy does not allow. */
function assignPolicy(spec: ServiceSpec, before: ServiceSpec | undefined, policy: string): FieldError[] {
  const at = "spec.ipFamilyPolicy";
  const given = spec.ipFamilies ?? [];
  if (policy !== "SingleStack") {
    const reduced = given.length > 0 && given.length < (before?.ipFamilies ?? []).length;
    return reduced ? [fieldInvalid(at, policy, "must be 'SingleStack' to release the secondary IP family")] : [];
  }
  if (given.length > 1 && deepEqual(given, before?.ipFamilies)) spec.ipFamilies = given.slice(0, 1);
  const many = (what: string): FieldError =>
    fieldInvalid(at, policy, `must be 'RequireDualStack' or 'PreferDualStack' when multiple ${what} are specified`);
  return [
    ...(spec.clusterIPs?.length === 2 ? [many("cluster IPs")] : []),
    ...(spec.ipFamilies?.length === 2 ? [many("IP families")] : []),
  ];
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

function wrongNodePort(deps: AllocatorDeps, port: number, held: ReadonlySet<string>): string | undefined {
  if (held.has(nodePortKey(port)) || deps.nodePorts.contains(String(port))) return undefined;
  return `provided port is not in the valid range. The range of valid ports is ${deps.nodePorts.text}`;
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
      errors.push(fieldInvalid(`spec.ports[${index}].nodePort`, port.nodePort, TAKEN));
    }
  }
  const check = service.spec?.healthCheckNodePort;
  if (errors.length === 0 && check && keys.includes(nodePortKey(check))) return healthCheckPortRefused(check, TAKEN);
  return newInvalid({ group: "", kind: "Service" }, service.metadata?.name ?? "", errors);
}
