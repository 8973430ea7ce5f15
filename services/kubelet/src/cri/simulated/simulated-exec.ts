// What a command "run" in a simulated container answers: never as if it had been real. Guarantees: every answer says that
// it is simulated; `exit N`, `true` and `false` give their codes; a shell with a terminal reads and echoes until it is left.
import type { ContainerConfig, ExecIo } from "../contract.ts";
import { planBehaviour } from "./behaviour.ts";

const SHELL = /(^|\/)(ba|a|da|z)?sh$/;

export interface ExecAnswer {
  readonly stdout: string;
  readonly exitCode: number;
}

/** The answer to a command that reads nothing. Pure. */
export function planExec(config: ContainerConfig, command: readonly string[]): ExecAnswer {
  const known = planBehaviour({ annotation: undefined, container: config.name, argv: command, init: false });
  const said = known.output.map(({ line }) => `${line}\n`).join("");
  const what = `${JSON.stringify(command)} in container ${config.name} (image ${config.image})`;
  return {
    stdout: `simulated: ${what} was not really run\n${said}`,
    exitCode: known.exitAfterMs === undefined ? 0 : known.exitCode,
  };
}

export function isShell(command: readonly string[]): boolean {
  return command.length === 1 && SHELL.test(command[0] ?? "");
}

/** Reads lines and echoes them until `exit`, the end of input or `signal`. Resolves with the exit code. */
export async function runShell(
  config: ContainerConfig,
  tty: boolean,
  io: ExecIo,
  signal: AbortSignal,
): Promise<number> {
  const eol = tty ? "\r\n" : "\n";
  const say = (text: string): void => io.stdout(Buffer.from(text));
  const prompt = (): void => {
    if (tty) say("simulated $ ");
  };
  say(`simulated shell of container ${config.name} (image ${config.image}); lines are echoed, exit leaves it${eol}`);
  prompt();
  let line = "";
  for await (const chunk of io.stdin ?? []) {
    if (signal.aborted) break;
    for (const char of chunk.toString("utf8")) {
      if (char === "\u0004") return 0;
      if (char === "\u0003") line = "";
      else if (char !== "\r" && char !== "\n") {
        line += char;
        if (tty) say(char);
        continue;
      }
      const left = /^\s*exit(?:\s+(\d+))?\s*$/.exec(line);
      if (tty) say(eol);
      if (left !== null) return Number(left[1] ?? 0) & 255;
      if (line.trim() !== "") say(`simulated: ${line}${eol}`);
      line = "";
      prompt();
    }
  }
  return 0;
}
