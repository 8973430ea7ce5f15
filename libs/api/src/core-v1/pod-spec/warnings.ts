// What upstream warns of when pods, or templates of pods, are written.
import { validateDns1123Label } from "@coxswain/apimachinery";
import { sameValue } from "../../same-value.ts";
import { ipWarnings } from "../../validation/ip.ts";
import type { EnvVar, Pod, PodSpec, PodTemplateSpec } from "../../types.gen.ts";

const OLD_NODE_LABELS: Record<string, string> = {
  "beta.kubernetes.io/arch": "kubernetes.io/arch",
  "beta.kubernetes.io/os": "kubernetes.io/os",
  "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
  "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
  "beta.kubernetes.io/instance-type": "node.kubernetes.io/instance-type",
};

function repeatedEnv(env: readonly EnvVar[] | undefined, path: string): string[] {
  const all = env ?? [];
  return all.flatMap((variable, index) => {
    const before = all.findLastIndex((other, place) => place < index && other.name === variable.name);
    if (before < 0) return [];
    return [
      `${path}.env[${index}]: hides previous definition of "${variable.name}", which may be dropped when using apply`,
    ];
  });
}

function containerWarnings(spec: PodSpec, path: string): string[] {
  const lists = ["initContainers", "containers"] as const;
  return lists.flatMap((list) =>
    (spec[list] ?? []).flatMap((container, index) => repeatedEnv(container.env, `${path}.${list}[${index}]`)),
  );
}

function specWarnings(spec: PodSpec, path: string): string[] {
  const warnings: string[] = [];
  for (const key of Object.keys(spec.nodeSelector ?? {})) {
    const now = OLD_NODE_LABELS[key];
    if (now) warnings.push(`${path}.nodeSelector[${key}]: deprecated since v1.14; use "${now}" instead`);
  }
  for (const [index, alias] of (spec.hostAliases ?? []).entries()) {
    const first = spec.hostAliases?.findIndex((other) => other.ip === alias.ip) ?? index;
    if (first < index) warnings.push(`${path}.hostAliases[${index}].ip: duplicates hostAliases[${first}].ip`);
  }
  for (const [index, volume] of (spec.volumes ?? []).entries()) {
    if (volume.gitRepo)
      warnings.push(`${path}.volumes[${index}].gitRepo: deprecated in v1.11, and disabled by default in v1.33+`);
    if (volume.glusterfs)
      warnings.push(`${path}.volumes[${index}].glusterfs: deprecated in v1.25, non-functional in v1.26+`);
  }
  for (const [index, secret] of (spec.imagePullSecrets ?? []).entries()) {
    if (!secret.name) {
      warnings.push(`${path}.imagePullSecrets[${index}].name: invalid empty name ""`);
    }
  }
  for (const [index, server] of (spec.dnsConfig?.nameservers ?? []).entries()) {
    warnings.push(...ipWarnings(server, `${path}.dnsConfig.nameservers[${index}]`));
  }
  for (const [index, { ip }] of (spec.hostAliases ?? []).entries()) {
    warnings.push(...ipWarnings(ip, `${path}.hostAliases[${index}].ip`));
  }
  const grace = spec.terminationGracePeriodSeconds;
  if (grace !== undefined && grace < 0) {
    warnings.push(
      `${path}.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1`,
    );
  }
  return [...warnings, ...containerWarnings(spec, path)];
}

export function podWarnings(pod: Pod): string[] {
  const warnings: string[] = [];
  const messages = validateDns1123Label(pod.metadata?.name ?? "");
  if (pod.metadata?.name && messages.length > 0) {
    warnings.push(
      `metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: [${messages.join(" ")}]`,
    );
  }
  return pod.spec ? [...warnings, ...specWarnings(pod.spec, "spec")] : warnings;
}

/** Warnings of a template under spec.template; none where an update leaves it as it was. */
export function podTemplateWarnings(template: PodTemplateSpec | undefined, old?: PodTemplateSpec): string[] {
  if (!template?.spec || (old && sameValue(template, old))) return [];
  return specWarnings(template.spec, "spec.template.spec");
}
