// What the API is told of one pod: its status, its crash loops as events, and at the end that the object may go. Guarantees:
// the newest version of the pod that is known is kept, and nothing is written where the server has it already. What a moment
// later would be told with the next news waits for that: a write costs every process that follows pods.
import { PODS, type Pod, type PodCondition, type PodStatus } from "@coxswain/api";
import { compareResourceVersions, objectKey } from "@coxswain/apimachinery";
import type { BatchOperation } from "@coxswain/client";
import type { TimerHandle } from "@coxswain/env";
import { goDuration } from "./backoff.ts";
import type { NodeContext } from "./node-context.ts";
import { withAllocation } from "./plan-resize.ts";
import { planStatus, podLogName } from "./plan-status.ts";
import { crashBackoffUntil, terminationGrace } from "./plan-sync.ts";
import { exitCodeOf, takeSpec, type ContainerRecord, type PodState } from "./pod-state.ts";
import { changesGenerationOnly, hasOnlyBegun, statusPatch } from "./status-patch.ts";
import type { StatusSource, WriteOutcome } from "./status-writer.ts";

/** That a deletion was seen is told with the end of the containers, where that comes as soon as this. */
const DELETION_SEEN_MS = 500;
/** That its containers are being made is told with their start, where that comes as soon as this, be it after a short pull. */
const BEGUN_MS = 500;

type StatusPatch = ReturnType<typeof statusPatch>;

export class PodReport implements StatusSource {
  readonly key: string;
  readonly #context: NodeContext;
  readonly #state: PodState;
  readonly #lost: () => void;
  /** The pod as the server had it last. */
  #server: Pod;
  #desired: PodStatus | undefined;
  /** What turns the server's status into the desired one; made when it is asked for. */
  #difference: { readonly patch: StatusPatch } | undefined;
  #later: TimerHandle | undefined;
  #deletionSent = false;
  #closed = false;
  /** Containers whose present wait has been told. */
  readonly #told = new Set<string>();

  /** `lost` is called where the server has no such pod any more. */
  constructor(context: NodeContext, state: PodState, lost: () => void) {
    this.#context = context;
    this.#state = state;
    this.#lost = lost;
    this.#server = state.pod;
    this.key = objectKey(state.pod);
  }

  /** The pod as it is now: of the API, with the newest status. */
  get pod(): Pod {
    return { ...this.#state.pod, status: { ...this.#state.pod.status, ...this.#desired } };
  }

  /** Keeps the newest version that is known; a feed may be behind what a write has answered. */
  take(pod: Pod): void {
    const known = this.#server.metadata?.resourceVersion ?? "";
    if (compareResourceVersions(pod.metadata?.resourceVersion ?? "", known) < 0) return;
    this.#server = pod;
    this.#difference = undefined;
    this.#state.wanted = pod;
    this.#state.pod = withAllocation(pod, this.#state.allocation);
    takeSpec(this.#state);
  }

  /** Makes the status anew and has it written where it differs from the server's. */
  publish(): void {
    const state = this.#state;
    if (state.orphaned || this.#closed) return;
    const { env, hostIp, runtimeName, writer } = this.#context;
    const nowMs = env.clock.now();
    this.#tellCrashLoops(nowMs);
    this.#desired = planStatus({ state, nowMs, hostIp, runtimeName });
    this.#difference = undefined;
    state.conditions = new Map((this.#desired.conditions ?? []).map((one): [string, PodCondition] => [one.type, one]));
    const waitMs = this.#mayWaitMs();
    if (waitMs === undefined) {
      if (this.#patch() !== undefined) writer.touch(this);
      return;
    }
    this.#later ??= env.timers.setTimeout(() => {
      this.#later = undefined;
      if (!this.#closed) writer.touch(this);
    }, waitMs);
  }

  #patch(): StatusPatch {
    if (this.#desired === undefined) return undefined;
    this.#difference ??= { patch: statusPatch(this.#server.status ?? {}, this.#desired) };
    return this.#difference.patch;
  }

  /** How long what is to be told may wait for news to be told with; undefined: it goes at once, or there is nothing. */
  #mayWaitMs(): number | undefined {
    const patch = this.#patch();
    if (this.#desired === undefined || patch === undefined) return undefined;
    const server = this.#server.status ?? {};
    if (this.#state.pod.metadata?.deletionTimestamp !== undefined) {
      return changesGenerationOnly(server, patch) ? DELETION_SEEN_MS : undefined;
    }
    return hasOnlyBegun(server, this.#desired) ? BEGUN_MS : undefined;
  }

  /** The last write, once the status is there: the object goes. */
  finish(): void {
    this.#state.finishing = true;
    this.publish();
    this.#context.writer.touch(this);
  }

  /** A new life: its wait, if one comes, is news again. */
  lives(record: ContainerRecord): void {
    this.#told.delete(record.name);
  }

  /** Writes nothing any more. */
  forget(): void {
    this.#context.env.timers.clear(this.#later);
    this.#later = undefined;
    this.#context.writer.forget(this);
  }

  close(): void {
    this.#closed = true;
    this.forget();
  }

  nextWrite(): BatchOperation | undefined {
    const state = this.#state;
    if (state.orphaned || this.#closed) return undefined;
    const { namespace = "", name = "", uid = "" } = state.pod.metadata ?? {};
    const target = { namespace, name };
    const patch = this.#patch();
    if (patch !== undefined) {
      const body = { metadata: { uid }, status: patch };
      const type = "application/strategic-merge-patch+json";
      return { op: "patch", ref: PODS, target, type, patch: body, subresource: "status" };
    }
    if (!state.finishing || this.#deletionSent) return undefined;
    return { op: "delete", ref: PODS, target, options: { gracePeriodSeconds: 0, preconditions: { uid } } };
  }

  written(outcome: WriteOutcome): void {
    if (this.#closed) return;
    if ("error" in outcome) {
      this.#lost();
      return;
    }
    const { pod, deleted } = outcome;
    // Where finalizers hold the object, whoever set them ends it: it is not deleted again.
    if (deleted) this.#deletionSent = true;
    if (pod !== undefined && pod.metadata?.uid === this.#state.pod.metadata?.uid) this.take(pod);
    if (this.nextWrite() !== undefined) this.#context.writer.touch(this);
  }

  /** Once for each wait. */
  #tellCrashLoops(nowMs: number): void {
    const { pod, containers } = this.#state;
    const { events, logger } = this.#context;
    for (const record of containers) {
      if (exitCodeOf(record) === undefined || this.#told.has(record.name)) continue;
      if (crashBackoffUntil(pod, record, nowMs) === undefined || terminationGrace(this.#state) !== undefined) continue;
      this.#told.add(record.name);
      // From here on the loop is the news, not how the last life failed.
      record.waiting = undefined;
      const message = `Back-off restarting failed container ${record.name} in pod ${podLogName(pod)}`;
      events.container(pod, record, "Warning", "BackOff", message);
      const delay = goDuration(record.crashBackoff?.delayMs ?? 0);
      logger.debug({ pod: this.key, container: record.name, delay }, "a container crashes again and again");
    }
  }
}
