// The flags of auditing, named as upstream's, and the auditor that they ask for.
// https://kubernetes.io/docs/reference/command-line-tools-reference/kube-apiserver/
import { readFileSync } from "node:fs";
import type { Logger } from "@coxswain/component-base";
import type { Env } from "@coxswain/env";
import { InvalidArgumentError, type Command } from "commander";
import { createAuditor, type AuditBackend, type Auditor } from "./auditor.ts";
import { AuditBatches } from "./batches.ts";
import { createLogFile } from "./log-file.ts";
import { parseAuditPolicy } from "./policy.ts";
import { truncating } from "./truncate.ts";
import { createWebhookSender, readWebhookConfig } from "./webhook.ts";

export interface AuditFlags {
  readonly auditPolicyFile?: string;
  readonly auditLogPath?: string;
  readonly auditLogMaxage: number;
  readonly auditLogMaxbackup: number;
  readonly auditLogMaxsize: number;
  readonly auditLogFormat: string;
  readonly auditWebhookConfigFile?: string;
  readonly auditWebhookMode: string;
  readonly auditWebhookVersion: string;
  /** All times in ms. */
  readonly auditWebhookInitialBackoff: number;
  readonly auditWebhookBatchBufferSize: number;
  readonly auditWebhookBatchMaxSize: number;
  readonly auditWebhookBatchMaxWait: number;
  readonly auditWebhookBatchThrottleEnable: string | boolean;
  readonly auditWebhookBatchThrottleQps: number;
  readonly auditWebhookBatchThrottleBurst: number;
  readonly auditWebhookTruncateEnabled: string | boolean;
  readonly auditWebhookTruncateMaxBatchSize: number;
  readonly auditWebhookTruncateMaxEventSize: number;
}

const MODES = ["batch", "blocking", "blocking-strict"];
const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

function count(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError("must be a whole number, at least 0");
  return Number(text);
}

function rate(text: string): number {
  const value = Number(text);
  if (text === "" || !Number.isFinite(value)) throw new InvalidArgumentError("must be a number");
  return value;
}

/** As Go writes it, as in 1m30s. */
function duration(text: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)];
  if (parts.length === 0 || parts.map(([part]) => part).join("") !== text) {
    throw new InvalidArgumentError(`invalid duration ${JSON.stringify(text)}`);
  }
  return parts.reduce((sum, [, amount, unit = ""]) => sum + Number(amount) * UNITS[unit]!, 0);
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
    .option("--audit-webhook-mode <mode>", "batch: no request waits for it", "batch")
    .option("--audit-webhook-version <version>", "of the events", "audit.k8s.io/v1")
    .option("--audit-webhook-initial-backoff <duration>", "before a second attempt to send a batch", duration, 10_000)
    .option("--audit-webhook-batch-buffer-size <events>", "events that wait, before more are lost", count, 10_000)
    .option("--audit-webhook-batch-max-size <events>", "of one batch", count, 400)
    .option("--audit-webhook-batch-max-wait <duration>", "before a batch goes that is not full", duration, 30_000)
    .option("--audit-webhook-batch-throttle-enable [boolean]", "limit how often batches go", "true")
    .option("--audit-webhook-batch-throttle-qps <batches>", "a second", rate, 10)
    .option("--audit-webhook-batch-throttle-burst <batches>", "at once after a pause", count, 15)
    .option("--audit-webhook-truncate-enabled [boolean]", "leave objects out of large events", "false")
    .option("--audit-webhook-truncate-max-batch-size <bytes>", "of events that go at once", count, 10 * 1024 * 1024)
    .option("--audit-webhook-truncate-max-event-size <bytes>", "of one event", count, 100 * 1024);
}

const enabled = (value: string | boolean): boolean => String(value) !== "false";

/** Upstream's words. @throws Error */
function validateWebhook(flags: AuditFlags): void {
  const { auditWebhookMode: mode, auditWebhookVersion: version } = flags;
  if (!MODES.includes(mode)) {
    throw new Error(`invalid audit webhook mode ${mode}, allowed modes are ${JSON.stringify(MODES.join(","))}`);
  }
  if (mode !== "batch") throw new Error(`--audit-webhook-mode: ${mode} is not supported: requests never wait for it`);
  if (version !== "audit.k8s.io/v1") throw new Error('invalid group version, allowed versions are ["audit.k8s.io/v1"]');
  const positive = (what: string, value: number): void => {
    if (value <= 0) throw new Error(`invalid audit batch webhook ${what} ${value}, must be a positive number`);
  };
  positive("buffer size", flags.auditWebhookBatchBufferSize);
  positive("max batch size", flags.auditWebhookBatchMaxSize);
  if (!enabled(flags.auditWebhookBatchThrottleEnable)) return;
  positive("throttle QPS", flags.auditWebhookBatchThrottleQps);
  positive("throttle burst", flags.auditWebhookBatchThrottleBurst);
}

function makeWebhook(file: string, flags: AuditFlags, env: Env, logger: Logger): AuditBackend {
  validateWebhook(flags);
  const sender = createWebhookSender(readWebhookConfig(file));
  const limits = {
    maxEventBytes: flags.auditWebhookTruncateMaxEventSize,
    maxBatchBytes: flags.auditWebhookTruncateMaxBatchSize,
  };
  const send = enabled(flags.auditWebhookTruncateEnabled) ? truncating(sender.send, limits, logger) : sender.send;
  const throttle = { qps: flags.auditWebhookBatchThrottleQps, burst: flags.auditWebhookBatchThrottleBurst };
  const options = {
    bufferSize: flags.auditWebhookBatchBufferSize,
    maxSize: flags.auditWebhookBatchMaxSize,
    maxWaitMs: flags.auditWebhookBatchMaxWait,
    throttle: enabled(flags.auditWebhookBatchThrottleEnable) ? throttle : undefined,
    initialBackoffMs: flags.auditWebhookInitialBackoff,
  };
  const batches = new AuditBatches(options, send, env, logger);
  return {
    write: (event) => batches.write(event),
    async close() {
      await batches.close();
      await sender.close();
    },
  };
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
  const { auditLogMaxage: maxAgeDays, auditLogMaxbackup: maxBackups, auditLogMaxsize: maxSizeMegabytes } = flags;
  const backends: AuditBackend[] = [];
  if (path !== undefined) {
    backends.push(createLogFile({ path, maxAgeDays, maxBackups, maxSizeMegabytes }, env, logger));
  }
  if (webhook !== undefined) backends.push(makeWebhook(webhook, flags, env, logger));
  return createAuditor({ policy, backend: allOf(backends), clock: env.clock });
}

function allOf(backends: readonly AuditBackend[]): AuditBackend {
  return {
    write(event) {
      for (const backend of backends) backend.write(event);
    },
    close: async () => void (await Promise.all(backends.map((backend) => backend.close()))),
  };
}
