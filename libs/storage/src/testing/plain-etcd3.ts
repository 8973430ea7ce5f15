// Plain etcd3, as most programs would write it: what the benchmark compares with.
import { Etcd3 } from "etcd3";

export interface PlainEtcd3 {
  /** One compare-and-put; resolves with whether the key was absent. */
  create(key: string, value: Buffer): Promise<boolean>;
  close(): void;
}

export function createPlainEtcd3(endpoints: readonly string[]): PlainEtcd3 {
  const etcd = new Etcd3({ hosts: [...endpoints] });
  return {
    create: async (key, value) => {
      const { succeeded } = await etcd.if(key, "Create", "==", 0).then(etcd.put(key).value(value)).commit();
      return succeeded;
    },
    close: () => etcd.close(),
  };
}
