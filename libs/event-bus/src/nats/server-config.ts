// What nats-server is told: mutual TLS, and for each certificate's subject the few subjects that its owner needs. Whoever
// is not listed cannot connect. Pure.

export interface BusPermissions {
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}

export interface BusIdentity {
  /** The certificate's subject as RFC 2253 writes it: "CN=system:node:node-1,O=system:nodes". */
  readonly subject: string;
  readonly permissions: BusPermissions;
}

export interface NatsServerOptions {
  /** 127.0.0.1 where unset. */
  readonly host?: string;
  readonly port: number;
  /** Paths of PEM files. */
  readonly tls: { readonly ca: string; readonly cert: string; readonly key: string };
  readonly identities: readonly BusIdentity[];
}

/** Resources whose changes a kubelet or a node's proxy follows, besides its own pods. */
const NODE_RESOURCES = ["core.services", "core.configmaps", "core.nodes", "discovery_k8s_io.endpointslices"];
const NODE_PREFIX = "system:node:";

/**
 * What a user may do on the bus: an api-server publishes and hears changes; a kubelet hears its own node's pods and a
 * few resources, and no Secrets; every other component hears all changes.
 */
export function busPermissions(username: string): BusPermissions {
  if (username === "system:apiserver" || username === "kube-apiserver") {
    return { publish: ["kube.>"], subscribe: ["kube.>"] };
  }
  if (!username.startsWith(NODE_PREFIX)) return { publish: [], subscribe: ["kube.>"] };
  const node = username.slice(NODE_PREFIX.length).replaceAll(".", "_");
  // A name is a DNS subdomain; anything else could be a wildcard.
  if (!/^[a-z0-9]([-a-z0-9_]*[a-z0-9])?$/.test(node)) throw new Error(`${username} does not name a node`);
  return {
    publish: [],
    subscribe: [`kube.core.pods.*.node.${node}`, ...NODE_RESOURCES.map((resource) => `kube.${resource}.>`)],
  };
}

const quote = (text: string): string => JSON.stringify(text);

/** An empty allow list would allow everything: nothing is said by a denial of all. */
function rule(allowed: readonly string[]): string {
  return allowed.length === 0 ? `{ deny: [">"] }` : `{ allow: [${allowed.map(quote).join(", ")}] }`;
}

/** The text of a configuration file. Messages may be as large as the change feed's largest body and its headers. */
export function natsServerConfig(options: NatsServerOptions): string {
  const users = options.identities.map(
    ({ subject, permissions }) =>
      `    { user: ${quote(subject)}, permissions: { publish: ${rule(permissions.publish)}, subscribe: ${rule(permissions.subscribe)} } }`,
  );
  const { ca, cert, key } = options.tls;
  return [
    `host: ${quote(options.host ?? "127.0.0.1")}`,
    `port: ${options.port}`,
    "max_payload: 1048576",
    "tls {",
    `  ca_file: ${quote(ca)}`,
    `  cert_file: ${quote(cert)}`,
    `  key_file: ${quote(key)}`,
    "  verify_and_map: true",
    "}",
    "authorization {",
    "  users: [",
    ...users,
    "  ]",
    "}",
    "",
  ].join("\n");
}
