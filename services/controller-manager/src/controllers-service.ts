// coxswain.controller.v1.Controllers: what a person may see and do with controllers. Pausing lasts until resumed or the
// process ends, and outlives a lost leadership.
import { newBadRequest, newNotFound } from "@coxswain/apimachinery";
import type { LeaderElector } from "@coxswain/client";
import type { GrpcService } from "@coxswain/component-base";
import { implementService } from "@coxswain/component-base/grpc-service";
import type { Controller, ControllerState, Manager } from "@coxswain/controller-runtime";

export interface ControllersServiceDeps {
  readonly manager: Pick<Manager, "list" | "get">;
  readonly elector: Pick<LeaderElector, "isLeader" | "leader">;
  readonly isSynced: () => boolean;
}

export function controllersService({ manager, elector, isSynced }: ControllersServiceDeps): GrpcService {
  const find = (name: string): Controller => {
    const controller = manager.get(name);
    if (controller === undefined) throw newNotFound({ group: "", resource: "controllers" }, name);
    return controller;
  };
  const shown = (state: ControllerState) => ({ ...state, synced: isSynced() });
  return implementService("coxswain.controller.v1.Controllers", {
    list: async () => ({
      leading: elector.isLeader(),
      leader: elector.leader(),
      controllers: manager.list().map((controller) => shown(controller.state())),
    }),
    pause: async ({ name }) => {
      const controller = find(name);
      controller.pause();
      return { controller: shown(controller.state()) };
    },
    resume: async ({ name }) => {
      const controller = find(name);
      controller.resume();
      return { controller: shown(controller.state()) };
    },
    step: async ({ name }) => {
      const controller = find(name);
      if (!controller.state().paused) throw newBadRequest(`controller ${name} is not paused`);
      if (!elector.isLeader()) throw newBadRequest(`this process does not lead; ${elector.leader()} does`);
      return controller.step();
    },
    getQueue: async ({ name }) => find(name).queue(),
  });
}
