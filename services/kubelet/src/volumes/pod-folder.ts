// Where a pod's things are on its node's disk, as upstream lays them out. Pure.

const UID = /^[0-9A-Za-z][0-9A-Za-z._-]*$/;
export const EMPTY_DIR = "kubernetes.io~empty-dir";
export const LOCAL_VOLUME = "kubernetes.io~local-volume";
export const IMAGE_VOLUME = "kubernetes.io~image";

export interface PodFolder {
  /** "/var/lib/kubelet/pods/<uid>" */
  readonly root: string;
  readonly etcHosts: string;
  volume(plugin: string, name: string): string;
  /** The folder of all volumes of one kind. */
  volumes(plugin: string): string;
  /** Is there once the volume has been made ready. */
  readyMark(plugin: string, name: string): string;
  subPath(volume: string, container: string, index: number): string;
  terminationLog(container: string, attempt: number): string;
}

export function podsFolder(rootDir: string): string {
  return `${rootDir}/pods`;
}

/** Throws where the uid could lead elsewhere. */
export function podFolder(rootDir: string, uid: string): PodFolder {
  if (!UID.test(uid)) throw new Error(`${JSON.stringify(uid)} is no uid of a pod`);
  const root = `${podsFolder(rootDir)}/${uid}`;
  return {
    root,
    etcHosts: `${root}/etc-hosts`,
    volumes: (plugin) => `${root}/volumes/${plugin}`,
    volume: (plugin, name) => `${root}/volumes/${plugin}/${name}`,
    readyMark: (plugin, name) => `${root}/plugins/${plugin}/${name}/ready`,
    subPath: (volume, container, index) => `${root}/volume-subpaths/${volume}/${container}/${index}`,
    terminationLog: (container, attempt) => `${root}/containers/${container}/${attempt}`,
  };
}
