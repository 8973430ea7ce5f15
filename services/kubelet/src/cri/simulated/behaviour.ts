// What a simulated container does with its life: pure, from the pod's annotation and the container's command.
//
// The annotation `coxswain.dev/simulate` on the pod holds JSON, one entry a container:
//   {"web": {"exitAfterMs": 5000, "exitCode": 1, "readyAfterMs": 2000, "livenessFailsAfterMs": 60000}}
// `exitAfterMs` and `exitCode` end the container; `readyAfterMs` is when readiness and startup probes begin to pass;
// `livenessFailsAfterMs` is when liveness probes begin to fail; `ignoresTermination` makes it end by force only. Without an
// entry the commands `sleep N`, `exit N`, `true`, `false` and `echo …` do what they say, alone or in `sh -c "…"`; any other
// command runs for ever, in an init container ends well at once.

export const SIMULATE_ANNOTATION = "coxswain.dev/simulate";

export interface Behaviour {
  /** Undefined: runs for ever. */
  readonly exitAfterMs: number | undefined;
  readonly exitCode: number;
  readonly readyAfterMs: number;
  /** Undefined: never. */
  readonly livenessFailsAfterMs: number | undefined;
  readonly ignoresTermination: boolean;
  /** What it says of itself, ms after its start. */
  readonly output: readonly { readonly atMs: number; readonly line: string }[];
}

export interface BehaviourInput {
  /** The annotation's text. */
  readonly annotation: string | undefined;
  readonly container: string;
  readonly argv: readonly string[];
  /** An init container that has to end. */
  readonly init: boolean;
}

type Entry = Partial<Record<"exitAfterMs" | "exitCode" | "readyAfterMs" | "livenessFailsAfterMs", number>> & {
  readonly ignoresTermination?: boolean;
};

const NUMBERS = ["exitAfterMs", "exitCode", "readyAfterMs", "livenessFailsAfterMs"] as const;
const UNIT_MS: Readonly<Record<string, number>> = { "": 1000, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** The annotation's entry for a container. Throws an Error that says what is wrong with the annotation. */
export function readSimulateEntry(annotation: string | undefined, container: string): Entry {
  if (annotation === undefined) return {};
  const fail = (why: string): never => {
    throw new Error(`metadata.annotations[${SIMULATE_ANNOTATION}]: Invalid value: ${why}`);
  };
  let parsed: unknown;
  try {
    parsed = JSON.parse(annotation);
  } catch (error) {
    return fail(`not JSON: ${(error as Error).message}`);
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) return fail("must be an object");
  const entry = (parsed as Record<string, unknown>)[container];
  if (entry === undefined) return {};
  if (typeof entry !== "object" || entry === null) return fail(`${container}: must be an object`);
  for (const [name, value] of Object.entries(entry)) {
    if (name === "ignoresTermination" && typeof value === "boolean") continue;
    const known = NUMBERS.some((number) => number === name);
    if (!known || typeof value !== "number" || !(value >= 0)) fail(`${container}.${name}: not known, or not a number`);
  }
  return entry;
}

/** Undefined where the text is no duration; Infinity for `infinity`. */
function sleepMs(text: string): number | undefined {
  if (text === "infinity" || text === "inf") return Number.POSITIVE_INFINITY;
  const match = /^(\d+(?:\.\d+)?)([smhd]?)$/.exec(text);
  return match === null ? undefined : Number(match[1]) * (UNIT_MS[match[2] ?? ""] ?? 1000);
}

interface Run {
  atMs: number;
  code: number;
  /** "ended" by exit, "lost" where a command is not understood. */
  over: "" | "ended" | "lost";
  readonly output: { atMs: number; line: string }[];
}

function step(run: Run, words: readonly string[]): void {
  const [name = "", first = ""] = words;
  if (name === "exec") step(run, words.slice(1));
  else if (name === "true" || name === ":") run.code = 0;
  else if (name === "false") run.code = 1;
  else if (name === "exit" && /^\d*$/.test(first)) {
    run.code = first === "" ? run.code : Number(first) & 255;
    run.over = "ended";
  } else if (name === "sleep" && sleepMs(first) !== undefined) {
    run.atMs += sleepMs(first) ?? 0;
    run.code = 0;
  } else if (name === "echo") {
    run.output.push({ atMs: run.atMs, line: words.slice(1).join(" ") });
    run.code = 0;
  } else run.over = "lost";
}

function words(statement: string): string[] {
  return [...statement.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map((match) => match[1] ?? match[2] ?? match[3] ?? "");
}

/** What the command does as far as it is understood. */
function runCommand(argv: readonly string[]): Run {
  const run: Run = { atMs: 0, code: 0, over: "", output: [] };
  const shell = /(^|\/)(ba|a|da)?sh$/.test(argv[0] ?? "") && /^-\w*c$/.test(argv[1] ?? "");
  if (!shell) {
    if (argv.length === 0) run.over = "lost";
    else step(run, [(argv[0] ?? "").replace(/^.*\//, ""), ...argv.slice(1)]);
    return run;
  }
  let operator = "";
  for (const part of (argv[2] ?? "").split(/(;|&&|\n)/)) {
    if (part === ";" || part === "&&" || part === "\n") {
      operator = part;
      continue;
    }
    if (run.over !== "" || part.trim() === "" || (operator === "&&" && run.code !== 0)) continue;
    step(run, words(part));
  }
  return run;
}

/** Decides. Throws where the annotation cannot be read. */
export function planBehaviour(input: BehaviourInput): Behaviour {
  const entry = readSimulateEntry(input.annotation, input.container);
  const run = runCommand(input.argv);
  const forEver = (run.over === "lost" && !input.init) || !Number.isFinite(run.atMs);
  const fromCommand = forEver ? undefined : run.atMs;
  return {
    exitAfterMs: entry.exitAfterMs ?? (entry.exitCode === undefined ? fromCommand : (fromCommand ?? 0)),
    exitCode: entry.exitCode ?? (entry.exitAfterMs === undefined ? run.code : 0),
    readyAfterMs: entry.readyAfterMs ?? 0,
    livenessFailsAfterMs: entry.livenessFailsAfterMs,
    ignoresTermination: entry.ignoresTermination ?? false,
    output: run.output,
  };
}
