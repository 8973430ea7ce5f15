// A process's connection to the event bus: messages arrive late, in order, and only while the process runs.
import type { EventBus } from "@coxswain/event-bus";
import type { MemoryBus, MemoryBusHub } from "@coxswain/event-bus/memory/memory-bus";
import { Link, type Network } from "./network.ts";
import type { SimProcess } from "./sim-process.ts";

export interface SimBus extends EventBus {
  /** The cable between this process and the bus. */
  readonly cable: Pick<MemoryBus, "disconnect" | "reconnect">;
}

export function createSimBus(process: SimProcess, network: Network, hub: MemoryBusHub): SimBus {
  const handle = hub.client(process.name);
  const link = new Link(network, process);
  process.onDeath(() => void handle.close());
  return {
    cable: handle,
    publish: (subject, headers, data) => handle.publish(subject, headers, data),
    subscribe: (pattern, onMessage) => {
      let on = true;
      const subscription = handle.subscribe(pattern, (message) =>
        link.send(() => {
          if (on) onMessage(message);
        }),
      );
      return {
        unsubscribe() {
          on = false;
          subscription.unsubscribe();
        },
      };
    },
    get connected() {
      return handle.connected;
    },
    onConnection: (listener) => handle.onConnection((connected) => link.send(() => listener(connected))),
    flush: () => process.carry(handle.flush()),
    close: () => process.carry(handle.close()),
  };
}
