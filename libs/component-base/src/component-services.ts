// The gRPC services that every process has: Component (who am I, metrics, log level), and with --enable-chaos Faults.
import type { Failpoints, FaultAction, FaultSpec, Random } from "@coxswain/env";
import { StatusError } from "@coxswain/apimachinery";
import type { Fault, FaultInput } from "@coxswain/protos/chaos-v1.gen";
import type { ComponentApp, GrpcService } from "./contract.ts";
import { implementService } from "./grpc-service.ts";
import { isLogLevel, LOG_LEVELS, type LeveledLogger } from "./logger.ts";
import type { MetricsRegistry } from "./metrics.ts";

export interface ComponentInfo {
  readonly component: string;
  readonly instance: string;
  readonly version: string;
  readonly kubernetesVersion: string;
  readonly pid: number;
  /** ms since the epoch. */
  readonly startedMs: number;
}

export function createComponentService(deps: {
  readonly info: ComponentInfo;
  readonly app: ComponentApp;
  readonly logger: LeveledLogger;
  readonly metrics: MetricsRegistry;
}): GrpcService {
  const { info, app, logger, metrics } = deps;
  return implementService("coxswain.component.v1.Component", {
    getInfo: async () => {
      const { startedMs, ...rest } = info;
      const started = new Date(startedMs).toISOString();
      return { ...rest, started, leader: app.leader?.() ?? false, facts: app.facts?.() ?? {} };
    },
    getMetrics: async () => ({ text: await metrics.text() }),
    setLogLevel: async ({ level }) => {
      if (!isLogLevel(level)) {
        const known = LOG_LEVELS.map((name) => JSON.stringify(name)).join(", ");
        throw new StatusError(
          "BadRequest",
          400,
          `level: Unsupported value: ${JSON.stringify(level)}: supported values: ${known}`,
        );
      }
      return { previous: logger.setLevel(level) };
    },
  });
}

const ACTIONS: readonly FaultAction[] = ["error", "delay", "crash"];

function faultFrom(sent: Fault | null, random: Random): Omit<FaultSpec, "fired"> {
  const action = ACTIONS.find((name) => name === sent?.action);
  if (sent === null || sent.failpoint === "") {
    throw new StatusError("BadRequest", 400, "fault.failpoint: Required value");
  }
  if (action === undefined) {
    const text = `fault.action: Unsupported value: ${JSON.stringify(sent.action)}: supported values: "error", "delay", "crash"`;
    throw new StatusError("BadRequest", 400, text);
  }
  if (!(sent.probability >= 0 && sent.probability <= 1)) {
    throw new StatusError("BadRequest", 400, `fault.probability: Invalid value: ${sent.probability}: must be in 0..1`);
  }
  return {
    id: sent.id === "" ? random.nameSuffix(8) : sent.id,
    failpoint: sent.failpoint,
    action,
    delayMs: Number(sent.delayMs),
    probability: sent.probability === 0 ? 1 : sent.probability,
    count: Number(sent.count),
  };
}

function faultTo(fault: FaultSpec): FaultInput {
  return { ...fault };
}

export function createFaultsService(deps: { readonly failpoints: Failpoints; readonly random: Random }): GrpcService {
  const { failpoints, random } = deps;
  return implementService("coxswain.chaos.v1.Faults", {
    inject: async ({ fault }) => ({ fault: faultTo(failpoints.inject(faultFrom(fault, random))) }),
    list: async () => ({ faults: failpoints.list().map(faultTo), failpoints: failpoints.known() }),
    heal: async ({ id }) => ({ healed: failpoints.heal(id === "" ? undefined : id).map(faultTo) }),
  });
}
