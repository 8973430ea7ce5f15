// One HTTP extender: a program outside that filters and scores nodes, says whom to preempt, or binds, in upstream's wire form.
// https://github.com/kubernetes/design-proposals-archive/blob/main/scheduling/scheduler_extender.md
// Nothing here does I/O but through `ExtenderTransport`.
import type { Node, Pod } from "@coxswain/api";
import type { Rejection } from "../framework/contract.ts";
import type { PodInfo } from "../pod-info.ts";
import { rankOf, type Candidate } from "../plugins/preemption-candidates.ts";
import type { ClusterSnapshot } from "../snapshot/cluster-snapshot.ts";

export interface ExtenderTls {
  readonly insecure: boolean;
  readonly serverName: string | undefined;
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
  readonly caFile: string | undefined;
  /** PEM. */
  readonly certData: string | undefined;
  readonly keyData: string | undefined;
  readonly caData: string | undefined;
}

export interface ExtenderConfiguration {
  readonly urlPrefix: string;
  /** Each is appended to `urlPrefix`; "" where the extender does not do it. */
  readonly filterVerb: string;
  readonly prioritizeVerb: string;
  readonly preemptVerb: string;
  readonly bindVerb: string;
  /** Of its scores. */
  readonly weight: number;
  readonly enableHTTPS: boolean;
  readonly tls: ExtenderTls | undefined;
  readonly httpTimeoutMs: number;
  /** It knows the nodes: names suffice. */
  readonly nodeCacheCapable: boolean;
  /** It is asked about pods that want one of these only; about all where there are none. */
  readonly managedResources: readonly string[];
  /** Scheduling goes on without it where it cannot be asked. */
  readonly ignorable: boolean;
}

/**
 * POSTs `body` to the verb of an extender and answers with what it sent. Rejects with ExtenderError where it refused, with
 * another error where nobody knows whether it heard.
 */
export type ExtenderTransport = (extender: ExtenderConfiguration, verb: string, body: unknown) => Promise<unknown>;

/** The extender said no, and did nothing. */
export class ExtenderError extends Error {
  override readonly name = "ExtenderError";
}

type FailedNodes = Readonly<Record<string, string>>;

interface FilterResult {
  readonly nodes?: { readonly items?: readonly Node[] } | null;
  readonly nodenames?: readonly string[] | null;
  readonly failednodes?: FailedNodes | null;
  readonly failedandunresolvablenodes?: FailedNodes | null;
  readonly error?: string;
}

interface MetaVictims {
  readonly pods?: readonly { readonly uid?: string }[] | null;
  readonly numpdbviolations?: number;
}

interface PreemptionResult {
  readonly nodenametometavictims?: Readonly<Record<string, unknown>> | null;
}

/** Members by lower-case names, as Go reads them: extenders differ in how they write them. */
function members(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null) throw new Error("the answer is not an object");
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name.toLowerCase(), member as unknown]));
}

export interface Filtered {
  /** The nodes that it lets pass. */
  readonly passed: readonly string[];
  readonly failed: ReadonlyMap<string, Rejection>;
}

function rejectionsOf(failed: FailedNodes | null | undefined, code: Rejection["code"]): [string, Rejection][] {
  return Object.entries(failed ?? {}).map(([node, reason]) => [node, { code, reasons: [reason] }]);
}

export class Extender {
  readonly configuration: ExtenderConfiguration;
  readonly #transport: ExtenderTransport;

  constructor(configuration: ExtenderConfiguration, transport: ExtenderTransport) {
    this.configuration = configuration;
    this.#transport = transport;
  }

  get name(): string {
    return this.configuration.urlPrefix;
  }

  isInterested({ pod }: PodInfo): boolean {
    const { managedResources } = this.configuration;
    if (managedResources.length === 0) return true;
    const containers = [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])];
    return containers.some(({ resources }) => {
      const { requests = {}, limits = {} } = resources ?? {};
      return managedResources.some((name) => Object.hasOwn(requests, name) || Object.hasOwn(limits, name));
    });
  }

  #ask(verb: string, body: unknown): Promise<unknown> {
    return this.#transport(this.configuration, verb, body);
  }

  /** What upstream calls ExtenderArgs. */
  #args(pod: Pod, nodes: readonly Node[]): unknown {
    const { nodeCacheCapable } = this.configuration;
    return {
      Pod: pod,
      Nodes: nodeCacheCapable ? null : { metadata: {}, items: nodes },
      NodeNames: nodeCacheCapable ? nodes.map((node) => node.metadata?.name ?? "") : null,
    };
  }

  async filter(pod: Pod, nodes: readonly Node[]): Promise<Filtered> {
    const { filterVerb, nodeCacheCapable } = this.configuration;
    const names = nodes.map((node) => node.metadata?.name ?? "");
    if (filterVerb === "") return { passed: names, failed: new Map() };
    const result = members(await this.#ask(filterVerb, this.#args(pod, nodes))) as FilterResult;
    if (result.error) throw new ExtenderError(result.error);
    const known = new Set(names);
    let passed: readonly string[] = [];
    if (nodeCacheCapable && result.nodenames) {
      passed = result.nodenames;
      const stranger = passed.find((name) => !known.has(name));
      if (stranger !== undefined) {
        const what = `extender ${JSON.stringify(this.name)} claims a filtered node ${JSON.stringify(stranger)}`;
        throw new ExtenderError(`${what} which is not found in the input node list`);
      }
    } else if (result.nodes) passed = (result.nodes.items ?? []).map((node) => node.metadata?.name ?? "");
    return {
      passed,
      failed: new Map([
        ...rejectionsOf(result.failednodes, "Unschedulable"),
        // These say more.
        ...rejectionsOf(result.failedandunresolvablenodes, "UnschedulableAndUnresolvable"),
      ]),
    };
  }

  /** Scores by node, 0..10 and weighted. */
  async prioritize(pod: Pod, nodes: readonly Node[]): Promise<Map<string, number>> {
    const { prioritizeVerb, weight } = this.configuration;
    if (prioritizeVerb === "") return new Map();
    const list = (await this.#ask(prioritizeVerb, this.#args(pod, nodes))) ?? [];
    if (!Array.isArray(list)) throw new Error("the answer is not a list");
    return new Map(
      list.map((item) => {
        const { host, score } = members(item);
        return [String(host), Number(score ?? 0) * weight];
      }),
    );
  }

  /** The candidates that it leaves, with the victims that it wants. */
  async preempt(pod: Pod, candidates: readonly Candidate[], snapshot: ClusterSnapshot): Promise<Candidate[]> {
    const { preemptVerb, nodeCacheCapable } = this.configuration;
    const victimsOf = ({ victims, violations }: Candidate): unknown => ({
      Pods: victims.map((victim) => (nodeCacheCapable ? { UID: victim.uid } : victim.pod)),
      NumPDBViolations: violations,
    });
    const byNode = Object.fromEntries(candidates.map((one) => [one.node, victimsOf(one)]));
    const args = {
      Pod: pod,
      NodeNameToVictims: nodeCacheCapable ? null : byNode,
      NodeNameToMetaVictims: nodeCacheCapable ? byNode : null,
    };
    const result = members(await this.#ask(preemptVerb, args)) as PreemptionResult;
    return Object.entries(result.nodenametometavictims ?? {}).flatMap(([node, answer]) => {
      const victims: MetaVictims = members(answer ?? {});
      const candidate = this.#candidate(node, victims, candidates, snapshot);
      return candidate === undefined ? [] : [candidate];
    });
  }

  #candidate(
    node: string,
    { pods, numpdbviolations = 0 }: MetaVictims,
    candidates: readonly Candidate[],
    snapshot: ClusterSnapshot,
  ): Candidate | undefined {
    const row = snapshot.rowOf(node);
    const offered = candidates.find((one) => one.node === node);
    if (row < 0 || offered === undefined) throw new ExtenderError(`node ${JSON.stringify(node)} is not a candidate`);
    if ((pods ?? []).length === 0) {
      if (this.configuration.ignorable) return undefined;
      throw new ExtenderError(`expected at least one victim pod on node ${JSON.stringify(node)}`);
    }
    const there = [...snapshot.pods[row]!.values(), ...offered.victims];
    const victims = (pods ?? []).map((one) => {
      const { uid } = members(one) as { uid?: string };
      const found = there.find((pod) => pod.uid === uid);
      if (found !== undefined) return found;
      const who = `extender: ${this.name} claims to preempt pod (UID: ${uid}) on node: ${node}`;
      throw new ExtenderError(`${who}, but the pod is not found on that node`);
    });
    return { ...offered, row, victims, violations: numpdbviolations, rank: rankOf(victims) };
  }

  /** Rejects as the transport does. */
  async bind({ name, namespace, uid }: PodInfo, node: string): Promise<void> {
    const args = { PodName: name, PodNamespace: namespace, PodUID: uid, Node: node };
    const { error } = members(await this.#ask(this.configuration.bindVerb, args)) as { error?: string };
    if (error) throw new ExtenderError(error);
  }
}
