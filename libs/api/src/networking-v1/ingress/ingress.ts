// Ingress: HTTP from outside by host and path to Services.
import { defineKind, specStrategy } from "../../define-kind.ts";
import type { PrintContext } from "../../kind.ts";
import { age, AGE, column, NAME, nameOf } from "../../printing.ts";
import type { Ingress } from "../../types.gen.ts";
import { validateIngress, validateIngressCreate, validateIngressStatus } from "./validation.ts";
import { sameValue } from "../../same-value.ts";
import { ipWarnings } from "../../validation/ip.ts";

function hostsOf(ingress: Ingress): string {
  const rules = ingress.spec?.rules ?? [];
  const hosts = rules
    .slice(0, 3)
    .map((rule) => rule.host ?? "")
    .filter((host) => host !== "");
  if (hosts.length === 0) return "*";
  return rules.length > 3 && hosts.length === 3 ? `${hosts.join(",")} + ${rules.length - 3} more...` : hosts.join(",");
}

function row(ingress: Ingress, context: PrintContext): unknown[] {
  const points = (ingress.status?.loadBalancer?.ingress ?? []).map((point) => point.ip ?? point.hostname ?? "");
  return [
    nameOf(ingress),
    ingress.spec?.ingressClassName ?? "<none>",
    hostsOf(ingress),
    [...new Set(points.filter((point) => point !== ""))].toSorted().join(","),
    (ingress.spec?.tls ?? []).length > 0 ? "80, 443" : "80",
    age(ingress, context),
  ];
}

/** Of a status that was changed. */
function balancerWarnings({ status }: Ingress, old: Ingress | undefined): string[] {
  if (sameValue(status?.loadBalancer, old?.status?.loadBalancer)) return [];
  return (status?.loadBalancer?.ingress ?? []).flatMap(({ ip }, index) =>
    ipWarnings(ip, `status.loadBalancer.ingress[${index}]`),
  );
}

export const ingressKind = defineKind<Ingress>({
  group: "networking.k8s.io",
  version: "v1",
  kind: "Ingress",
  resource: "ingresses",
  shortNames: ["ing"],
  namespaced: true,
  schemaName: "io.k8s.api.networking.v1.Ingress",
  hasStatus: true,
  validateCreate: validateIngressCreate,
  validateUpdate: validateIngress,
  validateStatusUpdate: validateIngressStatus,
  strategy: specStrategy<Ingress>(() => ({ loadBalancer: {} }), {
    warnings: (ingress, old) => [
      ...(!old && ingress.metadata?.annotations?.["kubernetes.io/ingress.class"] !== undefined
        ? ["annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead"]
        : []),
      ...balancerWarnings(ingress, old),
    ],
  }),
  columns: [
    NAME,
    column("Class", "The class of ingress that serves it."),
    column("Hosts", "The hosts that its rules are for."),
    column("Address", "Where it is reached."),
    column("Ports", "The ports that are open."),
    AGE,
  ],
  row,
});
