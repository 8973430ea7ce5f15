// The controller-manager's own flags, with upstream's names and defaults.
import { durationFlag } from "@coxswain/component-base/duration-flag";
import { InvalidArgumentError, type Command } from "commander";
import { readFileSync } from "node:fs";
import type { ControllerManagerOptions } from "./app.ts";
import type { AuthorityFiles } from "./certificates/load-authority.ts";

export interface Flags {
  readonly caFile: string;
  readonly maxEndpointsPerSlice: number;
  readonly mirroringMaxEndpointsPerSubset: number;
  readonly nodeMonitorGracePeriod: number;
  readonly nodeStartupGracePeriod: number;
  readonly nodeMonitorPeriod: number;
  readonly nodeEvictionRate: number;
  readonly secondaryNodeEvictionRate: number;
  readonly unhealthyZoneThreshold: number;
  readonly largeClusterSizeThreshold: number;
  readonly clusterCidr: string;
  readonly nodeCidrMaskSize?: number;
  readonly terminatedPodGcThreshold: number;
  readonly horizontalPodAutoscalerSyncPeriod: number;
  readonly horizontalPodAutoscalerDownscaleStabilization: number;
  readonly horizontalPodAutoscalerTolerance: number;
  readonly horizontalPodAutoscalerCpuInitializationPeriod: number;
  readonly horizontalPodAutoscalerInitialReadinessDelay: number;
  readonly serviceAccountPrivateKeyFile?: string;
  readonly clusterSigningCertFile?: string;
  readonly clusterSigningKeyFile?: string;
  readonly clusterSigningDuration: number;
  readonly legacyServiceAccountTokenCleanUpPeriod: number;
}

/** A duration above zero. */
function positiveDuration(text: string): number {
  const ms = durationFlag(text);
  if (ms <= 0) throw new InvalidArgumentError("must be longer than nothing");
  return ms;
}

function maskSize(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 8 || value > 30) throw new InvalidArgumentError("must be in 8..30");
  return value;
}

function threshold(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value)) throw new InvalidArgumentError("must be a whole number");
  return value;
}

function rate(text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value < 0) throw new InvalidArgumentError("must be a number of at least 0");
  return value;
}

function positive(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value <= 0) throw new InvalidArgumentError("must be a positive number");
  return value;
}

/** A share, as in 0.1. */
function share(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !(value >= 0)) throw new InvalidArgumentError("must be a number of at least 0");
  return value;
}

function addAutoscalerFlags(command: Command): void {
  const name = (rest: string): string => `--horizontal-pod-autoscaler-${rest}`;
  command
    .option(name("sync-period <duration>"), "how often autoscalers look at metrics", durationFlag, 15_000)
    .option(name("downscale-stabilization <duration>"), "how long one holds back before fewer", durationFlag, 300_000)
    .option(name("tolerance <share>"), "how far from its target use may be", share, 0.1)
    .option(name("cpu-initialization-period <duration>"), "how long CPU may be a start's", durationFlag, 300_000)
    .option(name("initial-readiness-delay <duration>"), "how long a pod may become ready", durationFlag, 30_000);
}

export function addFlags(command: Command): void {
  addAutoscalerFlags(command);
  command
    .option("--max-endpoints-per-slice <number>", "endpoints in one EndpointSlice", positive, 100)
    .option("--mirroring-max-endpoints-per-subset <number>", "endpoints mirrored of one subset", positive, 1_000)
    .option("--node-monitor-grace-period <duration>", "how long a node may be silent", durationFlag, 40_000)
    .option("--node-startup-grace-period <duration>", "how long a new node may be silent", durationFlag, 60_000)
    .option("--node-monitor-period <duration>", "how often nodes are looked at", durationFlag, 5_000)
    .option("--node-eviction-rate <number>", "nodes given up in a second, a zone", rate, 0.1)
    .option("--secondary-node-eviction-rate <number>", "the same in a large zone of bad health", rate, 0.01)
    .option("--unhealthy-zone-threshold <share>", "the share of silent nodes that is bad health", rate, 0.55)
    .option("--large-cluster-size-threshold <number>", "the nodes of a zone that is not large", threshold, 50)
    .option("--cluster-cidr <cidr>", "the addresses of all pods", "10.244.0.0/16")
    .option("--node-cidr-mask-size <bits>", "a node's share of them; fits the number of nodes where unset", maskSize)
    .option("--terminated-pod-gc-threshold <number>", "ended pods that are kept; 0 keeps all", threshold, 12_500)
    .option("--service-account-private-key-file <path>", "signs the tokens in Secrets; without it they get none")
    .option("--cluster-signing-cert-file <path>", "the CA that signs certificates; without it none are signed")
    .option("--cluster-signing-key-file <path>", "the CA's key")
    .option(
      "--cluster-signing-duration <duration>",
      "the longest life of a certificate",
      durationFlag,
      8_760 * 3_600_000,
    )
    .option(
      "--legacy-service-account-token-clean-up-period <duration>",
      "how long a token in a Secret may be unused before it is invalid, and invalid before it goes",
      positiveDuration,
      8_760 * 3_600_000,
    );
}

/** The app's options; reads the CA that is published in every namespace. */
export function optionsFrom(flags: Flags): ControllerManagerOptions {
  return {
    rootCa: readFileSync(flags.caFile, "utf8"),
    maxEndpointsPerSlice: flags.maxEndpointsPerSlice,
    mirroringMaxEndpointsPerSubset: flags.mirroringMaxEndpointsPerSubset,
    nodeMonitorGracePeriodMs: flags.nodeMonitorGracePeriod,
    nodeStartupGracePeriodMs: flags.nodeStartupGracePeriod,
    nodeMonitorPeriodMs: flags.nodeMonitorPeriod,
    nodeEvictionRate: flags.nodeEvictionRate,
    secondaryNodeEvictionRate: flags.secondaryNodeEvictionRate,
    unhealthyZoneThreshold: flags.unhealthyZoneThreshold,
    largeClusterSizeThreshold: flags.largeClusterSizeThreshold,
    clusterCidr: flags.clusterCidr,
    nodeCidrMaskSize: flags.nodeCidrMaskSize,
    terminatedPodGcThreshold: flags.terminatedPodGcThreshold,
    autoscalerSyncMs: flags.horizontalPodAutoscalerSyncPeriod,
    downscaleStabilizationMs: flags.horizontalPodAutoscalerDownscaleStabilization,
    autoscalerTolerance: flags.horizontalPodAutoscalerTolerance,
    cpuInitializationMs: flags.horizontalPodAutoscalerCpuInitializationPeriod,
    initialReadinessMs: flags.horizontalPodAutoscalerInitialReadinessDelay,
    clusterSigningDurationMs: flags.clusterSigningDuration,
    legacyTokenCleanUpPeriodMs: flags.legacyServiceAccountTokenCleanUpPeriod,
  };
}

/** Undefined where no CA is given. Throws where only half of one is. */
export function signingFiles(flags: Flags): AuthorityFiles | undefined {
  const { clusterSigningCertFile: certFile, clusterSigningKeyFile: keyFile } = flags;
  if (certFile === undefined && keyFile === undefined) return undefined;
  if (certFile === undefined) throw new Error("--cluster-signing-cert-file: Required value: there is a key file");
  if (keyFile === undefined) throw new Error("--cluster-signing-key-file: Required value: there is a certificate file");
  return { certFile, keyFile };
}
