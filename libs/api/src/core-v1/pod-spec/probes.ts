// Probes and lifecycle hooks: exactly one handler, and times that make sense.
import type { FieldError } from "@coxswain/apimachinery";
import { childPath, fieldForbidden, fieldInvalid, fieldRequired, validateHttpHeaderName } from "@coxswain/apimachinery";
import type { HTTPGetAction, Lifecycle, LifecycleHandler, Probe } from "../../types.gen.ts";
import { validateEnum, validateWith } from "../../validation/enums.ts";
import { validateNonNegative, validatePort, validatePortNumberOrName } from "../../validation/numbers.ts";

type Handler = Pick<Probe, "exec" | "grpc" | "httpGet" | "tcpSocket"> & Pick<LifecycleHandler, "sleep">;
const HANDLERS = ["exec", "httpGet", "tcpSocket", "grpc", "sleep"] as const;

function validateHttpGet(action: HTTPGetAction, path: string): FieldError[] {
  return [
    ...(action.path ? [] : [fieldRequired(childPath(path, "path"), "")]),
    ...validatePortNumberOrName(action.port, childPath(path, "port")),
    ...validateEnum(action.scheme, ["HTTP", "HTTPS"], childPath(path, "scheme")),
    ...(action.httpHeaders ?? []).flatMap((header) =>
      validateWith(validateHttpHeaderName, header.name, childPath(path, "httpHeaders")),
    ),
  ];
}

function validateSleep(seconds: number, graceSeconds: number, path: string): FieldError[] {
  if (seconds >= 0 && seconds <= graceSeconds) return [];
  const detail = `must be non-negative and less than terminationGracePeriodSeconds (${graceSeconds})`;
  return [fieldInvalid(path, seconds, detail)];
}

function validateOne(handler: Handler, name: (typeof HANDLERS)[number], grace: number, path: string): FieldError[] {
  const at = childPath(path, name);
  switch (name) {
    case "exec":
      return handler.exec?.command?.length ? [] : [fieldRequired(childPath(at, "command"), "")];
    case "httpGet":
      return handler.httpGet ? validateHttpGet(handler.httpGet, at) : [];
    case "tcpSocket":
      return validatePortNumberOrName(handler.tcpSocket?.port, childPath(at, "port"));
    case "grpc":
      return validatePort(handler.grpc?.port, childPath(at, "port"));
    case "sleep":
      return validateSleep(handler.sleep?.seconds ?? 0, grace, at);
    default:
      return name satisfies never;
  }
}

function validateHandler(handler: Handler, graceSeconds: number, path: string): FieldError[] {
  const [first, ...more] = HANDLERS.filter((name) => handler[name]);
  if (!first) return [fieldRequired(path, "must specify a handler type")];
  return [
    ...validateOne(handler, first, graceSeconds, path),
    ...more.map((name) => fieldForbidden(childPath(path, name), "may not specify more than 1 handler type")),
  ];
}

const TIMES = [
  "initialDelaySeconds",
  "timeoutSeconds",
  "periodSeconds",
  "successThreshold",
  "failureThreshold",
] as const;

/** `name` is the field of the container, because liveness and startup probes succeed at once and readiness has no grace. */
export function validateProbe(probe: Probe | undefined, name: string, path: string): FieldError[] {
  if (!probe) return [];
  const errors = validateHandler(probe, 0, path);
  for (const time of TIMES) errors.push(...validateNonNegative(probe[time], childPath(path, time)));
  const grace = probe.terminationGracePeriodSeconds;
  const at = childPath(path, "terminationGracePeriodSeconds");
  if (grace !== undefined && grace <= 0) errors.push(fieldInvalid(at, grace, "must be greater than 0"));
  if (name === "readinessProbe") {
    if (grace !== undefined) errors.push(fieldInvalid(at, grace, "must not be set for readinessProbes"));
  } else if ((probe.successThreshold ?? 1) !== 1) {
    errors.push(fieldInvalid(childPath(path, "successThreshold"), probe.successThreshold, "must be 1"));
  }
  return errors;
}

export function validateLifecycle(lifecycle: Lifecycle | undefined, graceSeconds: number, path: string): FieldError[] {
  return (["postStart", "preStop"] as const).flatMap((name) => {
    const handler = lifecycle?.[name];
    return handler ? validateHandler(handler, graceSeconds, childPath(path, name)) : [];
  });
}
