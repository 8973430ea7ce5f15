// ServiceCIDR: a range that the addresses of Services come from.
import type { FieldError } from "@coxswain/apimachinery";
import { fieldInvalid, fieldRequired, indexPath } from "@coxswain/apimachinery";
import { defineKind, keepMetadata, plainStrategy } from "../../define-kind.ts";
import { age, AGE, column, NAME, nameOf } from "../../printing.ts";
import { sameValue } from "../../same-value.ts";
import type { ServiceCIDR } from "../../types.gen.ts";
import { validateImmutableField } from "../../validation/immutable.ts";
import { cidrFamily, validateStrictCidr } from "../../validation/ip.ts";

function validate({ spec }: ServiceCIDR): FieldError[] {
  const cidrs = spec?.cidrs ?? [];
  if (cidrs.length === 0) return [fieldRequired("spec.cidrs", "at least one CIDR required")];
  if (cidrs.length > 2) {
    return [fieldInvalid("spec.cidrs", cidrs, "may only hold up to 2 values")];
  }
  const errors = cidrs.flatMap((cidr, index) => validateStrictCidr(cidr, indexPath("spec.cidrs", index)));
  if (cidrs.length === 2 && errors.length === 0 && cidrFamily(cidrs[0] ?? "") === cidrFamily(cidrs[1] ?? "")) {
    errors.push(
      fieldInvalid(
        "spec.cidrs",
        cidrs,
        "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64",
      ),
    );
  }
  return errors;
}

/** A range may grow a second family, and nothing else. */
function validateUpdate(range: ServiceCIDR, old: ServiceCIDR): FieldError[] {
  const before = old.spec?.cidrs ?? [];
  const after = range.spec?.cidrs ?? [];
  if (sameValue(after, before)) return [];
  const grows = before.length === 1 && after.length === 2;
  if (!grows && after.length !== before.length) {
    return validateImmutableField(range.spec?.cidrs, before, "spec.cidrs");
  }
  const kept = before.flatMap((cidr, index) =>
    validateImmutableField(after[index], cidr, indexPath("spec.cidrs", index)),
  );
  return grows ? [...kept, ...validate(range)] : kept;
}

export const serviceCidrKind = defineKind<ServiceCIDR>({
  group: "networking.k8s.io",
  version: "v1",
  kind: "ServiceCIDR",
  resource: "servicecidrs",
  namespaced: false,
  schemaName: "io.k8s.api.networking.v1.ServiceCIDR",
  hasStatus: true,
  validateCreate: validate,
  validateUpdate,
  // Upstream counts no generations of ranges.
  strategy: plainStrategy<ServiceCIDR>({
    prepareForCreate(range) {
      range.status = {};
    },
    prepareForUpdate(range, old) {
      range.status = old.status;
    },
    prepareForStatusUpdate(range, old) {
      range.spec = old.spec;
      keepMetadata(range, old);
    },
  }),
  columns: [NAME, column("CIDRs", "The ranges."), AGE],
  row: (range, context) => [nameOf(range), (range.spec?.cidrs ?? []).join(","), age(range, context)],
});
