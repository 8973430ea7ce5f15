// The annotations of pods that mean something to the system: what they may say, and that most of them stay.
import type { FieldError } from "@coxswain/apimachinery";
import { childPath, fieldForbidden, fieldInvalid, keyPath } from "@coxswain/apimachinery";
import type { Pod, PodSpec, SeccompProfile } from "../../types.gen.ts";
import { LOCALHOST, validateAnnotatedProfile } from "../pod-spec/annotated-profile.ts";
import { APP_ARMOR_PREFIX, validateAppArmorAnnotation, validateAppArmorFields } from "../pod-spec/app-armor.ts";
import { eachContainer } from "../pod-spec/each-container.ts";
import { validateRelativePath } from "../pod-spec/env-sources.ts";

const PATH = "metadata.annotations";
export const MIRROR_ANNOTATION = "kubernetes.io/config.mirror";
const DELETION_COST = "controller.kubernetes.io/pod-deletion-cost";
export const SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod";
export const SECCOMP_CONTAINER_PREFIX = "container.seccomp.security.alpha.kubernetes.io/";
const SECCOMP: Readonly<Record<string, string>> = {
  unconfined: "Unconfined",
  "runtime/default": "RuntimeDefault",
  "docker/default": "RuntimeDefault",
};

function isInt32(text: string): boolean {
  return /^(0|-?[1-9]\d*|-0)$/.test(text) && Number(text) >= -(2 ** 31) && Number(text) < 2 ** 31;
}

/** Upstream's own path. */
function validateSeccomp(key: string, text: string): FieldError[] {
  const path = childPath(PATH, key);
  if (SECCOMP[text] !== undefined) return [];
  if (text.startsWith(LOCALHOST)) return validateRelativePath(text.slice(LOCALHOST.length), path);
  return [fieldInvalid(path, text, "must be a valid seccomp profile")];
}

/** `old`: what the object had before, where it had. */
export function validatePodAnnotations({ metadata, spec = { containers: [] } }: Pod, old?: Pod): FieldError[] {
  const errors: FieldError[] = [];
  for (const [key, text] of Object.entries(metadata?.annotations ?? {})) {
    if (key === MIRROR_ANNOTATION && !spec.nodeName) {
      errors.push(fieldInvalid(keyPath(PATH, key), text, "must set spec.nodeName if mirror pod annotation is set"));
    }
    if (key === DELETION_COST && !isInt32(text)) {
      const before = old?.metadata?.annotations?.[DELETION_COST];
      if (before === undefined || isInt32(before)) {
        errors.push(fieldInvalid(keyPath(PATH, key), text, "must be a 32bit integer"));
      }
    }
    if (key === SECCOMP_POD || key.startsWith(SECCOMP_CONTAINER_PREFIX)) errors.push(...validateSeccomp(key, text));
    if (key.startsWith(APP_ARMOR_PREFIX)) errors.push(...validateAppArmorAnnotation(key, text, spec, PATH));
  }
  return errors;
}

function validateSeccompMatch(
  text: string | undefined,
  profile: SeccompProfile | undefined,
  path: string,
): FieldError[] {
  if (text === undefined || profile === undefined) return [];
  return validateAnnotatedProfile("seccomp", SECCOMP, text, profile, path);
}

/** Of a new pod: where annotations and fields say the same thing twice, they agree. */
export function validateAnnotatedFields({
  metadata,
  spec,
}: {
  metadata?: Pod["metadata"];
  spec: PodSpec;
}): FieldError[] {
  const { annotations } = metadata ?? {};
  if (annotations === undefined) return [];
  const at = (path: string): string => childPath(path, "securityContext", "seccompProfile");
  const errors = validateSeccompMatch(annotations[SECCOMP_POD], spec.securityContext?.seccompProfile, at("spec"));
  eachContainer(spec, "spec", ({ name, securityContext }, path) => {
    const text = annotations[SECCOMP_CONTAINER_PREFIX + name];
    errors.push(...validateSeccompMatch(text, securityContext?.seccompProfile, at(path)));
  });
  return [...errors, ...validateAppArmorFields(annotations, spec)];
}

/** What kind of annotation it is that no update may touch; undefined of all others. */
function fixedName(key: string): string | undefined {
  if (key === MIRROR_ANNOTATION) return "mirror pod annotation";
  return key.startsWith(APP_ARMOR_PREFIX) ? "AppArmor annotations" : undefined;
}

export function validateAnnotationChanges(pod: Pod, old: Pod): FieldError[] {
  const [now, before] = [pod.metadata?.annotations ?? {}, old.metadata?.annotations ?? {}];
  if (pod.metadata?.annotations === old.metadata?.annotations) return [];
  const errors: FieldError[] = [];
  for (const [key, text] of Object.entries(before)) {
    const name = now[key] === text ? undefined : fixedName(key);
    if (name !== undefined) errors.push(fieldForbidden(keyPath(PATH, key), `may not remove or update ${name}`));
  }
  for (const key of Object.keys(now)) {
    const name = Object.hasOwn(before, key) ? undefined : fixedName(key);
    if (name !== undefined) errors.push(fieldForbidden(keyPath(PATH, key), `may not add ${name}`));
  }
  return errors;
}
