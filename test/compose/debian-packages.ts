// Debian's packages as folders: downloaded by apt, unpacked under .tools, never installed. No service of theirs starts,
// and the machine's own /usr and package database stay as they are.
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** The address that this machine's apt gets the suite's main component from. Rejects where it has none. */
export async function mirrorOf(suite: string): Promise<string> {
  const { stdout } = await run("apt-get", ["indextargets", "--format", "$(REPO_URI) $(CODENAME) $(COMPONENT)"]);
  const line = stdout.split("\n").find((text) => text.endsWith(` ${suite} main`));
  if (line === undefined) throw new Error(`apt knows no source of ${suite}`);
  return line.slice(0, line.indexOf(" "));
}

/**
 * An apt of its own for another suite of Debian, from the same mirror, below `folder`: the machine's sources stay
 * untouched. Resolves with the environment that makes apt-get use it. Rejects where the suite cannot be had.
 */
export async function aptForSuite(folder: string, suite: string, known: string): Promise<NodeJS.ProcessEnv> {
  const mirror = await mirrorOf(known);
  for (const part of ["lists/partial", "cache/archives/partial"])
    mkdirSync(path.join(folder, part), { recursive: true });
  writeFileSync(path.join(folder, "status"), "");
  writeFileSync(path.join(folder, "sources.list"), `deb ${mirror} ${suite} main\n`);
  const settings = {
    "Dir::State": folder,
    "Dir::State::Lists": path.join(folder, "lists"),
    "Dir::State::status": path.join(folder, "status"),
    "Dir::Cache": path.join(folder, "cache"),
    "Dir::Etc::SourceList": path.join(folder, "sources.list"),
    "Dir::Etc::SourceParts": "/dev/null",
    "Dir::Etc::Preferences": "/dev/null",
    "Dir::Etc::PreferencesParts": "/dev/null",
    "Acquire::Languages": "none",
    "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
    // The folder may lie where apt's own user cannot look.
    "APT::Sandbox::User": "root",
  };
  const config = path.join(folder, "apt.conf");
  writeFileSync(
    config,
    Object.entries(settings)
      .map(([key, value]) => `${key} "${value}";\n`)
      .join(""),
  );
  const env = { ...process.env, APT_CONFIG: config };
  await run("apt-get", ["-q", "--error-on=any", "update"], { env, maxBuffer: 16 << 20 });
  return env;
}

/** What `apt-get install` would add to this machine for `packages`, with the packages themselves. */
async function closureOf(packages: readonly string[], env: NodeJS.ProcessEnv): Promise<string[]> {
  const { stdout } = await run("apt-get", ["-s", "--no-install-recommends", "install", ...packages], {
    env,
    maxBuffer: 16 << 20,
  });
  return [...stdout.matchAll(/^Inst (\S+)/gm)].flatMap((match) => match[1] ?? []);
}

export interface PackageTree {
  readonly packages: readonly string[];
  /** Also what they depend on and this machine does not have. */
  readonly withDependencies: boolean;
  readonly env?: NodeJS.ProcessEnv;
}

/** Unpacks the packages into `folder`, once: a folder that is there is complete. Resolves with the folder. */
export async function ensurePackageTree(folder: string, tree: PackageTree): Promise<string> {
  if (existsSync(folder)) return folder;
  const env = tree.env ?? process.env;
  const work = `${folder}.part`;
  rmSync(work, { recursive: true, force: true });
  const downloads = path.join(work, "debs");
  mkdirSync(downloads, { recursive: true });
  const download = async (): Promise<void> => {
    const names = tree.withDependencies ? await closureOf(tree.packages, env) : tree.packages;
    if (names.length === 0) return;
    const options = { cwd: downloads, env, maxBuffer: 16 << 20 };
    await run("apt-get", ["-q", "-o", "APT::Sandbox::User=root", "download", ...names], options);
  };
  try {
    await download();
  } catch {
    // A machine that has never fetched the package lists, or long ago, knows no such package. The second try tells.
    await run("apt-get", ["-q", "update"], { env, maxBuffer: 16 << 20 });
    await download();
  }
  const root = path.join(work, "root");
  mkdirSync(path.join(root, "usr"), { recursive: true });
  chmodSync(root, 0o755);
  for (const archive of readdirSync(downloads).filter((file) => file.endsWith(".deb")))
    await run("dpkg-deb", ["-x", path.join(downloads, archive), root]);
  await chooseIptables(root);
  renameSync(root, folder);
  rmSync(work, { recursive: true, force: true });
  return folder;
}

/**
 * A folder that apt can install the packages from (`deb [trusted=yes] file:<folder> ./`), with all that they need and a
 * machine of `base` (a tar of a Debian) does not have. Made once: a folder that is there is complete.
 */
export async function ensureRepository(
  folder: string,
  wish: { readonly packages: readonly string[]; readonly base: string; readonly release: string },
): Promise<string> {
  if (existsSync(folder)) return folder;
  const work = `${folder}.part`;
  const downloads = path.join(work, "debs");
  rmSync(work, { recursive: true, force: true });
  mkdirSync(downloads, { recursive: true });
  const env = await aptForSuite(path.join(work, "apt"), wish.release, wish.release);
  await run("tar", ["-xf", wish.base, "-C", path.join(work, "apt"), "--strip-components=4", "./var/lib/dpkg/status"]);
  const names = await closureOf(wish.packages, env);
  await run("apt-get", ["-q", "download", ...names], { cwd: downloads, env, maxBuffer: 16 << 20 });
  const entries = await Promise.all(
    readdirSync(downloads).map(async (file) => {
      const archive = path.join(downloads, file);
      const { stdout: control } = await run("dpkg-deb", ["--field", archive]);
      const digest = createHash("sha256").update(readFileSync(archive)).digest("hex");
      return `${control.trimEnd()}\nFilename: ./${file}\nSize: ${statSync(archive).size}\nSHA256: ${digest}\n`;
    }),
  );
  writeFileSync(path.join(downloads, "Packages"), entries.join("\n"));
  renameSync(downloads, folder);
  rmSync(work, { recursive: true, force: true });
  return folder;
}

/** What the package's installation would choose through update-alternatives. */
async function chooseIptables(root: string): Promise<void> {
  const folder = path.join(root, "usr/sbin");
  if (!existsSync(path.join(folder, "xtables-nft-multi"))) return;
  for (const family of ["iptables", "ip6tables"])
    for (const suffix of ["", "-save", "-restore"]) {
      const link = path.join(folder, `${family}${suffix}`);
      if (lstatSync(link, { throwIfNoEntry: false }) === undefined) symlinkSync("xtables-nft-multi", link);
    }
}
