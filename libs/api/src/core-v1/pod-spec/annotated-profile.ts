// A security profile that both an annotation and a field of a pod name: they say the same.
import type { FieldError } from "@coxswain/apimachinery";
import { childPath, fieldForbidden } from "@coxswain/apimachinery";

/** What stands before a profile of the node's own, in an annotation. */
export const LOCALHOST = "localhost/";
const TYPES = ["Localhost", "RuntimeDefault", "Unconfined"];

interface Profile {
  readonly type: string;
  readonly localhostProfile?: string;
}

/** `types`: what each annotation that names no file means. A profile of no known type is another check's. */
export function validateAnnotatedProfile(
  what: "apparmor" | "seccomp",
  types: Readonly<Record<string, string>>,
  text: string,
  profile: Profile,
  path: string,
): FieldError[] {
  const { type, localhostProfile = "" } = profile;
  if (!TYPES.includes(type)) return [];
  const local = type === "Localhost";
  if (local ? !text.startsWith(LOCALHOST) : types[text] !== type) {
    return [fieldForbidden(childPath(path, "type"), `${what} type in annotation and field must match`)];
  }
  if (!local || text === LOCALHOST + localhostProfile) return [];
  return [fieldForbidden(childPath(path, "localhostProfile"), `${what} profile in annotation and field must match`)];
}
