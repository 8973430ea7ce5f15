// The real store keeps the contract, with group commits on and off.
import { silentLogger } from "@coxswain/component-base";
import { createRealEnv } from "@coxswain/env";
import { createEtcdStorage } from "@coxswain/storage";
import { startEtcd } from "../src/testing/etcd-server.ts";
import { storageSuite } from "../src/testing/storage-suite.ts";

for (const [groupCommit, way] of [
  [true, "socket"],
  [false, "endpoint"],
] as const) {
  storageSuite(`etcd storage by its ${way}, group commit ${groupCommit ? "on" : "off"}`, async () => {
    const etcd = await startEtcd();
    const options = { env: createRealEnv(), logger: silentLogger, endpoints: [etcd[way]], groupCommit };
    return { client: () => createEtcdStorage({ ...options, prefix: "/coxswain" }), stop: () => etcd.stop() };
  });
}
