// The part of a Dockerfile that can be built with no container: a base, files, and how the image runs. Guarantee: what cannot be
// done (RUN above all) is refused by name and line, never left out. https://docs.docker.com/reference/dockerfile/
import { lstat } from "node:fs/promises";
import path from "node:path";
import { copyOf, directory, folderFiles, type ImageFile } from "./image-file.ts";
import type { RunConfig } from "./oci.ts";

/** The message names the line. */
export class BuildFileError extends Error {
  override readonly name = "BuildFileError";
}

export interface Instruction {
  readonly line: number;
  /** Upper case. */
  readonly keyword: string;
  readonly rest: string;
}

export interface BuildPlan {
  /** Name of the image to build on; undefined for `scratch`. */
  readonly base: string | undefined;
  readonly config: RunConfig;
  /** One layer each. */
  readonly copies: readonly Copy[];
}

export interface Copy {
  readonly line: number;
  readonly sources: readonly string[];
  /** Absolute. Ends with "/" where it is a folder. */
  readonly target: string;
  readonly mode: number | undefined;
}

const REFUSED: Readonly<Record<string, string>> = {
  RUN: "images are built with no container: run it before, and COPY what it makes",
  SHELL: "it is for RUN, which is not supported",
  ONBUILD: "images are built once",
  HEALTHCHECK: "use probes of the pod",
  VOLUME: "use volumes of the pod",
};

/** Joins continued lines, drops comments. Throws BuildFileError. */
export function parseBuildFile(text: string): Instruction[] {
  const instructions: Instruction[] = [];
  let open: { line: number; text: string } | undefined;
  for (const [at, raw] of text.split(/\r?\n/).entries()) {
    if (raw.trim() === "" || raw.trimStart().startsWith("#")) continue;
    const continued = raw.trimEnd().endsWith("\\");
    const piece = continued ? raw.trimEnd().slice(0, -1) : raw;
    open = { line: open?.line ?? at + 1, text: `${open?.text ?? ""}${piece}` };
    if (continued) continue;
    const [, keyword = "", rest = ""] = /^\s*(\S+)\s*(.*?)\s*$/s.exec(open.text) ?? [];
    instructions.push({ line: open.line, keyword: keyword.toUpperCase(), rest });
    open = undefined;
  }
  if (open !== undefined) throw new BuildFileError(`line ${open.line}: the last line is continued by nothing`);
  return instructions;
}

/** The words of a line, with quotes taken off. */
function words(text: string): string[] {
  return [...text.matchAll(/(?:[^\s"']|"(?:\\.|[^"\\])*"|'[^']*')+/g)].map(([word]) =>
    word.replaceAll(
      /"((?:\\.|[^"\\])*)"|'([^']*)'/g,
      (_whole, double: string | undefined, single: string | undefined) =>
        double === undefined ? (single ?? "") : double.replaceAll(/\\(.)/g, "$1"),
    ),
  );
}

/** `["a", "b"]`, or a command line for /bin/sh. */
function command({ line, rest }: Instruction): string[] {
  if (!rest.startsWith("[")) return ["/bin/sh", "-c", rest];
  try {
    const parsed: unknown = JSON.parse(rest);
    if (Array.isArray(parsed) && parsed.every((one): one is string => typeof one === "string")) return parsed;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw new BuildFileError(`line ${line}: ${rest} is no list of strings`);
}

/** KEY=VALUE …, or KEY VALUE. */
function pairs({ line, keyword, rest }: Instruction): [string, string][] {
  const [first = "", ...more] = words(rest);
  if (!first.includes("=") && more.length > 0) return [[first, rest.slice(rest.indexOf(first) + first.length).trim()]];
  return [first, ...more].map((word) => {
    const at = word.indexOf("=");
    if (at < 1) throw new BuildFileError(`line ${line}: ${keyword} takes KEY=VALUE`);
    return [word.slice(0, at), word.slice(at + 1)];
  });
}

function copy({ line, keyword, rest }: Instruction, workingDir: string): Copy {
  let mode: number | undefined;
  const given = rest.startsWith("[") ? command({ line, keyword, rest }) : words(rest);
  const plain = given.filter((word) => !word.startsWith("--"));
  for (const flag of given.filter((word) => word.startsWith("--"))) {
    const [, octal] = /^--chmod=([0-7]{3,4})$/.exec(flag) ?? [];
    if (octal === undefined) throw new BuildFileError(`line ${line}: ${keyword} ${flag} is not supported`);
    mode = Number.parseInt(octal, 8);
  }
  const target = plain.pop();
  if (target === undefined || plain.length === 0) {
    throw new BuildFileError(`line ${line}: ${keyword} takes at least one source and a target`);
  }
  const remote = plain.find((source) => /^[a-z]+:\/\//.test(source));
  if (remote !== undefined) throw new BuildFileError(`line ${line}: ${keyword} ${remote}: nothing is fetched here`);
  const folder = target.endsWith("/") || target === "." || plain.length > 1;
  const full = path.posix.resolve(workingDir, target);
  return { line, sources: plain, target: folder && full !== "/" ? `${full}/` : full, mode };
}

/** What to build. Throws BuildFileError for what is not supported. */
export function planBuild(instructions: readonly Instruction[]): BuildPlan {
  const [from, ...rest] = instructions;
  if (from?.keyword !== "FROM") throw new BuildFileError(`line ${from?.line ?? 1}: the first instruction must be FROM`);
  const [base = "", ...more] = words(from.rest);
  if (base === "" || more.length > 0) throw new BuildFileError(`line ${from.line}: FROM takes one image`);
  let config: RunConfig = {};
  const env = new Map<string, string>();
  const labels: Record<string, string> = {};
  const ports: Record<string, object> = {};
  const copies: Copy[] = [];
  for (const one of rest) {
    const why = REFUSED[one.keyword];
    if (why !== undefined) throw new BuildFileError(`line ${one.line}: ${one.keyword} is not supported: ${why}`);
    if (one.keyword === "COPY" || one.keyword === "ADD") copies.push(copy(one, config.WorkingDir ?? "/"));
    else if (one.keyword === "ENV") for (const [key, value] of pairs(one)) env.set(key, value);
    else if (one.keyword === "LABEL") for (const [key, value] of pairs(one)) labels[key] = value;
    else if (one.keyword === "EXPOSE")
      for (const port of words(one.rest)) ports[port.includes("/") ? port : `${port}/tcp`] = {};
    else config = { ...config, ...oneSetting(one, config) };
  }
  return {
    base: base === "scratch" ? undefined : base,
    config: {
      ...config,
      ...(env.size === 0 ? {} : { Env: [...env].map(([key, value]) => `${key}=${value}`) }),
      ...(Object.keys(labels).length === 0 ? {} : { Labels: labels }),
      ...(Object.keys(ports).length === 0 ? {} : { ExposedPorts: ports }),
    },
    copies,
  };
}

function oneSetting(one: Instruction, config: RunConfig): RunConfig {
  const [word = ""] = words(one.rest);
  switch (one.keyword) {
    case "WORKDIR":
      return { WorkingDir: path.posix.resolve(config.WorkingDir ?? "/", word) };
    case "USER":
      return { User: word };
    case "STOPSIGNAL":
      return { StopSignal: word };
    case "ENTRYPOINT":
      return { Entrypoint: command(one) };
    case "CMD":
      return { Cmd: command(one) };
    case "FROM":
      throw new BuildFileError(`line ${one.line}: a second FROM is not supported`);
    default:
      throw new BuildFileError(`line ${one.line}: unknown instruction: ${one.keyword}`);
  }
}

/** The files of a layer. Rejects with BuildFileError where a source lies outside of `context` or is not there. */
export async function copyFiles(context: string, { line, sources, target, mode }: Copy): Promise<ImageFile[]> {
  const root = target.replace(/^\//, "");
  const files = new Map<string, ImageFile>();
  const put = (file: ImageFile): void => void files.set(file.path, mode === undefined ? file : withMode(file, mode));
  for (const source of sources) {
    const full = path.resolve(context, source.replace(/^\/+/, ""));
    if (full !== context && !full.startsWith(`${context}${path.sep}`)) {
      throw new BuildFileError(`line ${line}: ${source} lies outside of the build's folder`);
    }
    const found = await lstat(full).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") throw new BuildFileError(`line ${line}: ${source}: no such file or folder`);
      throw error;
    });
    if (found.isDirectory()) for (const file of await folderFiles(full, root.replace(/\/$/, ""))) put(file);
    else put(await copyOf(full, target.endsWith("/") ? path.posix.join(root, path.basename(full)) : root));
  }
  const folders = new Set([...files.keys()].flatMap(parents));
  return [...[...folders].filter((one) => !files.has(one)).map((one) => directory(one)), ...files.values()];
}

const withMode = (file: ImageFile, mode: number): ImageFile =>
  file.kind === "copy" || file.kind === "bytes" ? { ...file, mode } : file;

/** The folders that a path lies in, as in "a" and "a/b" of "a/b/c". */
function parents(file: string): string[] {
  const parts = file.split("/").slice(0, -1);
  return parts.map((_part, at) => parts.slice(0, at + 1).join("/"));
}
