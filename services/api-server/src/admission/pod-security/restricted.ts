// What the restricted level of the Pod Security Standards asks beyond the baseline. Pure; in the order in which violations are
// told. https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
import { badSeccomp, unmaskedProc } from "./baseline.ts";
import {
  type AnyContainer,
  type Check,
  containersOf,
  hasOwnUsers,
  isWindows,
  named,
  namesWhere,
  plural,
  quoted,
  setters,
  sorted,
  type Subject,
  type Violation,
} from "./check.ts";

const VOLUMES = new Set([
  "configMap",
  "csi",
  "downwardAPI",
  "emptyDir",
  "ephemeral",
  "persistentVolumeClaim",
  "projected",
  "secret",
]);

function allowPrivilegeEscalation(subject: Subject): Violation | undefined {
  if (subject.minor < 8 || isWindows(subject)) return undefined;
  const names = namesWhere(subject.spec, ({ securityContext }) => securityContext?.allowPrivilegeEscalation !== false);
  if (names.length === 0) return undefined;
  const detail = `${named(names)} must set securityContext.allowPrivilegeEscalation=false`;
  return { reason: "allowPrivilegeEscalation != false", detail };
}

function capabilities(subject: Subject): Violation | undefined {
  if (subject.minor < 22 || isWindows(subject)) return undefined;
  const { spec } = subject;
  const excess = ({ securityContext }: AnyContainer): string[] =>
    (securityContext?.capabilities?.add ?? []).filter((name) => name !== "NET_BIND_SERVICE");
  const keeping = namesWhere(
    spec,
    ({ securityContext }) => !(securityContext?.capabilities?.drop ?? []).includes("ALL"),
  );
  const adding = namesWhere(spec, (container) => excess(container).length > 0);
  const details: string[] = [];
  if (keeping.length > 0) details.push(`${named(keeping)} must set securityContext.capabilities.drop=["ALL"]`);
  if (adding.length > 0) {
    const added = quoted(sorted(containersOf(spec).flatMap(excess)));
    details.push(`${named(adding)} must not include ${added} in securityContext.capabilities.add`);
  }
  return details.length === 0 ? undefined : { reason: "unrestricted capabilities", detail: details.join("; ") };
}

/** Users of the pod's own excuse nothing here. */
function procMount(subject: Subject): Violation | undefined {
  return subject.minor < 35 ? undefined : unmaskedProc(subject);
}

function restrictedVolumes({ spec }: Subject): Violation | undefined {
  const typeOf = (volume: object): string => Object.keys(volume).find((key) => key !== "name") ?? "unknown";
  const bad = (spec.volumes ?? []).filter((volume) => !VOLUMES.has(typeOf(volume)));
  if (bad.length === 0) return undefined;
  const types = sorted(bad.map(typeOf));
  const what = plural("restricted volume type", "restricted volume types", types.length);
  const volumes = named(
    bad.map(({ name }) => name),
    "volume",
  );
  return {
    reason: "restricted volume types",
    detail: `${volumes} ${plural("uses", "use", bad.length)} ${what} ${quoted(types)}`,
  };
}

function runAsNonRoot(subject: Subject): Violation | undefined {
  if (hasOwnUsers(subject)) return undefined;
  const { spec } = subject;
  const reason = "runAsNonRoot != true";
  const pod = spec.securityContext?.runAsNonRoot;
  const ofContainer = ({ securityContext }: AnyContainer) => securityContext?.runAsNonRoot;
  const who = setters(
    pod === false,
    namesWhere(spec, (container) => ofContainer(container) === false),
  );
  if (who.length > 0) return { reason, detail: `${who.join(" and ")} must not set securityContext.runAsNonRoot=false` };
  const silent = pod === true ? [] : namesWhere(spec, (container) => ofContainer(container) === undefined);
  if (silent.length === 0) return undefined;
  return { reason, detail: `pod or ${named(silent)} must set securityContext.runAsNonRoot=true` };
}

function runAsUser(subject: Subject): Violation | undefined {
  if (subject.minor < 23 || hasOwnUsers(subject)) return undefined;
  const { spec } = subject;
  const who = setters(
    spec.securityContext?.runAsUser === 0,
    namesWhere(spec, ({ securityContext }) => securityContext?.runAsUser === 0),
  );
  return who.length === 0
    ? undefined
    : { reason: "runAsUser=0", detail: `${who.join(" and ")} must not set runAsUser=0` };
}

function seccompProfile(subject: Subject): Violation | undefined {
  if (subject.minor >= 19 && isWindows(subject)) return undefined;
  const bad = badSeccomp(subject);
  if (bad !== undefined || subject.minor < 19) return bad;
  const { spec } = subject;
  if (spec.securityContext?.seccompProfile?.type !== undefined) return undefined;
  const silent = namesWhere(spec, ({ securityContext }) => securityContext?.seccompProfile?.type === undefined);
  if (silent.length === 0) return undefined;
  const detail = `pod or ${named(silent)} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"`;
  return { reason: "seccompProfile", detail };
}

export const RESTRICTED: readonly Check[] = [
  allowPrivilegeEscalation,
  capabilities,
  procMount,
  restrictedVolumes,
  runAsNonRoot,
  runAsUser,
  seccompProfile,
];
