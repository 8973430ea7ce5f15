// Server-side apply and the tracking of who manages which field. Pure.
export * from "./type-schema.ts";
export * from "./field-set.ts";
export { structuralType } from "./structural-schema.ts";
export { fieldElement } from "./path-element.ts";
export { checkTyped } from "./check-typed.ts";
export { compareObjects, changedFields, type Comparison } from "./compare.ts";
export { mergeObjects } from "./merge-objects.ts";
export { ownedFields } from "./owned-fields.ts";
export { removeFields } from "./remove-fields.ts";
export * from "./managers.ts";
export { isPrintable, managerName, MAX_MANAGER_NAME } from "./manager-name.ts";
export { managedFieldsAfterUpdate, withoutManaged, type CreatedSets, type Managed, type Writer } from "./updates.ts";
export { sharedSet, textOfSet } from "./shared-sets.ts";
export { applyConfiguration, type ApplyOutcome } from "./apply.ts";
export { type Forms } from "./versioned.ts";
export { conflictError, type Conflict } from "./conflicts.ts";
export { conflictsBeyondLastApplied, KUBECTL, LAST_APPLIED, refreshLastApplied } from "./last-applied.ts";
