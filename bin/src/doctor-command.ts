// doctor: what this machine lacks and the command that gets it; what Coxswain does not support.
import path from "node:path";
import type { Command } from "commander";
import { ETCD, findProgram, installHint, NATS_SERVER, nodeRuntimeMissing, repositoryRoot } from "@coxswain/cluster";
import { printTable } from "./table.ts";

interface Finding {
  readonly what: string;
  readonly ok: boolean;
  readonly detail: string;
  /** Coxswain works without it. */
  readonly optional?: boolean;
}

/** What this version refuses, and what to use instead. */
export const UNSUPPORTED: readonly (readonly [string, string])[] = [
  ["real containers without root or Linux", "--runtime simulated: pods have states and addresses, and run no program"],
  ["kube-proxy in IPVS or iptables mode", "--proxy-mode nftables (needs no kernel module ip_vs)"],
  ["UDP through `expose`", "TCP, or ask from inside the cluster"],
  ["names outside the cluster through its DNS", "addresses"],
  [
    "StatefulSet, ReplicationController, autoscalers",
    "Deployment, DaemonSet, Job, CronJob; the others are stored only",
  ],
  ["persistent volumes", "emptyDir and hostPath; pods that claim one stay Pending with the reason"],
  ["NetworkPolicy, Ingress, load balancers", "ClusterIP and NodePort Services, `expose`"],
  ["conversion webhooks, admission policies", "admission webhooks; schemas and CEL rules of custom resources"],
  ["inter-pod affinity and preemption", "topology spread, node affinity, taints"],
  ["port-forward and cp on simulated nodes", "logs and exec answer with simulated output"],
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
    realNodes(tools),
    {
      what: "npm",
      ok: findProgram("npm", tools) !== undefined,
      detail: findProgram("npm", tools) ?? "needed to get kubectl: install Node with npm",
    },
  ];
}

/** Not an error where it is missing: simulated nodes need none of it. */
function realNodes(tools: string): Finding {
  const missing = nodeRuntimeMissing(tools);
  const detail = missing === undefined ? "root, namespaces, containerd and its programs" : `${missing}: optional`;
  return { what: "real containers", ok: missing === undefined, optional: true, detail };
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
      if (findings.some(({ ok, optional }) => !ok && optional !== true)) process.exitCode = 1;
    });
}
