// What a node knows of the images that its kubelet pulled: under which names, and who may use them. Pure. An image is only for those
// who could have pulled it themselves; one that lay on the node before the kubelet looked is for everybody.
// https://kubernetes.io/docs/concepts/containers/images/#ensureimagepullcredentialverification
import { parseImageName } from "../cri/image-name.ts";

/** A Secret with which an image was pulled, or may be. */
export interface PullSecret {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly credentialHash: string;
}

export interface PullCredentials {
  readonly kubernetesSecrets?: readonly PullSecret[];
  /** Pulled as nobody: for all pods of the node. */
  readonly nodePodsAccessible?: boolean;
}

/** In the form of upstream's ImagePulledRecord. */
export interface PulledRecord {
  /** How the runtime calls the image. */
  readonly imageRef: string;
  readonly lastUpdatedTime: string;
  /** By repository. Pulled by nobody knows whom where one is missing. */
  readonly credentialMapping: Readonly<Record<string, PullCredentials>>;
  /** The full names under which it was pulled: those that can be pulled again. Not upstream's. */
  readonly images: readonly string[];
}

/** Records are not written for ever more secrets that merely turned out to do. */
const MAX_LEARNED_SECRETS = 100;

const repositoryOf = (image: string): string => parseImageName(image)?.repository ?? image;
const fullNameOf = (image: string): string => parseImageName(image)?.full ?? image;

export function emptyRecord(imageRef: string, time: string): PulledRecord {
  return { imageRef, lastUpdatedTime: time, credentialMapping: {}, images: [] };
}

const samePlace = (one: PullSecret, other: PullSecret): boolean =>
  one.uid === other.uid && one.namespace === other.namespace && one.name === other.name;

function withSecret(known: readonly PullSecret[], secret: PullSecret): readonly PullSecret[] {
  const before = known.find((one) => samePlace(one, secret));
  if (before?.credentialHash === secret.credentialHash) return known;
  return [...known.filter((one) => one !== before), secret];
}

function mergeCredentials(known: PullCredentials | undefined, secret: PullSecret | "everybody"): PullCredentials {
  if (known?.nodePodsAccessible === true) return known;
  if (secret === "everybody") return { nodePodsAccessible: true };
  const before = known?.kubernetesSecrets ?? [];
  const after = withSecret(before, secret);
  return after === before && known !== undefined ? known : { kubernetesSecrets: after };
}

/** The record once the image was pulled so. Undefined as `by`: nobody knows how. The record itself where that is nothing new. */
export function withPull(
  record: PulledRecord,
  image: string,
  by: PullSecret | "everybody" | undefined,
  time: string,
): PulledRecord {
  const repository = repositoryOf(image);
  const before = record.credentialMapping[repository];
  const credentials = by === undefined ? before : mergeCredentials(before, by);
  const name = fullNameOf(image);
  const images = record.images.includes(name) ? record.images : [...record.images, name];
  if (credentials === before && images === record.images) return record;
  const credentialMapping =
    credentials === undefined ? record.credentialMapping : { ...record.credentialMapping, [repository]: credentials };
  return { ...record, lastUpdatedTime: time, credentialMapping, images };
}

/**
 * Whether one of the secrets shows that its pod may use the image; then `learned` is what the record should know besides. "ask" where
 * secrets decide and are not given.
 */
export function accessOf(
  record: PulledRecord,
  image: string,
  secrets: readonly PullSecret[] | undefined,
): { readonly allowed: boolean; readonly learned?: PullSecret } | "ask" {
  const known = record.credentialMapping[repositoryOf(image)];
  if (known?.nodePodsAccessible === true) return { allowed: true };
  const accepted = known?.kubernetesSecrets ?? [];
  if (accepted.length === 0) return { allowed: false };
  if (secrets === undefined) return "ask";
  for (const secret of secrets) {
    const match = accepted.find((one) => one.credentialHash === secret.credentialHash || samePlace(one, secret));
    if (match === undefined) continue;
    const whole = match.credentialHash === secret.credentialHash && samePlace(match, secret);
    if (whole || accepted.length >= MAX_LEARNED_SECRETS) return { allowed: true };
    return { allowed: true, learned: secret };
  }
  return { allowed: false };
}

/** True where each of the image's tags was pulled, and so can be pulled again: an image that somebody put there has others. */
export function canBePulledAgain(record: PulledRecord | undefined, names: readonly string[]): boolean {
  if (record === undefined) return false;
  const tags = names.filter((name) => !name.includes("@"));
  return tags.length === 0 ? record.images.length > 0 : tags.every((name) => record.images.includes(fullNameOf(name)));
}
