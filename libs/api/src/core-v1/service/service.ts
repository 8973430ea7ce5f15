// Service: a stable address for pods. ClusterIPs and node ports are allocated by the api-server between defaulting and
// validation; this folder says what they must look like and when they fall away.
import { defineKind, plainStrategy, PROXY_VERBS, subresource } from "../../define-kind.ts";
import type { PrintContext } from "../../kind.ts";
import { age, AGE, column, formatLabels, NAME, nameOf, wide } from "../../printing.ts";
import type { Service } from "../../types.gen.ts";
import { setServiceDefaults } from "./defaults.ts";
import { dropTypeDependentFields } from "./type-change.ts";
import { validateService, validateServiceName, validateServiceStatus, validateServiceUpdate } from "./validation.ts";
import { serviceWarnings } from "./warnings.ts";

function externalIp(service: Service): string {
  const own = service.spec?.externalIPs ?? [];
  switch (service.spec?.type ?? "") {
    case "ClusterIP":
    case "NodePort":
      return own.length > 0 ? own.join(",") : "<none>";
    case "LoadBalancer": {
      const ingress = service.status?.loadBalancer?.ingress ?? [];
      const balancers = new Set(ingress.map((i) => i.ip || i.hostname || "").filter((text) => text !== ""));
      const all = [...[...balancers].toSorted(), ...own];
      return all.length > 0 ? all.join(",") : "<pending>";
    }
    case "ExternalName":
      return service.spec?.externalName ?? "";
    default:
      return "<unknown>";
  }
}

function ports(service: Service): string {
  const texts = (service.spec?.ports ?? []).map((port) =>
    port.nodePort ? `${port.port}:${port.nodePort}/${port.protocol}` : `${port.port}/${port.protocol}`,
  );
  return texts.length > 0 ? texts.join(",") : "<none>";
}

function row(service: Service, context: PrintContext): unknown[] {
  return [
    nameOf(service),
    service.spec?.type ?? "",
    service.spec?.clusterIPs?.[0] ?? "<none>",
    externalIp(service),
    ports(service),
    age(service, context),
    formatLabels(service.spec?.selector),
  ];
}

export const serviceKind = defineKind<Service>({
  group: "",
  version: "v1",
  kind: "Service",
  resource: "services",
  shortNames: ["svc"],
  categories: ["all"],
  namespaced: true,
  schemaName: "io.k8s.api.core.v1.Service",
  returnDeletedObject: true,
  hasStatus: true,
  subresources: [subresource("proxy", PROXY_VERBS, ["", "v1", "ServiceProxyOptions"])],
  validateName: validateServiceName,
  defaults: setServiceDefaults,
  validateCreate: (service) => validateService(service),
  validateUpdate: validateServiceUpdate,
  validateStatusUpdate: validateServiceStatus,
  strategy: plainStrategy({
    prepareForCreate(service) {
      service.status = { loadBalancer: {} };
    },
    prepareForUpdate(service, old) {
      service.status = old.status;
      dropTypeDependentFields(service, old);
    },
    prepareForStatusUpdate(service, old) {
      service.spec = old.spec;
    },
    allowCreateOnUpdate: true,
    warnings: serviceWarnings,
  }),
  columns: [
    NAME,
    column("Type", "How the service is reached."),
    column("Cluster-IP", "Its address inside the cluster."),
    column("External-IP", "Its addresses outside the cluster."),
    column("Port(s)", "Its ports, with node ports after a colon."),
    AGE,
    wide("Selector", "The labels of its pods."),
  ],
  row,
  selectableFields: (service) => ({
    "spec.clusterIP": service.spec?.clusterIP ?? "",
    "spec.type": service.spec?.type ?? "",
  }),
});
