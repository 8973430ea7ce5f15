// Imports go one way: env, apimachinery, cel → api → component-base → storage, event-bus → client → controller-runtime →
// cluster, testkit → services → test. Left never imports right, services never import services.
const order = [
  ["^libs/(env|apimachinery|cel)/|^protos/"],
  ["^libs/api/"],
  ["^libs/component-base/"],
  ["^libs/(storage|event-bus)/"],
  ["^libs/client/"],
  ["^libs/controller-runtime/"],
  ["^libs/(cluster|images|testkit)/"],
  ["^services/"],
  ["^(test|bin)/"],
].map(([pattern]) => pattern);

const oneWay = order.slice(0, -1).map((from, at) => ({
  name: `layer-${at}-imports-to-the-right`,
  severity: "error",
  // A package's own tests may use the testkit.
  from: { path: from, pathNot: "/test/" },
  to: { path: order.slice(at + 1).join("|") },
}));

module.exports = {
  forbidden: [
    ...oneWay,
    {
      name: "env-and-apimachinery-stand-alone",
      severity: "error",
      from: { path: "^libs/env/src" },
      to: { path: "^libs/(?!env/)|^services/|^protos/" },
    },
    {
      name: "services-never-import-services",
      severity: "error",
      from: { path: "^services/([^/]+)/" },
      to: { path: "^services/", pathNot: "^services/$1/" },
    },
    {
      name: "only-api-server-imports-storage",
      severity: "error",
      from: { path: "^(libs|services)/", pathNot: "^libs/(storage|cluster)/|^services/api-server/" },
      to: { path: "^libs/storage/" },
    },
    {
      name: "contracts-never-import-implementations",
      severity: "error",
      from: { path: "contract\\.ts$" },
      to: { path: "/(etcd|memory|nats|grpc)/" },
    },
    {
      name: "no-cycles",
      severity: "error",
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ["type-only"] } },
    },
    { name: "everything-resolves", severity: "error", from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    exclude: { path: "\\.gen\\.json$|^dist/" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["import", "node", "default"],
      extensions: [".ts", ".js", ".mjs", ".json", ".d.ts"],
    },
  },
};
