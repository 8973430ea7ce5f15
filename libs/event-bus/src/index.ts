// Messages on dotted subjects, as hints: the contract, the change feed's wire form, NATS and memory.
export * from "./change-feed.ts";
export * from "./contract.ts";
export { subjectMatches } from "./subject.ts";
export { createMemoryBus, MemoryBusHub, type MemoryBus } from "./memory/memory-bus.ts";
export { createNatsBus, type NatsBusOptions } from "./nats/nats-bus.ts";
export {
  type BusIdentity,
  type BusPermissions,
  busPermissions,
  natsServerConfig,
  type NatsServerOptions,
} from "./nats/server-config.ts";
