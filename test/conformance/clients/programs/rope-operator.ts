// An operator on @dot-i/k8s-operator: for each Rope it keeps a ConfigMap, tells in the Rope's status what it made, and takes the
// ConfigMap away by a finalizer before the Rope goes.
// Arguments: the folder whose node_modules holds the library, the file of the definition. KUBECONFIG names the cluster.
import { createRequire } from "node:module";
import path from "node:path";

interface ResourceEvent {
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly meta: { readonly name: string; readonly namespace?: string; readonly resourceVersion: string };
  readonly object: { readonly spec?: { readonly metres?: number }; readonly status?: { readonly map?: string } };
}

/** The part of the library that this program uses. */
interface OperatorBase {
  k8sApi: {
    readNamespacedConfigMap(name: string, namespace: string): Promise<{ body: { data?: Record<string, string> } }>;
    createNamespacedConfigMap(namespace: string, body: object): Promise<unknown>;
    replaceNamespacedConfigMap(name: string, namespace: string, body: object): Promise<unknown>;
    deleteNamespacedConfigMap(name: string, namespace: string): Promise<unknown>;
  };
  start(): Promise<void>;
  stop(): void;
  registerCustomResourceDefinition(
    file: string,
  ): Promise<{ group: string; versions: { name: string }[]; plural: string }>;
  watchResource(
    group: string,
    version: string,
    plural: string,
    onEvent: (event: ResourceEvent) => Promise<void>,
  ): Promise<void>;
  patchResourceStatus(meta: ResourceEvent["meta"], status: object): Promise<unknown>;
  handleResourceFinalizer(
    event: ResourceEvent,
    finalizer: string,
    onDelete: (event: ResourceEvent) => Promise<void>,
  ): Promise<boolean>;
}

const [packages = ".", definition = ""] = process.argv.slice(2);
const { default: Operator } = createRequire(path.join(packages, "package.json"))("@dot-i/k8s-operator") as {
  default: new () => OperatorBase;
};

class RopeOperator extends Operator {
  async init(): Promise<void> {
    const { group, versions, plural } = await this.registerCustomResourceDefinition(definition);
    await this.watchResource(group, versions[0]?.name ?? "", plural, (event) => this.#reconcile(event));
    console.log("watching");
  }

  async #reconcile(event: ResourceEvent): Promise<void> {
    const { name, namespace = "" } = event.meta;
    console.log(`${event.type} ${name}`);
    if (event.type === "DELETED") return;
    const handled = await this.handleResourceFinalizer(event, "ropes.example.test/map", async () => {
      await this.k8sApi.deleteNamespacedConfigMap(`${name}-rope`, namespace);
    });
    if (handled) return;
    const metres = String(event.object.spec?.metres ?? 0);
    await this.#keep(`${name}-rope`, namespace, metres);
    if (event.object.status?.map !== metres) await this.patchResourceStatus(event.meta, { map: metres });
  }

  async #keep(name: string, namespace: string, metres: string): Promise<void> {
    const body = { metadata: { name }, data: { metres } };
    try {
      const { body: found } = await this.k8sApi.readNamespacedConfigMap(name, namespace);
      if (found.data?.["metres"] !== metres) await this.k8sApi.replaceNamespacedConfigMap(name, namespace, body);
    } catch (error) {
      if ((error as { statusCode?: number }).statusCode !== 404) throw error;
      await this.k8sApi.createNamespacedConfigMap(namespace, body);
    }
  }
}

const operator = new RopeOperator();
process.once("SIGTERM", () => {
  operator.stop();
  process.exit(0);
});
await operator.start();
