// The probers of one pod: one for each container that runs and has probes. What they find goes on the container's record.
import type { Pod, Probe } from "@coxswain/api";
import type { ProbeKind } from "../cri/contract.ts";
import type { ProbeResult } from "../probes/contract.ts";
import { runProbe } from "../probes/probe-handler.ts";
import type { NodeContext } from "./node-context.ts";
import { isRunning, type ContainerRecord, type PodState } from "./pod-state.ts";
import { Prober } from "./prober.ts";

const PROBE_NAMES = { liveness: "Liveness", readiness: "Readiness", startup: "Startup" } as const;

export class PodProbes {
  readonly #context: NodeContext;
  readonly #state: PodState;
  readonly #changed: () => void;
  readonly #probers = new Map<ContainerRecord, Prober>();

  constructor(context: NodeContext, state: PodState, changed: () => void) {
    this.#context = context;
    this.#state = state;
    this.#changed = changed;
  }

  /** Begins with a life's probes; `adopted` ones have started before, and many start at once. */
  start(record: ContainerRecord, adopted = false): void {
    this.stop(record);
    const { spec } = record;
    if (!isRunning(record) || (!spec.startupProbe && !spec.livenessProbe && !spec.readinessProbe)) return;
    const prober = new Prober(spec, {
      env: this.#context.env,
      run: (kind, probe) => this.#probe(record, kind, probe),
      changed: (kind, success) => this.#report(record, kind, success),
      told: (kind, result) => this.#tell(record, kind, result),
    });
    this.#probers.set(record, prober);
    prober.start({ started: adopted && record.started, ready: record.ready, adopted });
  }

  stop(record: ContainerRecord): void {
    this.#probers.get(record)?.stop();
    this.#probers.delete(record);
  }

  close(): void {
    for (const prober of this.#probers.values()) prober.stop();
    this.#probers.clear();
  }

  /** A pod on its way out is asked no more whether it lives; whether it is ready still matters to those who call it. */
  terminating(): void {
    for (const prober of this.#probers.values()) prober.onlyReadiness();
  }

  async #probe(record: ContainerRecord, kind: ProbeKind, probe: Probe): Promise<ProbeResult> {
    const { cri, network, hostIp } = this.#context;
    const containerId = record.run?.id ?? "";
    if (cri.probe !== undefined) {
      const { success, output } = await cri.probe(containerId, kind);
      return { outcome: success ? "success" : "failure", output };
    }
    if (network === undefined) throw new Error("this kubelet has neither a network nor a runtime that answers probes");
    const { pod, sandbox } = this.#state;
    const podIp = pod.spec?.hostNetwork ? hostIp : (sandbox?.ip ?? "");
    return runProbe(probe, { pod, container: record.spec, containerId, podIp }, { cri, network });
  }

  #tell(record: ContainerRecord, kind: ProbeKind, { outcome, output }: ProbeResult): void {
    const name = PROBE_NAMES[kind];
    const pod: Pod = this.#state.pod;
    const warn = (reason: string, message: string): void =>
      this.#context.events.container(pod, record, "Warning", reason, message);
    if (outcome === "failure") warn("Unhealthy", `${name} probe failed: ${output}`);
    else if (outcome === "warning") warn("ProbeWarning", `${name} probe warning: ${output}`);
    else if (outcome === "unknown") {
      warn("Unhealthy", `${name} probe errored and resulted in unknown state: ${output}`);
    }
  }

  #report(record: ContainerRecord, kind: ProbeKind, success: boolean): void {
    if (kind === "readiness") record.ready = success;
    else if (success) record.started = true;
    else {
      const probe = kind === "liveness" ? record.spec.livenessProbe : record.spec.startupProbe;
      const graceSeconds = probe?.terminationGracePeriodSeconds;
      const message = `Container ${record.name} failed ${kind} probe, will be restarted`;
      record.mustRestart = { message, ...(graceSeconds === undefined ? {} : { graceSeconds }) };
    }
    this.#changed();
  }
}
