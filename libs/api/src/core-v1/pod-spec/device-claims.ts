// The claims of devices of a pod: each named once, standing for a claim or a template, and used by containers by their names.
import type { FieldError } from "@coxswain/apimachinery";
import {
  childPath,
  fieldDuplicate,
  fieldInvalid,
  fieldNotFound,
  fieldRequired,
  indexPath,
  validateDns1123Label,
  validateDns1123Subdomain,
} from "@coxswain/apimachinery";
import type { Container, Pod, PodResourceClaim, PodSpec } from "../../types.gen.ts";
import { validateWith } from "../../validation/enums.ts";

function validateClaim(claim: PodResourceClaim, before: readonly string[], path: string): FieldError[] {
  const { name, resourceClaimName: own, resourceClaimTemplateName: template } = claim;
  const at = childPath(path, "name");
  const errors: FieldError[] = [];
  if (!name) errors.push(fieldRequired(at, ""));
  else if (before.includes(name)) errors.push(fieldDuplicate(at, name));
  else errors.push(...validateWith(validateDns1123Label, name, at));
  if (own !== undefined && template !== undefined) {
    const detail = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified";
    errors.push(fieldInvalid(path, claim, detail));
  }
  if (own === undefined && template === undefined) {
    const detail = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`";
    errors.push(fieldInvalid(path, claim, detail));
  }
  if (own !== undefined)
    errors.push(...validateWith(validateDns1123Subdomain, own, childPath(path, "resourceClaimName")));
  if (template !== undefined) {
    errors.push(...validateWith(validateDns1123Subdomain, template, childPath(path, "resourceClaimTemplateName")));
  }
  return errors;
}

export function validateDeviceClaims({ resourceClaims = [] }: PodSpec, path: string): FieldError[] {
  const names = resourceClaims.map(({ name }) => name);
  return resourceClaims.flatMap((claim, index) => validateClaim(claim, names.slice(0, index), indexPath(path, index)));
}

/** What a container uses of the pod's claims: all of one, or single requests of it. */
export function validateClaimUses(
  { resources }: Pick<Container, "resources">,
  spec: PodSpec,
  path: string,
): FieldError[] {
  const names = [...new Set((spec.resourceClaims ?? []).flatMap(({ name }) => (name ? [name] : [])))];
  const known = names.toSorted((a, b) => (a < b ? -1 : 1)).join(", ");
  const used = new Set<string>();
  return (resources?.claims ?? []).flatMap(({ name, request }, index) => {
    const at = indexPath(path, index);
    if (!name) return [fieldRequired(at, "")];
    const errors: FieldError[] = [];
    const key = request ? `${name}/${request}` : name;
    const overlaps = !request && [...used].some((other) => other.startsWith(`${name}/`));
    if (used.has(name)) errors.push(fieldDuplicate(at, name));
    else {
      if (request) errors.push(...validateWith(validateDns1123Label, request, childPath(at, "request")));
      if (used.has(key)) errors.push(fieldDuplicate(at, key));
      else if (overlaps) errors.push(fieldDuplicate(at, name));
      used.add(key);
    }
    if (!names.includes(name)) {
      const detail = `must be one of the names in pod.spec.resourceClaims${known === "" ? " which is empty" : `: ${known}`}`;
      errors.push(fieldNotFound(at, name, detail));
    }
    return errors;
  });
}

export function validateClaimStatuses({ spec, status }: Pod): FieldError[] {
  const claims = new Set(spec?.resourceClaims?.map(({ name }) => name));
  const statuses = status?.resourceClaimStatuses ?? [];
  const names = statuses.map(({ name }) => name);
  return statuses.flatMap(({ name, resourceClaimName }, index) => {
    const at = childPath(indexPath("status.resourceClaimStatuses", index), "name");
    const errors: FieldError[] = [];
    if (!claims.has(name)) {
      errors.push(fieldInvalid(at, name, "must match the name of an entry in `spec.resourceClaims`"));
    }
    if (names.indexOf(name) < index) errors.push(fieldDuplicate(at, name));
    if (resourceClaimName !== undefined) errors.push(...validateWith(validateDns1123Subdomain, resourceClaimName, at));
    return errors;
  });
}
