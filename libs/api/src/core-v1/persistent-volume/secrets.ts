// The Secrets that a kubelet needs to mount a volume. https://kubernetes.io/docs/concepts/storage/persistent-volumes/
import type { PersistentVolume } from "../../index.ts";

export interface SecretName {
  readonly namespace: string;
  readonly name: string;
}

/** What a driver's controller alone reads is not among them. Where a source names no namespace, it is the claim's. */
export function volumeSecrets({ spec }: PersistentVolume): SecretName[] {
  const found: SecretName[] = [];
  const claimed = spec?.claimRef?.namespace ?? "";
  const add = (name: string | undefined, namespace: string | undefined): void => {
    if (name) found.push({ name, namespace: namespace || claimed });
  };
  const { azureFile, csi, cephfs, cinder, flexVolume, iscsi, rbd, scaleIO, storageos } = spec ?? {};
  add(azureFile?.secretName, azureFile?.secretNamespace);
  const drivers = [csi?.nodePublishSecretRef, csi?.nodeStageSecretRef, csi?.nodeExpandSecretRef];
  for (const source of [cephfs, cinder, flexVolume, iscsi, rbd, scaleIO, storageos]) drivers.push(source?.secretRef);
  for (const secret of drivers) add(secret?.name, secret?.namespace);
  return found;
}
