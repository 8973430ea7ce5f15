// Asks every process of a cluster about itself, over gRPC as the cluster's admin.
import path from "node:path";
import { Client } from "@grpc/grpc-js";
import type { Cluster, ProcessRecord } from "@coxswain/cluster";
import { createRealEnv } from "@coxswain/env";
import { channelOptions, channelTarget, createCredentials } from "@coxswain/component-base/grpc-channel";
import { loadTlsMaterial, type TlsMaterial } from "@coxswain/component-base/tls-files";
import { serviceDefinition } from "@coxswain/protos";

export interface ComponentFacts {
  readonly leader: boolean;
  readonly facts: Record<string, string>;
}

const DEADLINE_MS = 2_000;

/** What each process that serves our gRPC answers; processes that do not answer in time are left out. */
export async function askComponents(
  cluster: Cluster,
  records: readonly ProcessRecord[],
): Promise<Map<ProcessRecord, ComponentFacts>> {
  const pki = (file: string): string => path.join(cluster.paths.pki, file);
  const tls = loadTlsMaterial({ caFile: pki("ca.crt"), certFile: pki("admin.crt"), keyFile: pki("admin.key") });
  const answers = new Map<ProcessRecord, ComponentFacts>();
  await Promise.all(
    records
      .filter((record) => record.spec.ports.grpc > 0 && record.pid > 0)
      .map(async (record) => {
        const facts = await ask(`127.0.0.1:${record.spec.ports.grpc}`, tls);
        if (facts !== undefined) answers.set(record, facts);
      }),
  );
  return answers;
}

function ask(address: string, tls: TlsMaterial): Promise<ComponentFacts | undefined> {
  const target = { addresses: [address], tls };
  const client = new Client(channelTarget(target.addresses), createCredentials(tls), channelOptions(target));
  const method = serviceDefinition("coxswain.component.v1.Component")["GetInfo"];
  if (method === undefined) throw new Error("the Component service has no GetInfo");
  return new Promise((resolve) => {
    client.makeUnaryRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      {},
      { deadline: createRealEnv().clock.now() + DEADLINE_MS },
      (error, answer) => {
        client.close();
        // A frozen or dying process has nothing to say: its state in the table tells why.
        resolve(error === null ? (answer as unknown as ComponentFacts) : undefined);
      },
    );
  });
}
