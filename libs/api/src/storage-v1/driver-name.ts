// The name of a storage driver: a domain, in any case, of at most 63 characters.
import type { FieldError } from "@coxswain/apimachinery";
import { fieldInvalid, fieldRequired, fieldTooLong, validateDns1123Subdomain } from "@coxswain/apimachinery";

const MAX_NAME = 63;

export function validateDriverName(name: string | undefined, path: string): FieldError[] {
  if (!name) return [fieldRequired(path, "")];
  return [
    ...(name.length > MAX_NAME ? [fieldTooLong(path, MAX_NAME)] : []),
    ...validateDns1123Subdomain(name.toLowerCase()).map((message) => fieldInvalid(path, name, message)),
  ];
}
