// pods/ephemeralcontainers: adds containers to a pod that runs, as `kubectl debug` does. Guarantees: nothing else of the
// pod changes, and what was added stays as it is.
import { prepareEphemeralContainersUpdate, validateEphemeralContainersUpdate } from "@coxswain/api";
import { fieldForbidden } from "@coxswain/apimachinery";
import { MIRROR_ANNOTATION } from "@coxswain/api/core-v1/pod/annotations";
import type { UpdateRules } from "../registry/registry.ts";

export const EPHEMERAL_CONTAINERS_RULES: UpdateRules = {
  prepare: prepareEphemeralContainersUpdate,
  validate: (pod, old) => {
    const errors = validateEphemeralContainersUpdate(pod, old);
    if (old.metadata?.annotations?.[MIRROR_ANNOTATION] === undefined) return errors;
    return [...errors, fieldForbidden("", "static pods do not support ephemeral containers")];
  },
};
