// What upstream warns of in the volumes of pods: types that no longer work, and files that lie in each other's way.
import { indexPath } from "@coxswain/apimachinery";
import type { Volume, VolumeProjection } from "../../types.gen.ts";
import { claimSpecWarnings } from "../persistent-volume-claim/warnings.ts";

const OLD_TYPES: Readonly<Record<string, readonly [name: string, message: string]>> = {
  photonPersistentDisk: ["photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"],
  gitRepo: ["gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"],
  scaleIO: ["scaleIO", "deprecated in v1.16, non-functional in v1.22+"],
  flocker: ["flocker", "deprecated in v1.22, non-functional in v1.25+"],
  // Upstream's own spelling.
  storageos: ["storageOS", "deprecated in v1.22, non-functional in v1.25+"],
  quobyte: ["quobyte", "deprecated in v1.22, non-functional in v1.25+"],
  glusterfs: ["glusterfs", "deprecated in v1.25, non-functional in v1.26+"],
  cephfs: ["cephfs", "deprecated in v1.28, non-functional in v1.31+"],
  rbd: ["rbd", "deprecated in v1.28, non-functional in v1.31+"],
};

/** Of the fields of `owner`, which holds volumes' types, at `path`; `except` some that upstream says nothing of there. */
export function oldTypeWarnings(owner: object, path: string, except: readonly string[] = []): string[] {
  const types = Object.keys(owner).filter((name) => Object.hasOwn(OLD_TYPES, name) && !except.includes(name));
  return types.flatMap((type) => {
    const [name, message] = OLD_TYPES[type] ?? [];
    return name === undefined ? [] : [`${path}.${name}: ${message}`];
  });
}

interface File {
  readonly path: string;
  readonly source: string;
}

const shown = ({ path, source }: File): string =>
  source === "" ? JSON.stringify(path) : `${JSON.stringify(path)} (${source})`;

const filesOf = (items: readonly { path?: string }[] | undefined, source: string): File[] =>
  (items ?? []).map(({ path }) => ({ path: (path ?? "").replace(/\/+$/, ""), source }));

/** Files of one path, and files where another file has a folder. */
function overlaps(files: readonly File[]): string[] {
  return files.flatMap((file, index) =>
    files.slice(0, index).flatMap((other) => {
      if (file.path === "" || other.path === "") return [];
      const [here, there] = [`${file.path}/`, `${other.path}/`];
      return there.startsWith(here) || here.startsWith(there) ? [`${shown(file)} with ${shown(other)}`] : [];
    }),
  );
}

function projectedFiles({ configMap, secret, downwardAPI, serviceAccountToken: token }: VolumeProjection): File[] {
  if (configMap?.items) return filesOf(configMap.items, `ConfigMap ${JSON.stringify(configMap.name ?? "")}`);
  if (secret?.items) return filesOf(secret.items, `Secret ${JSON.stringify(secret.name ?? "")}`);
  if (downwardAPI?.items) return filesOf(downwardAPI.items, "DownwardAPI");
  return token ? filesOf([token], "ServiceAccountToken") : [];
}

function overlapWarnings({ name, configMap, secret, downwardAPI, projected }: Volume): string[] {
  const volume = `volume ${JSON.stringify(name)}`;
  const warn = (what: string, files: readonly File[]): string[] =>
    overlaps(files).map((text) => `${volume} (${what}): overlapping paths: ${text}`);
  const sources = projected?.sources ?? [];
  const empty = sources.filter((source) => Object.keys(source).length === 0);
  return [
    ...(configMap ? warn(`ConfigMap ${JSON.stringify(configMap.name ?? "")}`, filesOf(configMap.items, "")) : []),
    ...(secret ? warn(`Secret ${JSON.stringify(secret.secretName ?? "")}`, filesOf(secret.items, "")) : []),
    ...(downwardAPI ? warn("DownwardAPI", filesOf(downwardAPI.items, "")) : []),
    ...empty.map(() => `${volume} (Projected) has no sources provided`),
    ...(projected ? warn("Projected", sources.flatMap(projectedFiles)) : []),
  ];
}

/** Of the volumes at `path`. */
export function volumeWarnings(volumes: readonly Volume[], path: string): string[] {
  const types = volumes.flatMap((volume, index) => {
    const at = indexPath(path, index);
    const template = volume.ephemeral?.volumeClaimTemplate;
    const claim = template ? claimSpecWarnings(template.spec, `${at}.ephemeral.volumeClaimTemplate.spec`) : [];
    return [...oldTypeWarnings(volume, at), ...claim];
  });
  return [...types, ...volumes.flatMap(overlapWarnings)];
}
