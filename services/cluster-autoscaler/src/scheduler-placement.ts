// The Placement of processes: WhatIf of a scheduler, over gRPC. Any scheduler will do: each knows what the leader knows.
import { channelOptions, channelTarget, createCredentials } from "@coxswain/component-base/grpc-channel";
import type { TlsMaterial } from "@coxswain/component-base/tls-files";
import type { Clock } from "@coxswain/env";
import type { Placement } from "./placement.ts";
import { createUnaryClient } from "./unary-client.ts";

export interface SchedulerPlacementOptions {
  /** host:port of the schedulers' gRPC ports. */
  readonly addresses: readonly string[];
  readonly tls: TlsMaterial;
  readonly clock: Clock;
}

const TIMEOUT_MS = 30_000;

const json = (object: object): Buffer => Buffer.from(JSON.stringify(object));

/** Connects on first use. */
export function createSchedulerPlacement({ addresses, tls, clock }: SchedulerPlacementOptions): Placement {
  const client = createUnaryClient("coxswain.scheduler.v1.Scheduler", {
    target: channelTarget(addresses),
    credentials: createCredentials(tls),
    channel: channelOptions({ addresses, tls }),
    clock,
    timeoutMs: TIMEOUT_MS,
  });
  return {
    async ask({ removeNodes = [], addNodes = [], spare, daemonPods = [], pods }) {
      const { placements, copies } = await client.call("whatIf", {
        removeNodes: [...removeNodes],
        addNodes: addNodes.map(({ node, copies: count }) => ({ node: json(node), copies: count })),
        ...(spare === undefined ? {} : { spare: { node: json(spare.node), copies: spare.copies } }),
        daemonPods: daemonPods.map(json),
        pods: [...pods],
      });
      return { places: placements.map(({ node, copy, message }) => ({ node, copy, message })), copies };
    },
  };
}
