// ServiceAccount: every pod runs as a service account that exists, gets its token mounted unless somebody opts out, and names no
// Secrets that the account does not allow. Mirror pods name no objects at all.
import type { ServiceAccount, Volume } from "@coxswain/api";
import { newForbidden, type KubeObject } from "@coxswain/apimachinery";
import { MIRROR_ANNOTATION } from "@coxswain/api/core-v1/pod/annotations";
import { podReferences } from "@coxswain/api/core-v1/pod/references";
import type { Random } from "@coxswain/env";
import type { AdmissionAttributes, AdmissionPlugin, ObjectSource } from "../pipeline/extension.ts";
import { createdPod, debuggedPod, type CreatedPod } from "./created-pod.ts";
import { enforcesMountableSecrets, ephemeralSecretProblem, secretProblem } from "./mountable-secrets.ts";

const SERVICE_ACCOUNTS = { group: "", resource: "serviceaccounts" };
const MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount";
const VOLUME_PREFIX = "kube-api-access-";

type Asked = Pick<AdmissionAttributes, "kind" | "namespace" | "name">;

export function createServiceAccountAdmission(
  source: ObjectSource,
  read: (namespace: string, name: string) => Promise<KubeObject | undefined>,
  random: Random,
): AdmissionPlugin {
  function become(found: ServiceAccount | undefined, pod: CreatedPod, { kind, namespace, name }: Asked): void {
    const { spec } = pod;
    if (found === undefined) {
      const account = spec.serviceAccountName ?? "";
      throw newForbidden(
        kind,
        name,
        `error looking up service account ${namespace}/${account}: serviceaccount ${JSON.stringify(account)} not found`,
      );
    }
    if (spec.automountServiceAccountToken ?? found.automountServiceAccountToken ?? true) mountToken(pod, random);
    const secrets = found.imagePullSecrets ?? [];
    if ((spec.imagePullSecrets ?? []).length === 0 && secrets.length > 0) {
      spec.imagePullSecrets = secrets.map((secret) => ({ name: secret.name }));
    }
  }

  return {
    name: "ServiceAccount",
    admit(attributes): void | Promise<void> {
      const { namespace } = attributes;
      const pod = createdPod(attributes);
      if (pod === undefined) return;
      if (pod.metadata?.annotations?.[MIRROR_ANNOTATION] !== undefined) return;
      const { spec } = pod;
      spec.serviceAccountName ||= "default";
      spec.serviceAccount = spec.serviceAccountName;
      const account = spec.serviceAccountName;
      const found = source.get(SERVICE_ACCOUNTS, namespace, account)?.object;
      if (found === undefined) return read(namespace, account).then((stored) => become(stored, pod, attributes));
      become(found, pod, attributes);
    },
    validate(attributes): void | Promise<void> {
      const created = createdPod(attributes);
      if (created?.metadata?.annotations?.[MIRROR_ANNOTATION] !== undefined) return checkMirror(created, attributes);
      const problemOf = created === undefined ? ephemeralSecretProblem : secretProblem;
      const pod = created ?? debuggedPod(attributes);
      if (pod === undefined) return;
      const check = (account: ServiceAccount | undefined): void => {
        if (account === undefined || !enforcesMountableSecrets(account)) return;
        const problem = problemOf(pod.spec, account);
        if (problem !== undefined) throw newForbidden(attributes.kind, attributes.name, problem);
      };
      const name = pod.spec.serviceAccountName ?? "";
      const found = source.get(SERVICE_ACCOUNTS, attributes.namespace, name)?.object;
      return found === undefined ? read(attributes.namespace, name).then(check) : check(found);
    },
  };
}

/** What a kubelet shows of a pod that it was given by a file is asked for by nobody. Tokens need an account. */
function checkMirror({ spec }: CreatedPod, { kind, name }: AdmissionAttributes): void {
  const refuse = (what: string): never => {
    throw newForbidden(kind, name, `a mirror pod may not ${what}`);
  };
  if (spec.serviceAccountName) refuse("reference service accounts");
  if (podReferences({ spec }).secrets.size > 0) refuse("reference secrets");
}

function mountToken({ spec }: CreatedPod, random: Random): void {
  const named = spec.volumes as readonly Partial<Volume>[] | undefined;
  const present = named?.find((volume) => volume.name?.startsWith(VOLUME_PREFIX));
  const name = present?.name ?? VOLUME_PREFIX + random.nameSuffix(5);
  let mounted = false;
  for (const container of [...(spec.initContainers ?? []), ...spec.containers]) {
    if (container.volumeMounts?.some((mount) => mount.mountPath === MOUNT_PATH)) continue;
    container.volumeMounts = [...(container.volumeMounts ?? []), { name, readOnly: true, mountPath: MOUNT_PATH }];
    mounted = true;
  }
  if (mounted && present === undefined) spec.volumes = [...(spec.volumes ?? []), tokenVolume(name)];
}

/** Token, cluster CA and namespace, as one projected volume. */
function tokenVolume(name: string): Volume {
  return {
    name,
    projected: {
      defaultMode: 420,
      sources: [
        { serviceAccountToken: { expirationSeconds: 3607, path: "token" } },
        { configMap: { name: "kube-root-ca.crt", items: [{ key: "ca.crt", path: "ca.crt" }] } },
        {
          downwardAPI: {
            items: [{ path: "namespace", fieldRef: { apiVersion: "v1", fieldPath: "metadata.namespace" } }],
          },
        },
      ],
    },
  };
}
