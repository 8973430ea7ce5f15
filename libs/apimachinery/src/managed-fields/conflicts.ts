// What an applier is told when others own fields that it would change.
import type { StatusCause, StatusError } from "../status-error.ts";
import { newApplyConflict } from "../status-factories.ts";
import { quote } from "../quote.ts";
import { type FieldSet, showPaths } from "./field-set.ts";
import type { ManagedSet } from "./managers.ts";

export interface Conflict {
  readonly owner: ManagedSet;
  /** Of the owner's fields those that would change. */
  readonly set: FieldSet;
}

function showManager({ manager, operation, apiVersion, subresource }: ManagedSet): string {
  const name = quote(manager) + (subresource === "" ? "" : ` with subresource ${quote(subresource)}`);
  return operation === "Update" ? `${name} using ${apiVersion}` : name;
}

/** Conflict 409 with a cause for each field. */
export function conflictError(conflicts: readonly Conflict[]): StatusError {
  const told = conflicts
    .map(({ owner, set }) => ({ owner: showManager(owner), paths: showPaths(set) }))
    .toSorted((a, b) => (a.owner < b.owner ? -1 : 1));
  const causes: StatusCause[] = told.flatMap(({ owner, paths }) =>
    paths.map((field) => ({ reason: "FieldManagerConflict", message: `conflict with ${owner}`, field })),
  );
  const [only] = told;
  if (causes.length === 1 && only !== undefined) {
    const text = `Apply failed with 1 conflict: conflict with ${only.owner}: ${only.paths[0]}`;
    return newApplyConflict(causes, text);
  }
  const lines = told.flatMap(({ owner, paths }) => [`conflicts with ${owner}:`, ...paths.map((path) => `- ${path}`)]);
  return newApplyConflict(causes, `Apply failed with ${causes.length} conflicts: ${lines.join("\n")}`);
}
