// The demo of the mission: the shop's manifests through the real kubectl; then, in the foreground, what the cluster is for:
// scale up, a rolling upgrade while a customer shops, and the death of a node. What it says is what it has counted.
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { ClusterError, type ClusterSpec, ensureKubectl, repositoryRoot, type Cluster } from "@coxswain/cluster";
import { allBegunSince, lastReport, type Report } from "@coxswain/demo/customer-tally";
import { createRealEnv, type Env } from "@coxswain/env";
import { buildShopImages, loadShopImages } from "./demo-images.ts";
import { nodeStores } from "./node-stores.ts";

const run = promisify(execFile);
const DEPLOYMENTS = ["check-out", "shopping-trolley", "customer"];
const POLL_MS = 250;
const LOG_PATIENCE_MS = 60_000;
const REPLICAS = 10;

type Say = (line: string) => void;

/** What one step of the show did to the customer. */
export interface StepResult {
  readonly served: number;
  readonly failed: number;
  readonly seconds: number;
}

interface PodView {
  readonly name: string;
  readonly node: string;
  readonly ready: boolean;
  readonly leaving: boolean;
}

interface PodJson {
  readonly metadata: { readonly name: string; readonly deletionTimestamp?: string };
  readonly spec: { readonly nodeName?: string };
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
}

/** Runs the shop's demo on a running cluster. */
export class ShopDemo {
  readonly #cluster: Cluster;
  readonly #say: Say;
  readonly #env: Env = createRealEnv();
  readonly #signal: AbortSignal;
  #kubectl = "";

  constructor(cluster: Cluster, say: Say, signal: AbortSignal) {
    this.#cluster = cluster;
    this.#say = say;
    this.#signal = signal;
  }

  /** True where containers run programs and packets are sent. */
  get real(): boolean {
    const spec = JSON.parse(readFileSync(this.#cluster.paths.spec, "utf8")) as ClusterSpec;
    return spec.runtime === "containerd";
  }

  /** Builds the shop's images and puts them on the nodes. */
  async #images(): Promise<void> {
    const began = this.#env.clock.monotonic();
    const { stores, system, cacheDir } = await nodeStores(this.#cluster, this.#say);
    const dist = path.join(repositoryRoot(), "dist");
    const images = await buildShopImages({ cacheDir, dist, nodeImage: system.node.tar });
    await loadShopImages(stores, images);
    const seconds = (this.#env.clock.monotonic() - began) / 1000;
    this.#say(`${images.length} images built on the spot and put on ${stores.length} nodes in ${seconds.toFixed(1)} s`);
  }

  /** Applies the shop, and resolves when it is rolled out and, on real nodes, the customer has been served. */
  async deploy(): Promise<void> {
    this.#kubectl = await ensureKubectl(path.join(repositoryRoot(), ".tools"), (line) =>
      this.#say(`coxswain: ${line}`),
    );
    if (this.real) await this.#images();
    await this.#show("apply", "-f", "demo/shop.yaml");
    for (const name of DEPLOYMENTS) await this.#show("rollout", "status", `deployment/${name}`, "--timeout=120s");
    if (this.real) await this.#until("the customer is served", async () => ((await this.report())?.served ?? 0) > 0);
    await this.#show("get", "pods,services", "-o", "wide");
  }

  /**
   * The customer's newest count; undefined where it has said nothing yet, as a simulated one never does. Asks again while
   * the kubelet that has the log is away.
   */
  async report(): Promise<Report | undefined> {
    if (!this.real) return undefined;
    const deadline = this.#env.clock.monotonic() + LOG_PATIENCE_MS;
    for (;;) {
      try {
        return lastReport(await this.#call("logs", "deployment/customer", "--tail=50"));
      } catch (error) {
        if (this.#env.clock.monotonic() > deadline) throw error;
        await this.#env.timers.sleep(POLL_MS, this.#signal);
      }
    }
  }

  /** shopping-trolley from 4 to 10 pods. */
  scaleUp(): Promise<StepResult> {
    return this.#step(`scale shopping-trolley to ${REPLICAS}`, async () => {
      await this.#show("scale", "deployment/shopping-trolley", `--replicas=${REPLICAS}`);
      await this.#show("rollout", "status", "deployment/shopping-trolley", "--timeout=120s");
    });
  }

  /** Another version of the trolley, pod by pod, under the customer's eyes; ends when the old pods are gone. */
  upgrade(version = "v2"): Promise<StepResult> {
    return this.#step(`upgrade shopping-trolley to ${version}`, async () => {
      const image = `trolley=coxswain.local/shopping-trolley:${version}`;
      await this.#show("set", "image", "deployment/shopping-trolley", image);
      await this.#show("rollout", "status", "deployment/shopping-trolley", "--timeout=180s");
      await this.#until("the old pods are gone", async () => (await this.#pods()).every((pod) => !pod.leaving));
    });
  }

  /** Kills a node on which the customer does not run, and resolves when its pods have moved; then brings it back. */
  async loseNode(): Promise<StepResult> {
    const customer = (await this.#pods("app=customer"))[0]?.node;
    const victim = (await this.#pods()).map((pod) => pod.node).find((node) => node !== customer && node !== "");
    if (victim === undefined)
      throw new ClusterError("the shop runs on one node only: start the cluster with --nodes 2");
    return this.#step(`kill ${victim}`, async () => {
      const { chaos } = this.#cluster;
      // A simulated node is its kubelet: it dies by being stopped.
      const [action, target] = this.real
        ? (["kill", `node/${victim}`] as const)
        : (["freeze", `kubelet/${victim}`] as const);
      this.#say(`$ bin/coxswain chaos ${action} ${target}`);
      await chaos[action](target);
      await this.#until("the pods have moved", async () => {
        const pods = (await this.#pods("app!=customer")).filter((pod) => !pod.leaving);
        return pods.length >= REPLICAS && pods.every((pod) => pod.ready && pod.node !== victim);
      });
      await this.#show("get", "nodes");
      await this.#show("get", "pods", "-o", "wide");
      this.#say(`$ bin/coxswain chaos thaw ${target}`);
      await chaos.thaw(target);
      await this.#until(`${victim} is Ready`, async () => {
        const status = await this.#call(
          "get",
          "node",
          victim,
          "-o",
          'jsonpath={.status.conditions[?(@.type=="Ready")].status}',
        );
        return status === "True";
      });
      this.#say(`${victim} is back`);
      await this.#freshRequests();
    });
  }

  /** Resolves when no request is under way that was begun before this call: one may still wait for a pod that is gone. */
  async #freshRequests(): Promise<void> {
    const said = await this.report();
    if (said === undefined) return;
    let first: Report | undefined;
    await this.#until("the customer's old requests have ended", async () => {
      const now = await this.report();
      if (now === undefined || now.number <= said.number) return false;
      first ??= now;
      return allBegunSince(first, now);
    });
  }

  async #step(title: string, act: () => Promise<void>): Promise<StepResult> {
    this.#say(`\n== ${title}`);
    const before = await this.report();
    const began = this.#env.clock.monotonic();
    await act();
    const seconds = (this.#env.clock.monotonic() - began) / 1000;
    const after = await this.report();
    const served = (after?.served ?? 0) - (before?.served ?? 0);
    const failed = (after?.failed ?? 0) - (before?.failed ?? 0);
    const counted = this.real ? `${served} requests served, ${failed} failed, in ` : "no packets are sent; it took ";
    this.#say(`-- ${title}: ${counted}${seconds.toFixed(1)} s`);
    return { served, failed, seconds };
  }

  async #pods(selector = "app in (shopping-trolley,check-out,customer)"): Promise<PodView[]> {
    const { items } = JSON.parse(await this.#call("get", "pods", "-l", selector, "-o", "json")) as { items: PodJson[] };
    return items.map(({ metadata, spec, status }) => ({
      name: metadata.name,
      node: spec.nodeName ?? "",
      ready: status?.conditions?.some(({ type, status: is }) => type === "Ready" && is === "True") ?? false,
      leaving: metadata.deletionTimestamp !== undefined,
    }));
  }

  async #until(what: string, holds: () => Promise<boolean>): Promise<void> {
    const deadline = this.#env.clock.monotonic() + 180_000;
    while (!(await holds())) {
      if (this.#env.clock.monotonic() > deadline) throw new ClusterError(`the demo waited 180 s in vain: ${what}`);
      await this.#env.timers.sleep(POLL_MS, this.#signal);
    }
  }

  async #show(...args: string[]): Promise<void> {
    this.#say(`$ kubectl -n shop ${args.join(" ")}`);
    this.#say((await this.#call(...args)).trimEnd());
  }

  async #call(...args: string[]): Promise<string> {
    const env = {
      ...process.env,
      KUBECONFIG: this.#cluster.info.kubeconfig,
      KUBECACHEDIR: path.join(this.#cluster.paths.dataDir, "kubectl-cache"),
    };
    const options = { env, cwd: repositoryRoot(), maxBuffer: 16 << 20, signal: this.#signal };
    // The manifests name their namespace; -n beside them is harmless.
    const all = ["-n", "shop", ...args];
    try {
      return (await run(this.#kubectl, all, options)).stdout;
    } catch (error) {
      const said = (error as { stderr?: string }).stderr ?? String(error);
      throw new ClusterError(`kubectl ${all.join(" ")} failed: ${said}`, { cause: error });
    }
  }
}

/** Deploys the shop; with `whole` it then scales it, upgrades it and kills a node. */
export async function runDemo(
  cluster: Cluster,
  options: { readonly say: Say; readonly whole: boolean; readonly signal: AbortSignal },
): Promise<void> {
  const { say, whole, signal } = options;
  const demo = new ShopDemo(cluster, say, signal);
  await demo.deploy();
  say(
    demo.real
      ? `\nThe shop serves its customer through its ClusterIP, ${process.uptime().toFixed(1)} s after the command.`
      : `\nThe shop is rolled out, ${process.uptime().toFixed(1)} s after the command. Its containers are simulated: they hold addresses and states, and run no program; nobody shops.`,
  );
  if (whole) {
    await demo.scaleUp();
    await demo.upgrade();
    await demo.loseNode();
  }
  const suffix = cluster.name === "default" ? "" : ` --name ${cluster.name}`;
  say(`
Try, in another terminal:
  bin/coxswain kubectl${suffix} -n shop logs deployment/customer -f
  bin/coxswain kubectl${suffix} -n shop rollout undo deployment/shopping-trolley
  bin/coxswain kubectl${suffix} -n shop exec -it deployment/check-out -c ledger -- node -e 'fetch("http://localhost:8082/sum").then(async (sum) => console.log(await sum.text()))'
  bin/coxswain chaos${suffix} kill controller-manager`);
}
