// The query of pods/NAME/log. Pure; https://kubernetes.io/docs/reference/generated/kubernetes-api/v1.35/#read-log-pod-v1-core
import { fieldForbidden, fieldInvalid, newBadRequest, newInvalid, parseTime } from "@coxswain/apimachinery";
import type { FieldError } from "@coxswain/apimachinery";
import { queryFlag } from "./request-info.ts";

export interface LogOptions {
  readonly container: string;
  readonly follow: boolean;
  readonly previous: boolean;
  readonly timestamps: boolean;
  readonly tailLines?: string;
  readonly limitBytes?: string;
  readonly sinceSeconds?: string;
  readonly sinceTime: string;
}

const LEAST = { tailLines: 0, limitBytes: 1, sinceSeconds: 1 } as const;
const TOO_SMALL = { 0: "must be greater than or equal to 0", 1: "must be greater than 0" } as const;

function integer(query: URLSearchParams, name: keyof typeof LEAST, errors: FieldError[]): string | undefined {
  const value = query.get(name);
  if (value === null || value === "") return undefined;
  if (!/^-?\d{1,18}$/.test(value)) {
    throw newBadRequest(`strconv.ParseInt: parsing ${JSON.stringify(value)}: invalid syntax`);
  }
  if (Number(value) < LEAST[name]) errors.push(fieldInvalid(name, Number(value), TOO_SMALL[LEAST[name]]));
  return value;
}

/** Throws BadRequest for what cannot be read, Invalid for what makes no sense. */
export function readLogOptions(query: URLSearchParams, pod: string): LogOptions {
  const errors: FieldError[] = [];
  const tailLines = integer(query, "tailLines", errors);
  const limitBytes = integer(query, "limitBytes", errors);
  const sinceErrors: FieldError[] = [];
  const sinceSeconds = integer(query, "sinceSeconds", sinceErrors);
  const sinceTime = query.get("sinceTime") ?? "";
  if (sinceTime !== "" && parseTime(sinceTime) === undefined) {
    throw newBadRequest(`parsing time ${JSON.stringify(sinceTime)}: it is not in RFC 3339`);
  }
  if (sinceTime !== "" && sinceSeconds !== undefined) {
    errors.push(fieldForbidden("", "at most one of `sinceTime` or `sinceSeconds` may be specified"));
  } else errors.push(...sinceErrors);
  // Of a feature that is off in v1.35 (PodLogsQuerySplitStreams).
  if (query.has("stream")) errors.push(fieldForbidden("stream", "may not be specified"));
  if (errors.length > 0) throw newInvalid({ group: "", kind: "PodLogOptions" }, pod, errors);
  return {
    container: query.get("container") ?? "",
    follow: queryFlag(query, "follow"),
    previous: queryFlag(query, "previous"),
    timestamps: queryFlag(query, "timestamps"),
    ...(tailLines === undefined ? {} : { tailLines }),
    ...(limitBytes === undefined ? {} : { limitBytes }),
    ...(sinceSeconds === undefined ? {} : { sinceSeconds }),
    sinceTime,
  };
}
