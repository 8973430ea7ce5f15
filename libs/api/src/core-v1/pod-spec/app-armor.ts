// AppArmor profiles: of a field, or of the annotation that was there before it. Guarantees: what an annotation says, the field of a
// new pod says too, so that kubelets look in one place.
import type { FieldError } from "@coxswain/apimachinery";
import {
  childPath,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  fieldTooLong,
  keyPath,
} from "@coxswain/apimachinery";
import { sameValue } from "../../same-value.ts";
import type { AppArmorProfile, Pod, PodSpec } from "../../types.gen.ts";
import { LOCALHOST, validateAnnotatedProfile } from "./annotated-profile.ts";
import { eachContainer } from "./each-container.ts";

export const APP_ARMOR_PREFIX = "container.apparmor.security.beta.kubernetes.io/";
const TYPES = ["Localhost", "RuntimeDefault", "Unconfined"];
const MAX_PROFILE = 4095;
const ANNOTATED: Readonly<Record<string, string>> = { unconfined: "Unconfined", "runtime/default": "RuntimeDefault" };

function validateLocalhostProfile(name: string | undefined, path: string): FieldError[] {
  const missing = fieldRequired(path, "must be set when AppArmor type is Localhost");
  if (name === undefined) return [missing];
  const errors: FieldError[] = [];
  if (name.trim() !== name) errors.push(fieldInvalid(path, name, "must not be padded with whitespace"));
  else if (name === "") errors.push(missing);
  if (name.length > MAX_PROFILE) errors.push(fieldTooLong(path, MAX_PROFILE));
  return errors;
}

export function validateAppArmor(profile: AppArmorProfile | undefined, path: string): FieldError[] {
  if (profile === undefined) return [];
  const at = childPath(path, "localhostProfile");
  if (!profile.type) return [fieldRequired(childPath(path, "type"), "type is required when appArmorProfile is set")];
  if (!TYPES.includes(profile.type)) return [fieldNotSupported(childPath(path, "type"), profile.type, TYPES)];
  if (profile.type === "Localhost") return validateLocalhostProfile(profile.localhostProfile, at);
  if (profile.localhostProfile === undefined) return [];
  return [fieldInvalid(at, profile.localhostProfile, "can only be set when AppArmor type is Localhost")];
}

/** Undefined where the annotation says nothing that a field could say. */
export function annotatedProfile(text: string): AppArmorProfile | undefined {
  const type = ANNOTATED[text];
  if (type !== undefined) return { type };
  const localhostProfile = text.startsWith(LOCALHOST) ? text.slice(LOCALHOST.length) : "";
  return localhostProfile === "" ? undefined : { type: "Localhost", localhostProfile };
}

/** Fills in the fields of the containers that have only an annotation, in place. */
export function syncAppArmor(pod: Pod): void {
  const annotations = pod.metadata?.annotations;
  if (annotations === undefined || pod.spec === undefined || pod.spec.os?.name === "windows") return;
  if (!Object.keys(annotations).some((key) => key.startsWith(APP_ARMOR_PREFIX))) return;
  const ofPod = pod.spec.securityContext?.appArmorProfile;
  eachContainer(pod.spec, "spec", (container) => {
    const text = annotations[APP_ARMOR_PREFIX + container.name];
    if (text === undefined || container.securityContext?.appArmorProfile !== undefined) return;
    const profile = annotatedProfile(text);
    if (profile === undefined || validateAppArmor(profile, "").length > 0 || sameValue(profile, ofPod)) return;
    container.securityContext = { ...container.securityContext, appArmorProfile: profile };
  });
}

/** Of a new pod: its annotations say what its fields say. */
export function validateAppArmorFields(annotations: Record<string, string>, spec: PodSpec): FieldError[] {
  if (spec.os?.name === "windows") return [];
  const errors: FieldError[] = [];
  eachContainer(spec, "spec", (container, path) => {
    const text = annotations[APP_ARMOR_PREFIX + container.name];
    const profile = container.securityContext?.appArmorProfile ?? spec.securityContext?.appArmorProfile;
    if (text === undefined || profile === undefined) return;
    const at = childPath(path, "securityContext", "appArmorProfile");
    errors.push(...validateAnnotatedProfile("apparmor", ANNOTATED, text, profile, at));
  });
  return errors;
}

/** The annotation of a container that is there, and that says something. */
export function validateAppArmorAnnotation(key: string, text: string, spec: PodSpec, path: string): FieldError[] {
  const name = key.slice(APP_ARMOR_PREFIX.length);
  let found = false;
  eachContainer(spec, "", (container) => {
    found ||= container.name === name;
  });
  const errors = found ? [] : [fieldInvalid(keyPath(path, key), name, "container not found")];
  if (text !== "" && ANNOTATED[text] === undefined && !text.startsWith(LOCALHOST)) {
    errors.push(fieldInvalid(keyPath(path, key), text, `invalid AppArmor profile name: ${JSON.stringify(text)}`));
  }
  return errors;
}
