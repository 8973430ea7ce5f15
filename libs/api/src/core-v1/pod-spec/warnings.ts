// What upstream warns of when pods, or templates of pods, are written.
import type { KubeObject } from "@coxswain/apimachinery";
import { indexPath, validateDns1123Label } from "@coxswain/apimachinery";
import { sameValue } from "../../same-value.ts";
import type {
  Container,
  EphemeralContainer,
  EnvVar,
  Pod,
  PodAffinity,
  PodSpec,
  PodTemplateSpec,
} from "../../types.gen.ts";
import { ipWarnings } from "../../validation/ip.ts";
import { fractionWarnings } from "../../validation/resources.ts";
import { nodeTermWarnings, oldLabelMessage } from "../node-labels.ts";
import { SECCOMP_CONTAINER_PREFIX, SECCOMP_POD } from "../pod/annotations.ts";
import { annotatedProfile, APP_ARMOR_PREFIX } from "./app-armor.ts";
import { eachContainer } from "./each-container.ts";
import { portWarnings } from "./port-warnings.ts";
import { volumeWarnings } from "./volume-warnings.ts";

type Annotations = Readonly<Record<string, string>>;

const REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution";
const BYTES = ["memory", "ephemeral-storage"];
const OLD_ANNOTATIONS: Readonly<Record<string, string>> = {
  "scheduler.alpha.kubernetes.io/critical-pod": 'non-functional in v1.16+; use the "priorityClassName" field instead',
  "security.alpha.kubernetes.io/sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
  "security.alpha.kubernetes.io/unsafe-sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
};
const OLD_SECCOMP = 'non-functional in v1.27+; use the "seccompProfile" field instead';
const NO_SELECTOR = "a null labelSelector results in matching no pod";

/** One that replaces an earlier one, unless it builds on it: A=$(A)b. */
function repeatedEnv(env: readonly EnvVar[] | undefined, path: string): string[] {
  if (env === undefined || env.length < 2) return [];
  const seen = new Set<string>();
  return env.flatMap(({ name, value = "", valueFrom }, index) => {
    const known = seen.has(name);
    seen.add(name);
    const reference = `$(${name})`;
    if (!known || (valueFrom === undefined && value !== reference && value.includes(reference))) return [];
    return [`${path}.env[${index}]: hides previous definition of "${name}", which may be dropped when using apply`];
  });
}

function repeated(values: readonly string[], what: string, at: (index: number) => string): string[] {
  return values.flatMap((value, index) =>
    values.indexOf(value) < index ? [`${at(index)}: duplicate ${what} ${JSON.stringify(value)}`] : [],
  );
}

function nodeWarnings(spec: PodSpec, path: string): string[] {
  const { nodeAffinity } = spec.affinity ?? {};
  const at = `${path}.affinity.nodeAffinity`;
  const selector = Object.keys(spec.nodeSelector ?? {}).flatMap((key) => {
    const message = oldLabelMessage(key);
    return message === undefined ? [] : [`${path}.nodeSelector[${key}]: ${message}`];
  });
  const required = (nodeAffinity?.[REQUIRED]?.nodeSelectorTerms ?? []).flatMap((term, index) =>
    nodeTermWarnings(term, false, `${at}.${REQUIRED}.nodeSelectorTerms[${index}]`),
  );
  const preferred = (nodeAffinity?.[PREFERRED] ?? []).flatMap((term, index) =>
    nodeTermWarnings(term.preference, true, `${at}.${PREFERRED}[${index}].preference`),
  );
  const spread = (spec.topologySpreadConstraints ?? []).flatMap(({ topologyKey, labelSelector }, index) => {
    const here = `${path}.topologySpreadConstraints[${index}]`;
    const message = oldLabelMessage(topologyKey);
    const warnings = message === undefined ? [] : [`${here}.topologyKey: ${topologyKey} is ${message}`];
    return labelSelector ? warnings : [...warnings, `${here}.labelSelector: ${NO_SELECTOR}`];
  });
  return [...selector, ...required, ...preferred, ...spread];
}

function podTermWarnings(affinity: PodAffinity | undefined, path: string): string[] {
  const required = (affinity?.[REQUIRED] ?? []).flatMap(({ labelSelector }, index) =>
    labelSelector ? [] : [`${path}.${REQUIRED}[${index}].labelSelector: ${NO_SELECTOR}`],
  );
  const preferred = (affinity?.[PREFERRED] ?? []).flatMap(({ podAffinityTerm }, index) =>
    podAffinityTerm?.labelSelector
      ? []
      : [`${path}.${PREFERRED}[${index}].podAffinityTerm.labelSelector: ${NO_SELECTOR}`],
  );
  return [...required, ...preferred];
}

function containerWarnings(container: Container | EphemeralContainer, path: string): string[] {
  const { limits, requests } = container.resources ?? {};
  return [
    ...fractionWarnings(limits, BYTES, `${path}.resources.limits`),
    ...fractionWarnings(requests, BYTES, `${path}.resources.requests`),
    ...repeatedEnv(container.env, path),
  ];
}

/** Annotations that fields took the place of. */
function annotationWarnings(annotations: Annotations, spec: PodSpec, at: (key: string) => string): string[] {
  const old = Object.entries(OLD_ANNOTATIONS).filter(([key]) => annotations[key] !== undefined);
  const warnings = old.map(([key, message]) => `${at(key)}: ${message}`);
  if (annotations[SECCOMP_POD] !== undefined && !spec.securityContext?.seccompProfile) {
    warnings.push(`${at(SECCOMP_POD)}: ${OLD_SECCOMP}`);
  }
  eachContainer(spec, "", ({ name, securityContext }) => {
    const seccomp = SECCOMP_CONTAINER_PREFIX + name;
    if (annotations[seccomp] !== undefined && !securityContext?.seccompProfile) {
      warnings.push(`${at(seccomp)}: ${OLD_SECCOMP}`);
    }
    const armor = APP_ARMOR_PREFIX + name;
    const text = annotations[armor];
    // That of a new pod has been made a field by now.
    const profile = text === undefined ? undefined : annotatedProfile(text);
    const own = securityContext?.appArmorProfile;
    if (text === undefined || (own !== undefined && !sameValue(own, profile))) return;
    if (profile !== undefined && sameValue(profile, spec.securityContext?.appArmorProfile)) return;
    warnings.push(`${at(armor)}: deprecated since v1.30; use the "appArmorProfile" field instead`);
  });
  return warnings;
}

/** `path` is that of the spec; `at` of an annotation, by its key. */
function specWarnings(spec: PodSpec, annotations: Annotations, path: string, at: (key: string) => string): string[] {
  const aliases = spec.hostAliases ?? [];
  const secrets = (spec.imagePullSecrets ?? []).map(({ name = "" }) => name);
  const secretAt = (index: number): string => `${path}.imagePullSecrets[${index}].name`;
  const ofContainers: string[] = [];
  eachContainer(spec, path, (container, here) => ofContainers.push(...containerWarnings(container, here)));
  const grace = spec.terminationGracePeriodSeconds ?? 0;
  return [
    ...nodeWarnings(spec, path),
    ...annotationWarnings(annotations, spec, at),
    ...volumeWarnings(spec.volumes ?? [], `${path}.volumes`),
    ...repeated(
      aliases.map(({ ip }) => ip),
      "ip",
      (index) => `${path}.hostAliases[${index}].ip`,
    ),
    ...repeated(secrets, "name", secretAt),
    ...secrets.flatMap((name, index) => (name === "" ? [`${secretAt(index)}: invalid empty name ""`] : [])),
    ...fractionWarnings(spec.overhead, BYTES, `${path}.overhead`),
    ...ofContainers,
    ...portWarnings(spec, path),
    ...(grace < 0
      ? [`${path}.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1`]
      : []),
    ...podTermWarnings(spec.affinity?.podAffinity, `${path}.affinity.podAffinity`),
    ...podTermWarnings(spec.affinity?.podAntiAffinity, `${path}.affinity.podAntiAffinity`),
    ...(spec.dnsConfig?.nameservers ?? []).flatMap((server, index) =>
      ipWarnings(server, indexPath(`${path}.dnsConfig.nameservers`, index)),
    ),
    ...aliases.flatMap(({ ip }, index) => ipWarnings(ip, `${path}.hostAliases[${index}].ip`)),
  ];
}

function nameWarnings({ metadata }: KubeObject, use: string): string[] {
  const messages = metadata?.name ? validateDns1123Label(metadata.name) : [];
  if (messages.length === 0) return [];
  const recommended = `a DNS label is recommended: [${messages.join(" ")}]`;
  return [`metadata.name: this is used in ${use}, which can result in surprising behavior; ${recommended}`];
}

export function podWarnings(pod: Pod): string[] {
  const warnings = nameWarnings(pod, "the Pod's hostname");
  if (!pod.spec) return warnings;
  const annotations = pod.metadata?.annotations ?? {};
  return [...warnings, ...specWarnings(pod.spec, annotations, "spec", (key) => `metadata.annotations[${key}]`)];
}

/** Of a new object whose name its pods' names begin with. */
export function podNameWarnings(object: KubeObject, old: KubeObject | undefined): string[] {
  return old === undefined ? nameWarnings(object, "Pod names and hostnames") : [];
}

/** Of the template at `path` of an object that is new, or whose spec has changed. */
export function podTemplateWarnings(
  object: KubeObject,
  old: KubeObject | undefined,
  template: PodTemplateSpec | undefined,
  path = "spec.template",
): string[] {
  if (!template?.spec || (old && object.metadata?.generation === old.metadata?.generation)) return [];
  const annotations = template.metadata?.annotations ?? {};
  const at = (key: string): string => `${path}.metadata.annotations[${key}]`;
  return specWarnings(template.spec, annotations, `${path}.spec`, at);
}
