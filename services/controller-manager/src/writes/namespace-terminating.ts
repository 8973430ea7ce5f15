// The answer to a create in a namespace that is being deleted: nothing is left to do there, so it is no failure.
import { StatusError } from "@coxswain/apimachinery";

export function isNamespaceTerminating(error: unknown): boolean {
  return (
    error instanceof StatusError &&
    (error.details.causes ?? []).some((cause) => cause.reason === "NamespaceTerminating")
  );
}
