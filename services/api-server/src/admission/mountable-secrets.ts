// Which Secrets a pod may name: those alone that its service account lists, where the account's annotation
// kubernetes.io/enforce-mountable-secrets says so. Pure.
// https://kubernetes.io/docs/concepts/security/service-accounts/#enforce-mountable-secrets
import type { Container, EphemeralContainer, PodSpec, ServiceAccount } from "@coxswain/api";
import { ENFORCE_MOUNTABLE_SECRETS } from "@coxswain/api/core-v1/service-account/service-account";

export function enforcesMountableSecrets(account: ServiceAccount): boolean {
  return /^(1|t|T|true|TRUE|True)$/.test(account.metadata?.annotations?.[ENFORCE_MOUNTABLE_SECRETS] ?? "");
}

const namesOf = (references: readonly { name?: string }[] = []): ReadonlySet<string> =>
  new Set(references.map(({ name = "" }) => name));

/** Why a new pod may not run as the account; undefined: it may. */
export function secretProblem(spec: PodSpec, account: ServiceAccount): string | undefined {
  const mountable = namesOf(account.secrets);
  for (const { secret } of spec.volumes ?? []) {
    const name = secret?.secretName ?? "";
    if (secret !== undefined && !mountable.has(name)) {
      return `volume with secret.secretName="${name}" ${notAllowed(account)} that secret`;
    }
  }
  const pulls = namesOf(account.imagePullSecrets);
  const pull = (spec.imagePullSecrets ?? []).findIndex(({ name = "" }) => !pulls.has(name));
  return (
    containersProblem("init container", spec.initContainers, account) ??
    containersProblem("container", spec.containers, account) ??
    (pull < 0
      ? undefined
      : `imagePullSecrets[${pull}].name="${spec.imagePullSecrets?.[pull]?.name ?? ""}" ${notAllowed(account)} that imagePullSecret`)
  );
}

/** Likewise of the ephemeral containers that a pod gets. */
export function ephemeralSecretProblem(spec: PodSpec, account: ServiceAccount): string | undefined {
  return containersProblem("ephemeral container", spec.ephemeralContainers, account);
}

const notAllowed = ({ metadata }: ServiceAccount): string =>
  `is not allowed because service account ${metadata?.name ?? ""} does not reference`;

function containersProblem(
  what: string,
  containers: readonly (Container | EphemeralContainer)[] = [],
  account: ServiceAccount,
): string | undefined {
  const mountable = namesOf(account.secrets);
  const refusal = (container: string, where: string, name: string): string =>
    `${what} ${container} with ${where} referencing secret.secretName="${name}" ${notAllowed(account)} that secret`;
  for (const { name, env = [], envFrom = [] } of containers) {
    for (const { name: variable, valueFrom } of env) {
      const secret = valueFrom?.secretKeyRef;
      if (secret && !mountable.has(secret.name ?? "")) return refusal(name, `envVar ${variable}`, secret.name ?? "");
    }
    for (const { secretRef } of envFrom) {
      if (secretRef && !mountable.has(secretRef.name ?? "")) return refusal(name, "envFrom", secretRef.name ?? "");
    }
  }
  return undefined;
}
