// The body of a DELETE. Guarantee: what is no DeleteOptions deletes nothing.
import { isJsonObject, newBadRequest } from "@coxswain/apimachinery";
import { checkTypes } from "@coxswain/api/schema/index";
import { decodeProtobuf } from "@coxswain/api/wire/index";
import type { ApiRequest } from "../pipeline/contract.ts";
import { decodeValue, typeMetaProblem } from "./codec.ts";

const SCHEMA = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
/** What upstream calls the list of kinds in which it looks for those of options. */
const SCHEME = "k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme/register.go:27";

export interface DeleteBody {
  readonly gracePeriodSeconds?: number | null;
  readonly propagationPolicy?: string | null;
  readonly orphanDependents?: boolean | null;
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string } | null;
  readonly dryRun?: readonly string[] | null;
}

/** Undefined where the request has no body. @throws StatusError BadRequest */
export function decodeDeleteOptions({ body, contentType }: ApiRequest): DeleteBody | undefined {
  if (body === undefined || body.length === 0) return undefined;
  if (contentType === "application/vnd.kubernetes.protobuf") return requireOptions(decodeProtobuf(body));
  const { value } = decodeValue(body, contentType, false);
  const problem = typeMetaProblem(value);
  if (problem !== undefined) throw newBadRequest(`couldn't get version/kind; json parse error: ${problem}`);
  return requireOptions(value);
}

/** Of any version, as clients send that of the group that they delete from. */
function requireOptions(value: unknown): DeleteBody {
  const { kind, apiVersion } = isJsonObject(value) ? value : {};
  if (typeof kind === "string" && kind !== "" && kind !== "DeleteOptions") {
    const version = typeof apiVersion === "string" && apiVersion !== "" ? apiVersion : "meta.k8s.io/v1";
    const shown = [kind, version, SCHEME].map((each) => JSON.stringify(each));
    throw newBadRequest(`no kind ${shown[0]} is registered for version ${shown[1]} in scheme ${shown[2]}`);
  }
  const [wrong] = checkTypes(value, SCHEMA);
  if (wrong !== undefined) throw newBadRequest(wrong);
  return value as DeleteBody;
}
