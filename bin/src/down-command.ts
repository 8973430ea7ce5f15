// down: ends a cluster, also one whose supervisor has died.
import type { Command } from "commander";
import { stopCluster } from "@coxswain/cluster";

export function addDown(program: Command): void {
  program
    .command("down")
    .description("end a cluster; its data stays for the next `up`")
    .option("--name <name>", "name of the cluster", "default")
    .option("--purge", "remove its data too")
    .action(async (options: { name: string; purge?: boolean }) => {
      const ran = await stopCluster(options.name, { purge: options.purge });
      console.log(
        `cluster "${options.name}" ${ran ? "is down" : "was not running"}${options.purge ? "; its data is gone" : ""}`,
      );
    });
}
