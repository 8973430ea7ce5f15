// IPAddress: an address in use, named by itself, and what uses it.
import type { FieldError } from "@coxswain/apimachinery";
import { childPath, fieldRequired, validateDns1123Subdomain, validatePathSegmentName } from "@coxswain/apimachinery";
import ipaddr from "ipaddr.js";
import { defineKind } from "../../define-kind.ts";
import { age, AGE, column, NAME, nameOf } from "../../printing.ts";
import type { IPAddress } from "../../types.gen.ts";
import { validateWith } from "../../validation/enums.ts";
import { validateImmutableField } from "../../validation/immutable.ts";
import { ipFamily } from "../../validation/ip.ts";

function validateName(name: string): string[] {
  const family = ipFamily(name);
  const canonical = family === "IPv4" ? name : family === "IPv6" ? ipaddr.parse(name).toString() : undefined;
  if (canonical === undefined) return ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"];
  return canonical === name ? [] : [`must be in canonical form ("${canonical}")`];
}

function validate({ spec }: IPAddress): FieldError[] {
  const parent = spec?.parentRef;
  const path = "spec.parentRef";
  if (!parent) return [fieldRequired(path, "")];
  const errors: FieldError[] = [];
  for (const name of ["resource", "name"] as const) {
    const value = parent[name] ?? "";
    const at = childPath(path, name);
    if (value === "") errors.push(fieldRequired(at, ""));
    else errors.push(...validateWith(validatePathSegmentName, value, at));
  }
  const { group, namespace } = parent;
  if (group) errors.push(...validateWith(validateDns1123Subdomain, group, childPath(path, "group")));
  if (namespace) errors.push(...validateWith(validatePathSegmentName, namespace, childPath(path, "namespace")));
  return errors;
}

function parentOf({ spec }: IPAddress): string {
  const parent = spec?.parentRef;
  if (!parent) return "<none>";
  const resource = parent.group ? `${parent.resource}.${parent.group}` : parent.resource;
  return [resource, ...(parent.namespace ? [parent.namespace] : []), parent.name].join("/");
}

export const ipAddressKind = defineKind<IPAddress>({
  group: "networking.k8s.io",
  version: "v1",
  kind: "IPAddress",
  listKind: "IPAddressList",
  resource: "ipaddresses",
  shortNames: ["ip"],
  namespaced: false,
  schemaName: "io.k8s.api.networking.v1.IPAddress",
  validateName,
  validateCreate: validate,
  validateUpdate: (address, old) => [
    ...validate(address),
    ...validateImmutableField(address.spec?.parentRef, old.spec?.parentRef, "spec.parentRef"),
  ],
  columns: [NAME, column("ParentRef", "What uses the address."), AGE],
  row: (address, context) => [nameOf(address), parentOf(address), age(address, context)],
  selectableFields: ({ spec }) => ({
    "spec.parentRef.group": spec?.parentRef?.group ?? "",
    "spec.parentRef.resource": spec?.parentRef?.resource ?? "",
    "spec.parentRef.namespace": spec?.parentRef?.namespace ?? "",
    "spec.parentRef.name": spec?.parentRef?.name ?? "",
  }),
});
