// What an Ingress must be: rules or a backend, hosts that are names, paths that mean one thing.
import type { FieldError } from "@coxswain/apimachinery";
import {
  childPath,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  indexPath,
  validateDns1035Label,
  validateDns1123Subdomain,
  validatePortName,
  validateWildcardDns1123Subdomain,
} from "@coxswain/apimachinery";
import type {
  HTTPIngressPath,
  Ingress,
  IngressBackend,
  IngressRule,
  IngressTLS,
  ServiceBackendPort,
} from "../../types.gen.ts";
import { validateRequiredWith, validateWith } from "../../validation/enums.ts";
import { looseIp, validateIp } from "../../validation/ip.ts";
import { validatePort } from "../../validation/numbers.ts";

const PATH_TYPES = ["Exact", "ImplementationSpecific", "Prefix"];
const INSIDE = ["//", "/./", "/../", "%2f", "%2F"];
const AT_END = ["/..", "/."];
const CLASS_ANNOTATION = "kubernetes.io/ingress.class";

function validateHost(host: string, path: string): FieldError[] {
  if (looseIp(host) !== undefined) return [fieldInvalid(path, host, "must be a DNS name, not an IP address")];
  return validateWith(host.includes("*") ? validateWildcardDns1123Subdomain : validateDns1123Subdomain, host, path);
}

function validateBackendPort(port: ServiceBackendPort | undefined, path: string): FieldError[] {
  const name = port?.name ?? "";
  const number = port?.number ?? 0;
  if (name !== "" && number !== 0) return [fieldInvalid(path, "", "cannot set both port name & port number")];
  if (name !== "") return validateWith(validatePortName, name, childPath(path, "name"));
  return number === 0
    ? [fieldRequired(path, "port name or number is required")]
    : validatePort(number, childPath(path, "number"));
}

function validateBackend(backend: IngressBackend, path: string): FieldError[] {
  const { resource, service } = backend;
  if (resource && service) return [fieldInvalid(path, "", "cannot set both resource and service backends")];
  if (resource) {
    const at = childPath(path, "resource");
    return (["kind", "name"] as const).flatMap((name) =>
      resource[name] ? [] : [fieldRequired(childPath(at, name), "")],
    );
  }
  if (!service) return [fieldRequired(path, "resource or service backend is required")];
  const at = childPath(path, "service");
  return [
    ...validateRequiredWith(validateDns1035Label, service.name, childPath(at, "name")),
    ...validateBackendPort(service.port, childPath(at, "port")),
  ];
}

function validatePath(item: HTTPIngressPath, path: string): FieldError[] {
  const at = childPath(path, "path");
  const text = item.path ?? "";
  const errors: FieldError[] = [];
  if (item.pathType === undefined)
    errors.push(fieldRequired(childPath(path, "pathType"), "pathType must be specified"));
  else if (!PATH_TYPES.includes(item.pathType)) {
    errors.push(fieldNotSupported(childPath(path, "pathType"), item.pathType, PATH_TYPES));
  } else if (item.pathType === "ImplementationSpecific") {
    if (text !== "" && !text.startsWith("/")) errors.push(fieldInvalid(at, text, "must be an absolute path"));
  } else if (!text.startsWith("/")) errors.push(fieldInvalid(at, text, "must be an absolute path"));
  else {
    for (const part of INSIDE)
      if (text.includes(part)) errors.push(fieldInvalid(at, text, `must not contain '${part}'`));
    for (const end of AT_END) if (text.endsWith(end)) errors.push(fieldInvalid(at, text, `cannot end with '${end}'`));
  }
  return [...errors, ...validateBackend(item.backend ?? {}, childPath(path, "backend"))];
}

function validateRule(rule: IngressRule, path: string): FieldError[] {
  const errors = rule.host ? validateHost(rule.host, childPath(path, "host")) : [];
  if (!rule.http) return errors;
  const at = childPath(path, "http", "paths");
  if (!rule.http.paths?.length) errors.push(fieldRequired(at, ""));
  for (const [index, item] of (rule.http.paths ?? []).entries())
    errors.push(...validatePath(item, indexPath(at, index)));
  return errors;
}

function validateTls(tls: IngressTLS, path: string): FieldError[] {
  const hosts = (tls.hosts ?? []).flatMap((host, index) =>
    validateWith(
      host.includes("*") ? validateWildcardDns1123Subdomain : validateDns1123Subdomain,
      host,
      indexPath(childPath(path, "hosts"), index),
    ),
  );
  const secret = tls.secretName
    ? validateWith(validateDns1123Subdomain, tls.secretName, childPath(path, "secretName"))
    : [];
  return [...hosts, ...secret];
}

export function validateIngress({ spec = {} }: Ingress): FieldError[] {
  const errors: FieldError[] = [];
  const rules = spec.rules ?? [];
  if (rules.length === 0 && !spec.defaultBackend) {
    errors.push(fieldInvalid("spec", rules, "either `defaultBackend` or `rules` must be specified"));
  }
  if (spec.defaultBackend) errors.push(...validateBackend(spec.defaultBackend, "spec.defaultBackend"));
  rules.forEach((rule, index) => errors.push(...validateRule(rule, indexPath("spec.rules", index))));
  (spec.tls ?? []).forEach((tls, index) => errors.push(...validateTls(tls, indexPath("spec.tls", index))));
  if (spec.ingressClassName !== undefined) {
    errors.push(...validateWith(validateDns1123Subdomain, spec.ingressClassName, "spec.ingressClassName"));
  }
  return errors;
}

export function validateIngressCreate(ingress: Ingress): FieldError[] {
  const annotated = ingress.metadata?.annotations?.[CLASS_ANNOTATION];
  // Upstream's own path.
  const path = childPath("annotations", CLASS_ANNOTATION);
  const named = ingress.spec?.ingressClassName;
  const differ = annotated !== undefined && named !== undefined && annotated !== named;
  return [
    ...(differ ? [fieldInvalid(path, annotated, "must match `ingressClassName` when both are specified")] : []),
    ...validateIngress(ingress),
  ];
}

export function validateIngressStatus({ status }: Ingress): FieldError[] {
  return (status?.loadBalancer?.ingress ?? []).flatMap((point, index) => {
    const path = indexPath("status.loadBalancer.ingress", index);
    return [
      ...(point.ip ? validateIp(point.ip, childPath(path, "ip")) : []),
      ...(point.hostname ? validateHost(point.hostname, childPath(path, "hostname")) : []),
    ];
  });
}
