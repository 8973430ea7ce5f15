// TokenRequest: asks for a token of a service account. Answered, never stored.
import type { FieldError } from "@coxswain/apimachinery";
import { fieldInvalid } from "@coxswain/apimachinery";
import { defineDocument } from "../../define-kind.ts";
import { AUTHENTICATION } from "../../groups.ts";
import type { TokenRequest } from "../../types.gen.ts";

const HOUR = 3600;
const SHORTEST = 600;
const LONGEST = 2 ** 32;

export const tokenRequestKind = defineDocument<TokenRequest>({
  group: AUTHENTICATION,
  version: "v1",
  kind: "TokenRequest",
  resource: "tokenrequests",
  namespaced: true,
  schemaName: "io.k8s.api.authentication.v1.TokenRequest",
  defaults(request) {
    request.spec ??= { audiences: [] };
    request.spec.expirationSeconds ??= HOUR;
  },
  validateCreate(request): FieldError[] {
    const seconds = request.spec?.expirationSeconds ?? HOUR;
    const at = "spec.expirationSeconds";
    if (seconds < SHORTEST) return [fieldInvalid(at, seconds, "may not specify a duration less than 10 minutes")];
    if (seconds > LONGEST) return [fieldInvalid(at, seconds, "may not specify a duration larger than 2^32 seconds")];
    return [];
  },
});
