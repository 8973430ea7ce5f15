// doctor: what this machine lacks and the command that gets it; what Coxswain does not support.
import path from "node:path";
import type { Command } from "commander";
import { ETCD, findProgram, installHint, NATS_SERVER, repositoryRoot } from "@coxswain/cluster";
import { printTable } from "./table.ts";

interface Finding {
  readonly what: string;
  readonly ok: boolean;
  readonly detail: string;
}

/** What this version refuses, and what to use instead. */
export const UNSUPPORTED: readonly (readonly [string, string])[] = [
  ["real containers (--runtime containerd)", "pods run on the simulated runtime; it says so in logs and exec"],
  ["packets to Services", "kube-proxy plans its rules; ask it with gRPC Resolve"],
  ["kube-proxy in IPVS, iptables or nftables mode", "--proxy-mode simulated"],
  ["server-side apply (kubectl apply --server-side)", "client-side apply"],
  ["custom resources, webhooks, aggregated APIs", "built-in kinds"],
  ["StatefulSet, DaemonSet, Job, CronJob, autoscalers", "Deployment and ReplicaSet"],
  ["persistent volumes", "such pods stay Pending with the reason"],
  ["port-forward, cp", "logs and exec answer with simulated output"],
];

export function diagnose(): Finding[] {
  const tools = path.join(repositoryRoot(), ".tools");
  const major = Number(process.versions.node.split(".")[0]);
  const programs = [ETCD, NATS_SERVER].map((program) => {
    const found = findProgram(program.name, tools);
    return {
      what: program.name,
      ok: found !== undefined,
      detail: found ?? `needed for ${program.neededFor}: ${installHint(program)}`,
    };
  });
  return [
    { what: "Node", ok: major >= 24, detail: `${process.version} at ${process.execPath}` },
    {
      what: "platform",
      ok: ["linux", "darwin"].includes(process.platform),
      detail: `${process.platform} ${process.arch}`,
    },
    ...programs,
    {
      what: "npm",
      ok: findProgram("npm", tools) !== undefined,
      detail: findProgram("npm", tools) ?? "needed to get kubectl: install Node with npm",
    },
  ];
}

export function addDoctor(program: Command): void {
  program
    .command("doctor")
    .description("say what this machine lacks, and what Coxswain does not support")
    .action(() => {
      const findings = diagnose();
      printTable(
        ["CHECK", "", "DETAIL"],
        findings.map(({ what, ok, detail }) => [what, ok ? "ok" : "missing", detail]),
      );
      console.log("");
      printTable(["NOT SUPPORTED", "INSTEAD"], UNSUPPORTED);
      if (findings.some(({ ok }) => !ok)) process.exitCode = 1;
    });
}
