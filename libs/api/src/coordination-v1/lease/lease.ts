// Lease: a lock with a holder. PUT creates it, and always carries a resourceVersion, so that two holders cannot both win.
import type { FieldError } from "@coxswain/apimachinery";
import { fieldForbidden, fieldInvalid, fieldNotSupported } from "@coxswain/apimachinery";
import { defineKind, plainStrategy } from "../../define-kind.ts";
import { age, AGE, column, NAME, nameOf } from "../../printing.ts";
import type { Lease } from "../../types.gen.ts";

function validate(lease: Lease): FieldError[] {
  const errors: FieldError[] = [];
  const spec = lease.spec ?? {};
  if (spec.leaseDurationSeconds !== undefined && spec.leaseDurationSeconds <= 0) {
    errors.push(fieldInvalid("spec.leaseDurationSeconds", spec.leaseDurationSeconds, "must be greater than 0"));
  }
  if (spec.leaseTransitions !== undefined && spec.leaseTransitions < 0) {
    errors.push(fieldInvalid("spec.leaseTransitions", spec.leaseTransitions, "must be greater than or equal to 0"));
  }
  if (spec.strategy && !spec.strategy.includes("/") && spec.strategy !== "OldestEmulationVersion") {
    errors.push(fieldNotSupported("spec.strategy", spec.strategy, ["OldestEmulationVersion"]));
  }
  if (spec.preferredHolder && !spec.strategy) {
    errors.push(fieldForbidden("spec.preferredHolder", "may only be specified when `strategy` is defined"));
  }
  return errors;
}

/** Fields of a feature that is off in v1.35 (CoordinatedLeaderElection); a lease that has them keeps them. */
function dropDisabledFields({ spec }: Lease, old?: Lease): void {
  if (!spec) return;
  for (const name of ["strategy", "preferredHolder"] as const) if (old?.spec?.[name] === undefined) delete spec[name];
}

export const leaseKind = defineKind<Lease>({
  group: "coordination.k8s.io",
  version: "v1",
  kind: "Lease",
  resource: "leases",
  namespaced: true,
  schemaName: "io.k8s.api.coordination.v1.Lease",
  validateCreate: validate,
  validateUpdate: validate,
  strategy: plainStrategy({
    prepareForCreate: (lease) => dropDisabledFields(lease),
    prepareForUpdate: dropDisabledFields,
    allowCreateOnUpdate: true,
    allowUnconditionalUpdate: false,
  }),
  columns: [NAME, column("Holder", "Who holds the lease."), AGE],
  row: (lease, context) => [nameOf(lease), lease.spec?.holderIdentity ?? "", age(lease, context)],
});
