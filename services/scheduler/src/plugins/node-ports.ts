// Filter: a host port is taken once a node, address and protocol; the address 0.0.0.0 meets all others.
import type { Plugin, PreFilterOutcome, Rejection } from "../framework/contract.ts";
import { makePodInfo, type HostPort } from "../pod-info.ts";

const ANY = "0.0.0.0";
const REJECTION: Rejection = {
  code: "Unschedulable",
  reasons: ["node(s) didn't have free ports for the requested pod ports"],
};

function collide(a: HostPort, b: HostPort): boolean {
  return a.port === b.port && a.protocol === b.protocol && (a.ip === b.ip || a.ip === ANY || b.ip === ANY);
}

export const nodePorts: Plugin = {
  name: "NodePorts",
  filterKey: ({ hostPorts }) => JSON.stringify(hostPorts),
  preFilter: (cycle): PreFilterOutcome => (cycle.info.hostPorts.length === 0 ? { kind: "skip" } : { kind: "success" }),
  filter(cycle, column, from, to) {
    const wanted = cycle.info.hostPorts;
    for (let row = from; row < to; row++) {
      if (!column.open(row)) continue;
      for (const other of cycle.snapshot.pods[row]!.values()) {
        if (!other.hostPorts.some((port) => wanted.some((mine) => collide(mine, port)))) continue;
        column.reject(row, REJECTION);
        break;
      }
    }
  },
  events: () => [
    {
      resource: "AssignedPod",
      actions: ["Delete"],
      hint: (waiting, event) =>
        event.oldPod === undefined ||
        makePodInfo(event.oldPod).hostPorts.some((port) => waiting.hostPorts.some((mine) => collide(mine, port))),
    },
    { resource: "Node", actions: ["Add"] },
  ],
};
