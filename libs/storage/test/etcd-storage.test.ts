// The real store keeps the contract, with group commits on and off.
import { silentLogger } from "@coxswain/component-base";
import { createRealEnv } from "@coxswain/env";
import { createEtcdStorage } from "@coxswain/storage";
import { startEtcd } from "../src/testing/etcd-server.ts";
import { storageSuite } from "../src/testing/storage-suite.ts";

for (const groupCommit of [true, false]) {
  storageSuite(`etcd storage, group commit ${groupCommit ? "on" : "off"}`, async () => {
    const etcd = await startEtcd();
    const options = { env: createRealEnv(), logger: silentLogger, endpoints: [etcd.endpoint], groupCommit };
    return { client: () => createEtcdStorage({ ...options, prefix: "/coxswain" }), stop: () => etcd.stop() };
  });
}
