// The flags of auditing, named as upstream's, and the auditor that they ask for.
// https://kubernetes.io/docs/reference/command-line-tools-reference/kube-apiserver/
import { readFileSync } from "node:fs";
import type { Logger } from "@coxswain/component-base";
import { durationFlag } from "@coxswain/component-base/duration-flag";
import type { Env } from "@coxswain/env";
import { InvalidArgumentError, type Command } from "commander";
import { createAuditor, type AuditBackend, type Auditor } from "./auditor.ts";
import { AuditBatches, type BatchOptions } from "./batches.ts";
import { blocking, once, withRetries, type Deliver, type SendBatch } from "./delivery.ts";
import { createLogFile } from "./log-file.ts";
import { parseAuditPolicy } from "./policy.ts";
import { truncating, type TruncateOptions } from "./truncate.ts";
import { readKubeconfig } from "../kubeconfig.ts";
import { createWebhookSender } from "./webhook.ts";

type Mode = "batch" | "blocking" | "blocking-strict";
type Backend = "Log" | "Webhook";

/** All times in ms. */
type BackendFlags<B extends Backend> = {
  readonly [
    K in
      | `audit${B}BatchBufferSize`
      | `audit${B}BatchMaxSize`
      | `audit${B}BatchMaxWait`
      | `audit${B}BatchThrottleQps`
      | `audit${B}BatchThrottleBurst`
      | `audit${B}TruncateMaxBatchSize`
      | `audit${B}TruncateMaxEventSize`
  ]: number;
} & { readonly [K in `audit${B}BatchThrottleEnable` | `audit${B}TruncateEnabled`]: string | boolean } & {
  readonly [K in `audit${B}Mode` | `audit${B}Version`]: string;
};

export interface AuditFlags extends BackendFlags<"Log">, BackendFlags<"Webhook"> {
  readonly auditPolicyFile?: string;
  readonly auditLogPath?: string;
  readonly auditLogMaxage: number;
  readonly auditLogMaxbackup: number;
  readonly auditLogMaxsize: number;
  readonly auditLogFormat: string;
  readonly auditWebhookConfigFile?: string;
  readonly auditWebhookInitialBackoff: number;
}

const MODES: readonly string[] = ["batch", "blocking", "blocking-strict"];
const VERSION = "audit.k8s.io/v1";

function count(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError("must be a whole number, at least 0");
  return Number(text);
}

function rate(text: string): number {
  const value = Number(text);
  if (text === "" || !Number.isFinite(value)) throw new InvalidArgumentError("must be a number");
  return value;
}

export function addAuditFlags(command: Command): void {
  command
    .option("--audit-policy-file <file>", "which requests the audit log tells of, and how much")
    .option("--audit-log-path <file>", "where it lies; - is this process's output")
    .option("--audit-log-maxage <days>", "how long rotated files are kept; 0: for ever", count, 0)
    .option("--audit-log-maxbackup <files>", "how many rotated files are kept; 0: all", count, 0)
    .option("--audit-log-maxsize <megabytes>", "when a file is rotated", count, 0)
    .option("--audit-log-format <format>", "json", "json")
    .option("--audit-webhook-config-file <file>", "kubeconfig of a service that gets the events too")
    .option(
      "--audit-webhook-initial-backoff <duration>",
      "before a second attempt to send events",
      durationFlag,
      10_000,
    );
  addBackendFlags(command, "log", { mode: "blocking", maxSize: 1, maxWaitMs: 0, throttle: false, qps: 0, burst: 0 });
  addBackendFlags(command, "webhook", {
    mode: "batch",
    maxSize: 400,
    maxWaitMs: 30_000,
    throttle: true,
    qps: 10,
    burst: 15,
  });
}

interface BackendDefaults {
  readonly mode: Mode;
  readonly maxSize: number;
  readonly maxWaitMs: number;
  readonly throttle: boolean;
  readonly qps: number;
  readonly burst: number;
}

function addBackendFlags(command: Command, name: string, defaults: BackendDefaults): void {
  const mode = "batch: no request waits; blocking: all wait; blocking-strict: and fail where their event is lost";
  command
    .option(`--audit-${name}-mode <mode>`, mode, defaults.mode)
    .option(`--audit-${name}-version <version>`, "of the events", VERSION)
    .option(`--audit-${name}-batch-buffer-size <events>`, "events that wait, before more are lost", count, 10_000)
    .option(`--audit-${name}-batch-max-size <events>`, "of one batch", count, defaults.maxSize)
    .option(
      `--audit-${name}-batch-max-wait <duration>`,
      "before a batch goes that is not full",
      durationFlag,
      defaults.maxWaitMs,
    )
    .option(`--audit-${name}-batch-throttle-enable [boolean]`, "limit how often batches go", String(defaults.throttle))
    .option(`--audit-${name}-batch-throttle-qps <batches>`, "a second", rate, defaults.qps)
    .option(`--audit-${name}-batch-throttle-burst <batches>`, "at once after a pause", count, defaults.burst)
    .option(`--audit-${name}-truncate-enabled [boolean]`, "leave objects out of large events", "false")
    .option(`--audit-${name}-truncate-max-batch-size <bytes>`, "of events that go at once", count, 10 * 1024 * 1024)
    .option(`--audit-${name}-truncate-max-event-size <bytes>`, "of one event", count, 100 * 1024);
}

const enabled = (value: string | boolean): boolean => String(value) !== "false";

interface BackendOptions {
  readonly mode: Mode;
  readonly batches: Omit<BatchOptions, "ordered">;
  readonly truncate: TruncateOptions | undefined;
}

/** Upstream's words. @throws Error */
function optionsOf(flags: AuditFlags, backend: Backend): BackendOptions {
  const name = backend.toLowerCase();
  const mode = flags[`audit${backend}Mode`];
  if (!MODES.includes(mode)) {
    throw new Error(`invalid audit ${name} mode ${mode}, allowed modes are ${JSON.stringify(MODES.join(","))}`);
  }
  if (flags[`audit${backend}Version`] !== VERSION) {
    throw new Error(`invalid group version, allowed versions are [${JSON.stringify(VERSION)}]`);
  }
  const positive = (what: string, value: number): void => {
    if (value <= 0) throw new Error(`invalid audit ${what} ${value}, must be a positive number`);
  };
  const throttle = { qps: flags[`audit${backend}BatchThrottleQps`], burst: flags[`audit${backend}BatchThrottleBurst`] };
  const batches = {
    bufferSize: flags[`audit${backend}BatchBufferSize`],
    maxSize: flags[`audit${backend}BatchMaxSize`],
    maxWaitMs: flags[`audit${backend}BatchMaxWait`],
    throttle: enabled(flags[`audit${backend}BatchThrottleEnable`]) ? throttle : undefined,
  };
  // What is not used is not looked at.
  if (mode === "batch") {
    positive(`batch ${name} buffer size`, batches.bufferSize);
    positive(`batch ${name} max batch size`, batches.maxSize);
    if (batches.throttle !== undefined) {
      positive(`batch ${name} throttle QPS`, throttle.qps);
      positive(`batch ${name} throttle burst`, throttle.burst);
    }
  }
  const maxEventBytes = flags[`audit${backend}TruncateMaxEventSize`];
  const maxBatchBytes = flags[`audit${backend}TruncateMaxBatchSize`];
  positive(`truncate ${name} max event size`, maxEventBytes);
  if (maxBatchBytes < maxEventBytes) {
    const least = `must be greater than max event size (${maxEventBytes})`;
    throw new Error(`invalid audit truncate ${name} max batch size ${maxBatchBytes}, ${least}`);
  }
  const truncate = enabled(flags[`audit${backend}TruncateEnabled`]) ? { maxEventBytes, maxBatchBytes } : undefined;
  return { mode: mode as Mode, batches, truncate };
}

interface Target {
  readonly deliver: Deliver;
  /** Of what may not overtake each other. */
  readonly ordered: boolean;
  close(): Promise<void>;
}

function backendOf({ mode, batches }: BackendOptions, target: Target, env: Env, logger: Logger): AuditBackend {
  const { deliver, ordered } = target;
  const inner =
    mode === "batch"
      ? new AuditBatches({ ...batches, ordered }, deliver, env, logger)
      : blocking(deliver, mode === "blocking-strict");
  return {
    waits: inner.waits,
    write: (event) => inner.write(event),
    async close() {
      await inner.close();
      await target.close();
    },
  };
}

function makeWebhook(file: string, flags: AuditFlags, env: Env, logger: Logger): AuditBackend {
  const options = optionsOf(flags, "Webhook");
  const sender = createWebhookSender(readKubeconfig(file));
  const send = options.truncate === undefined ? sender.send : truncating(sender.send, options.truncate, logger);
  const deliver = withRetries({ send, env, logger }, flags.auditWebhookInitialBackoff);
  return backendOf(options, { deliver, ordered: false, close: () => sender.close() }, env, logger);
}

function makeLog(path: string, flags: AuditFlags, env: Env, logger: Logger): AuditBackend {
  const options = optionsOf(flags, "Log");
  const { auditLogMaxage: maxAgeDays, auditLogMaxbackup: maxBackups, auditLogMaxsize: maxSizeMegabytes } = flags;
  const file = createLogFile({ path, maxAgeDays, maxBackups, maxSizeMegabytes }, env);
  const append: SendBatch = (events) => file.append(events);
  const send = options.truncate === undefined ? append : truncating(append, options.truncate, logger);
  return backendOf(options, { deliver: once({ send, logger }), ordered: true, close: () => file.close() }, env, logger);
}

/** Undefined where nobody wants events. @throws Error where the policy or a flag is wrong */
export function makeAuditor(flags: AuditFlags, env: Env, logger: Logger): Auditor | undefined {
  if (flags.auditLogFormat !== "json") {
    throw new Error(`--audit-log-format: Unsupported value: "${flags.auditLogFormat}": supported values: "json"`);
  }
  const { auditPolicyFile: policyFile, auditLogPath: path, auditWebhookConfigFile: webhook } = flags;
  if (policyFile === undefined || (path === undefined && webhook === undefined)) {
    const half = policyFile !== undefined || path !== undefined || webhook !== undefined;
    if (half) {
      const needed = "they need --audit-policy-file, and --audit-log-path or --audit-webhook-config-file";
      logger.warn({}, `no audit events are recorded: ${needed}`);
    }
    return undefined;
  }
  const policy = parseAuditPolicy(readFileSync(policyFile, "utf8"));
  const backends: AuditBackend[] = [];
  if (path !== undefined) backends.push(makeLog(path, flags, env, logger));
  if (webhook !== undefined) backends.push(makeWebhook(webhook, flags, env, logger));
  return createAuditor({ policy, backend: allOf(backends), clock: env.clock });
}

function allOf(backends: readonly AuditBackend[]): AuditBackend {
  return {
    waits: backends.some(({ waits }) => waits),
    write(event) {
      const waiting = backends.map((backend) => backend.write(event)).filter((each) => each !== undefined);
      return waiting.length < 2 ? waiting[0] : Promise.all(waiting).then(() => undefined);
    },
    close: async () => void (await Promise.all(backends.map((backend) => backend.close()))),
  };
}
