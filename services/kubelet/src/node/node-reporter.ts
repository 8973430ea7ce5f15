// Registers the Nodes of a process and keeps them alive: a Lease every 10 s, the status every 5 min or when it differs.
// Guarantees: the work of many nodes is spread over the interval and sent in batches; a call that hangs or fails delays no
// later heartbeat by more than its own time-out; a node that could not be registered is tried again soon, then less often, and at
// once where there is news.
import type { Lease, Node, NodeStatus } from "@coxswain/api";
import { LEASES, NODES } from "@coxswain/api";
import { compareResourceVersions, formatMicroTime, isReason, type KubeObject } from "@coxswain/apimachinery";
import { batchOutcomes, type BatchOperation, type BatchOutcome, type ResourceClient } from "@coxswain/client";
import type { Logger } from "@coxswain/component-base";
import { isAbort, pause, type Env } from "@coxswain/env";
import { failsForAll, ServerBackoff } from "../server-backoff.ts";
import {
  planMetadataPatch,
  planNode,
  planNodeStatus,
  planStatusPatch,
  STATUS_REPORT_MS,
  statusDiffers,
  type NodeFacts,
  type NodeHealth,
} from "./plan-node.ts";

const LEASE_NAMESPACE = "kube-node-lease";
const LEASE_DURATION_SECONDS = 40;
const RENEW_INTERVAL_MS = 10_000;
const MAX_BATCH = 200;
const RETRY_MS = 1_000;
/** Between two tries to register; doubled each time, as upstream's kubelet does. */
const FIRST_REGISTER_MS = 100;
const MOST_REGISTER_MS = 7_000;
/** How often due heartbeats are looked for. */
const TICK_MS = 250;

export interface NodeReporterDeps {
  readonly env: Env;
  readonly client: ResourceClient;
  readonly logger: Logger;
  /** The server has taken a node's status. */
  onAccepted(node: Node, becameReady: boolean): void;
  /** How a node is now; well where unset. */
  readonly health?: (node: string) => NodeHealth;
  /** Unique names of attachable volumes that a node's pods use; undefined while that is not known. */
  readonly volumesInUse?: (node: string) => readonly string[] | undefined;
}

function newer(node: Node, known: Node | undefined): Node {
  const version = ({ metadata }: Node): string => metadata?.resourceVersion ?? "0";
  return known === undefined || compareResourceVersions(version(node), version(known)) >= 0 ? node : known;
}

interface Failure {
  readonly entry: Entry;
  readonly error: Error;
}

function errorOf(outcome: BatchOutcome<KubeObject> | undefined): Error {
  return outcome?.ok === false ? outcome.error : new Error("the batch gave no answer");
}

function isReady(node: Node | undefined): boolean {
  return node?.status?.conditions?.some((one) => one.type === "Ready" && one.status === "True") ?? false;
}

interface Entry {
  readonly facts: NodeFacts;
  node: Node | undefined;
  leaseDueMs: number;
  statusDueMs: number;
  leaseBusy: boolean;
  statusBusy: boolean;
  /** The last try failed. */
  leaseFailed: boolean;
  statusFailed: boolean;
}

export class NodeReporter {
  readonly #deps: NodeReporterDeps;
  readonly #leaseServer: ServerBackoff;
  readonly #statusServer: ServerBackoff;
  readonly #registerServer: ServerBackoff;
  readonly #entries: Map<string, Entry>;
  #podCidr: ((podCidr: string) => void) | undefined;
  /** Ends the pause between two tries to register. */
  #tryAgain: AbortController | undefined;

  constructor(deps: NodeReporterDeps, nodes: readonly NodeFacts[]) {
    this.#deps = deps;
    const { env, logger } = deps;
    this.#leaseServer = new ServerBackoff(env, logger, "leases of nodes");
    this.#statusServer = new ServerBackoff(env, logger, "statuses of nodes");
    this.#registerServer = new ServerBackoff(env, logger, "new nodes");
    const now = env.clock.now();
    this.#entries = new Map(
      nodes.map((facts, at) => {
        const share = at / nodes.length;
        // Where in the interval a node's heartbeats fall, so that many nodes do not report at once.
        const leaseDueMs = now + share * RENEW_INTERVAL_MS;
        const statusDueMs = now + STATUS_REPORT_MS * (0.5 + 0.5 * share);
        const idle = { leaseBusy: false, statusBusy: false, leaseFailed: false, statusFailed: false };
        return [facts.name, { facts, node: undefined, leaseDueMs, statusDueMs, ...idle }];
      }),
    );
  }

  /** The Node as it was last seen. */
  node(name: string): Node | undefined {
    return this.#entries.get(name)?.node;
  }

  get registered(): boolean {
    return this.#entries.values().every((entry) => entry.node !== undefined);
  }

  /** What an informer tells: a status that somebody else has changed is set right again, soon. */
  observe(node: Node): void {
    const entry = this.#entries.get(node.metadata?.name ?? "");
    if (entry === undefined) return;
    if (entry.node === undefined) return this.serverAnswers();
    entry.node = node;
    this.#tellPodCidr(node);
    const nowMs = this.#deps.env.clock.now();
    if (!entry.statusBusy && statusDiffers(node, this.#status(entry, node))) {
      entry.statusDueMs = Math.min(entry.statusDueMs, nowMs + RETRY_MS);
    }
  }

  /** Calls `listener` with the range of each Node that has one, now and whenever a Node is seen. */
  onPodCidr(listener: (podCidr: string) => void): void {
    this.#podCidr = listener;
    for (const { node } of this.#entries.values()) this.#tellPodCidr(node);
  }

  #tellPodCidr(node: Node | undefined): void {
    const podCidr = node?.spec?.podCIDR;
    if (podCidr) this.#podCidr?.(podCidr);
  }

  /** The api-server is there: who is not registered yet is tried now. */
  serverAnswers(): void {
    this.#tryAgain?.abort();
  }

  /** The node's health or its volumes may have changed: it is reported at once. */
  statusChanged(name: string): void {
    const entry = this.#entries.get(name);
    if (entry?.node === undefined) return;
    const nowMs = this.#deps.env.clock.now();
    if (!statusDiffers(entry.node, this.#status(entry, entry.node))) return;
    entry.statusDueMs = nowMs;
    if (!entry.statusBusy) void this.#report([entry]);
  }

  #status({ facts }: Entry, node: Node | undefined): NodeStatus {
    const { env, health, volumesInUse } = this.#deps;
    const { name } = facts;
    return planNodeStatus(facts, node?.status, env.clock.now(), health?.(name), volumesInUse?.(name));
  }

  /** Works until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { env } = this.#deps;
    try {
      await this.#registerAll(signal);
      while (!signal.aborted) {
        this.#beat();
        await env.timers.sleep(TICK_MS, signal);
      }
    } catch (error) {
      if (!isAbort(error) || !signal.aborted) throw error;
    }
  }

  async #registerAll(signal: AbortSignal): Promise<void> {
    for (let waitMs = FIRST_REGISTER_MS; ; waitMs = Math.min(2 * waitMs, MOST_REGISTER_MS)) {
      const open = [...this.#entries.values()].filter((entry) => entry.node === undefined);
      if (open.length === 0 || signal.aborted) return;
      // What is told from now on, a pause that begins later knows.
      const news = new AbortController();
      this.#tryAgain = news;
      for (let at = 0; at < open.length; at += MAX_BATCH) {
        await this.#register(open.slice(at, at + MAX_BATCH));
        // The others would fare no better.
        if (this.#registerServer.away) break;
      }
      if (open.every((entry) => entry.node !== undefined)) return;
      const { timers, random } = this.#deps.env;
      await pause(timers, waitMs * (0.5 + random.float()), news.signal, signal);
    }
  }

  async #register(entries: readonly Entry[]): Promise<void> {
    const { env, health } = this.#deps;
    const operations = entries.map(({ facts }): BatchOperation => ({
      op: "create",
      ref: NODES,
      object: planNode(facts, env.clock.now(), health?.(facts.name)) as KubeObject,
    }));
    const { round } = this.#registerServer;
    const outcomes = await batchOutcomes<Node>(this.#deps.client, operations);
    const existing: Entry[] = [];
    const failures: Failure[] = [];
    for (const [at, entry] of entries.entries()) {
      const outcome = outcomes[at];
      if (outcome?.ok === true) this.#accepted(entry, outcome.object, undefined);
      else if (isReason(outcome?.error, "AlreadyExists")) existing.push(entry);
      else failures.push({ entry, error: errorOf(outcome) });
    }
    this.#tell(this.#registerServer, round, failures, entries.length, "could not register the node");
    const adopted = await Promise.all(existing.map((entry) => this.#adopt(entry)));
    const lost = adopted.filter((failure) => failure !== undefined);
    if (existing.length > 0)
      this.#tell(this.#registerServer, round, lost, existing.length, "could not take over the node");
  }

  /** A Node that exists already gets this kubelet's labels, annotations and status. */
  async #adopt(entry: Entry): Promise<Failure | undefined> {
    const { client } = this.#deps;
    const { facts } = entry;
    const target = { name: facts.name };
    const type = "application/strategic-merge-patch+json";
    try {
      let node = await client.get<Node>(NODES, target);
      const metadata = planMetadataPatch(facts, node);
      if (metadata !== undefined) node = await client.patch<Node>(NODES, target, type, metadata);
      const before = node;
      const status = planStatusPatch(this.#status(entry, node));
      node = await client.patch<Node>(NODES, target, type, status, { subresource: "status" });
      this.#accepted(entry, node, before);
      return undefined;
    } catch (error) {
      return { entry, error: error as Error };
    }
  }

  #accepted(entry: Entry, answer: Node, before: Node | undefined): void {
    // An answer may come later than the news of what others made of the Node since.
    const node = newer(answer, entry.node);
    entry.node = node;
    this.#tellPodCidr(node);
    this.#deps.onAccepted(node, isReady(node) && !isReady(before));
    // What changed while the answer was on its way.
    if (statusDiffers(node, this.#status(entry, node))) entry.statusDueMs = this.#deps.env.clock.now() + RETRY_MS;
  }

  #beat(): void {
    const now = this.#deps.env.clock.now();
    const leases: Entry[] = [];
    const statuses: Entry[] = [];
    for (const entry of this.#entries.values()) {
      if (entry.leaseDueMs <= now && !entry.leaseBusy) leases.push(entry);
      if (entry.statusDueMs <= now && !entry.statusBusy) statuses.push(entry);
    }
    for (let at = 0; at < leases.length; at += MAX_BATCH) void this.#renew(leases.slice(at, at + MAX_BATCH));
    for (let at = 0; at < statuses.length; at += MAX_BATCH) void this.#report(statuses.slice(at, at + MAX_BATCH));
  }

  /** With jitter. Those that failed did so together: they are spread over the interval again. */
  #nextMs(ms: number, failed: boolean): number {
    const chance = this.#deps.env.random.float();
    return failed ? ms * chance : ms * (1 + 0.04 * (chance - 0.5));
  }

  #retryMs(): number {
    return RETRY_MS * (0.5 + this.#deps.env.random.float());
  }

  async #renew(entries: readonly Entry[]): Promise<void> {
    const { env } = this.#deps;
    const renewTime = formatMicroTime(env.clock.now());
    const operations = entries.map(({ facts }): BatchOperation => {
      const spec = { holderIdentity: facts.name, leaseDurationSeconds: LEASE_DURATION_SECONDS, renewTime };
      const target = { namespace: LEASE_NAMESPACE, name: facts.name };
      return { op: "patch", ref: LEASES, target, type: "application/merge-patch+json", patch: { spec } };
    });
    for (const entry of entries) entry.leaseBusy = true;
    const { round } = this.#leaseServer;
    const outcomes = await batchOutcomes<Lease>(this.#deps.client, operations);
    const missing: Entry[] = [];
    const failures: Failure[] = [];
    for (const [at, entry] of entries.entries()) {
      const outcome = outcomes[at];
      entry.leaseBusy = false;
      const renewed = outcome?.ok === true;
      entry.leaseDueMs =
        env.clock.now() + (renewed ? this.#nextMs(RENEW_INTERVAL_MS, entry.leaseFailed) : this.#retryMs());
      entry.leaseFailed = !renewed;
      if (renewed) continue;
      if (isReason(outcome?.error, "NotFound")) missing.push(entry);
      else failures.push({ entry, error: errorOf(outcome) });
    }
    this.#tell(this.#leaseServer, round, failures, entries.length, "could not renew the node's lease");
    if (missing.length > 0) await this.#createLeases(missing, renewTime);
  }

  async #createLeases(entries: readonly Entry[], renewTime: string): Promise<void> {
    const { env } = this.#deps;
    const operations = entries.map(({ facts, node }): BatchOperation => {
      const { name } = facts;
      const owner = { apiVersion: "v1", kind: "Node", name, uid: node?.metadata?.uid ?? "" };
      const object: Lease = {
        apiVersion: "coordination.k8s.io/v1",
        kind: "Lease",
        metadata: { name, namespace: LEASE_NAMESPACE, ownerReferences: [owner] },
        spec: { holderIdentity: name, leaseDurationSeconds: LEASE_DURATION_SECONDS, renewTime },
      };
      return { op: "create", ref: LEASES, namespace: LEASE_NAMESPACE, object };
    });
    const { round } = this.#leaseServer;
    const outcomes = await batchOutcomes<Lease>(this.#deps.client, operations);
    const failures: Failure[] = [];
    for (const [at, entry] of entries.entries()) {
      const outcome = outcomes[at];
      entry.leaseFailed = false;
      if (outcome?.ok === true) {
        entry.leaseDueMs = env.clock.now() + this.#nextMs(RENEW_INTERVAL_MS, false);
        // Else a try whose answer was lost has made it, and it is renewed with the next beat.
      } else if (!isReason(outcome?.error, "AlreadyExists")) failures.push({ entry, error: errorOf(outcome) });
    }
    this.#tell(this.#leaseServer, round, failures, entries.length, "could not create the node's lease yet");
  }

  async #report(entries: readonly Entry[]): Promise<void> {
    const { env } = this.#deps;
    const operations = entries.map((entry): BatchOperation => {
      const patch = planStatusPatch(this.#status(entry, entry.node));
      const target = { name: entry.facts.name };
      return {
        op: "patch",
        ref: NODES,
        target,
        type: "application/strategic-merge-patch+json",
        patch,
        subresource: "status",
      };
    });
    for (const entry of entries) entry.statusBusy = true;
    const { round } = this.#statusServer;
    const outcomes = await batchOutcomes<Node>(this.#deps.client, operations);
    const failures: Failure[] = [];
    for (const [at, entry] of entries.entries()) {
      const outcome = outcomes[at];
      entry.statusBusy = false;
      const taken = outcome?.ok === true;
      entry.statusDueMs =
        env.clock.now() + (taken ? this.#nextMs(STATUS_REPORT_MS, entry.statusFailed) : RENEW_INTERVAL_MS);
      entry.statusFailed = !taken;
      if (taken) this.#accepted(entry, outcome.object, entry.node);
      else failures.push({ entry, error: errorOf(outcome) });
    }
    this.#tell(this.#statusServer, round, failures, entries.length, "Error updating node status, will retry");
  }

  /** Who fails for the server's sake is told of once, all nodes together; others in one line a batch. */
  #tell(server: ServerBackoff, round: number, failures: readonly Failure[], tried: number, message: string): void {
    const forAll = failures.filter(({ error }) => failsForAll(error));
    const [first] = forAll;
    if (first !== undefined) server.failed(round, forAll.length, first.error, forAll.length < tried);
    else server.succeeded();
    const own = failures.filter(({ error }) => !failsForAll(error));
    if (own[0] === undefined) return;
    const { entry, error } = own[0];
    this.#deps.logger.warn({ node: entry.facts.name, nodes: own.length, err: error }, message);
  }
}
