// The command line. Each command is a thin file: it reads options, calls libs/cluster, and prints.
import { Command, CommanderError } from "commander";
import { ClusterError, ControlError, ExposeError, MissingProgramError, SpecError } from "@coxswain/cluster";
import { addBench } from "./bench-command.ts";
import { addChaos } from "./chaos-command.ts";
import { addDoctor } from "./doctor-command.ts";
import { addDown } from "./down-command.ts";
import { addExpose } from "./expose-command.ts";
import { addImage } from "./image-command.ts";
import { addKubectl, addKubeconfig } from "./kubectl-command.ts";
import { addSim } from "./sim-command.ts";
import { addStatus } from "./status-command.ts";
import { addUp } from "./up-command.ts";

const program = new Command("coxswain")
  .description("A Kubernetes control plane and node in TypeScript that is built to be broken")
  .version("0.1.0")
  .exitOverride()
  .enablePositionalOptions();
for (const add of [
  addUp,
  addDown,
  addStatus,
  addKubeconfig,
  addKubectl,
  addExpose,
  addImage,
  addChaos,
  addSim,
  addBench,
  addDoctor,
])
  add(program);

/** What the user can do something about: the message says it all. */
const EXPECTED = [ClusterError, ControlError, ExposeError, MissingProgramError, SpecError];

function fail(error: unknown): void {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode;
  } else if (EXPECTED.some((kind) => error instanceof kind)) {
    console.error(`coxswain: ${(error as Error).message}`);
    process.exitCode = 1;
  } else {
    throw error;
  }
}

program.parseAsync().catch(fail);
