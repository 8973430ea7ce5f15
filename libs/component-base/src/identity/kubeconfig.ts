// A kubeconfig with one cluster, one user and everything embedded, as kubectl and client libraries read it.

export interface KubeconfigOptions {
  /** As in https://127.0.0.1:6443. */
  readonly server: string;
  readonly caPem: string;
  readonly certPem: string;
  readonly keyPem: string;
  /** Of cluster and context. */
  readonly name: string;
  /** Of the user; kubernetes-admin where unset. */
  readonly user?: string;
}

/** YAML text. */
export function makeKubeconfig(options: KubeconfigOptions): string {
  const base64 = (text: string): string => Buffer.from(text).toString("base64");
  // A JSON string is a YAML string.
  const name = JSON.stringify(options.name);
  const user = JSON.stringify(options.user ?? "kubernetes-admin");
  return `apiVersion: v1
kind: Config
clusters:
- name: ${name}
  cluster:
    server: ${JSON.stringify(options.server)}
    certificate-authority-data: ${base64(options.caPem)}
users:
- name: ${user}
  user:
    client-certificate-data: ${base64(options.certPem)}
    client-key-data: ${base64(options.keyPem)}
contexts:
- name: ${name}
  context:
    cluster: ${name}
    user: ${user}
current-context: ${name}
preferences: {}
`;
}
