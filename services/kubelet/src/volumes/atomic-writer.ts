// Files of a volume that change all at once, after upstream's AtomicWriter. Guarantees:
// - Who reads through ..data sees the files of one version, never of two; the switch is one rename.
// - A write that was cut off at any point leaves the old version whole, and the next write sweeps up after it.
// - What has not changed is not written.
import {
  chmod,
  chown,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  symlink,
  writeFile,
} from "node:fs/promises";
import { dirname, join, normalize } from "node:path";
import { isMissing } from "./missing-files.ts";

export interface FileContent {
  readonly data: Uint8Array;
  /** Permission bits, 0o644. */
  readonly mode: number;
  /** Its owner; root where unset. */
  readonly uid?: number;
}

export type Payload = ReadonlyMap<string, FileContent>;

export interface WriteOptions {
  /** Name of the version's folder, unique and starting with "..": "..2026_01_31_09_30_00.x8d2". */
  readonly version: string;
  /** Is called with the folder of the new version before anybody can see it. */
  readonly finish?: (folder: string) => Promise<void>;
}

const DATA = "..data";
const NEW_DATA = "..data_tmp";
const MAX_NAME = 255;
const MAX_PATH = 4096;

/** Makes the files of `dir` those of `payload`, by relative path. Resolves with whether anything changed. */
export async function writeAtomically(dir: string, payload: Payload, options: WriteOptions): Promise<boolean> {
  const files = new Map([...payload].map(([path, content]) => [checkedPath(path), content]));
  const old = await currentVersion(dir);
  await sweep(dir, old);
  if (old !== undefined && (await holds(join(dir, old), files))) {
    await showFiles(dir, files);
    return false;
  }
  await writeVersion(join(dir, options.version), files);
  await options.finish?.(join(dir, options.version));
  await symlink(options.version, join(dir, NEW_DATA));
  await rename(join(dir, NEW_DATA), join(dir, DATA));
  await showFiles(dir, files);
  if (old !== undefined) await rm(join(dir, old), { recursive: true, force: true });
  return true;
}

/** A path below the volume; names that start with ".." at its top are the writer's own. Throws. */
function checkedPath(path: string): string {
  if (path === "") throw new Error('invalid path: must not be empty: ""');
  if (path.startsWith("/")) throw new Error(`invalid path: must be relative path: ${path}`);
  if (path.length > MAX_PATH) {
    throw new Error(`invalid path: must be less than or equal to ${MAX_PATH} characters`);
  }
  const names = path.split("/");
  if (names.includes("..")) throw new Error(`invalid path: must not contain '..': ${path}`);
  if (names.some((name) => name.length > MAX_NAME)) {
    throw new Error(`invalid path: filenames must be less than or equal to ${MAX_NAME} characters`);
  }
  const clean = normalize(path).replace(/\/$/, "");
  if (clean.startsWith("..")) throw new Error(`invalid path: must not start with '..': ${path}`);
  return clean;
}

/** Undefined where nothing has been written yet. */
async function currentVersion(dir: string): Promise<string | undefined> {
  try {
    return await readlink(join(dir, DATA));
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Deletes what writes that were cut off have left. */
async function sweep(dir: string, current: string | undefined): Promise<void> {
  for (const name of await readdir(dir)) {
    if (!name.startsWith("..") || name === DATA || name === current) continue;
    await rm(join(dir, name), { recursive: true, force: true });
  }
}

/** True where the folder has these files with these contents, and no others. */
async function holds(folder: string, files: Payload): Promise<boolean> {
  const present = await filesBelow(folder, "");
  if (present.length !== files.size) return false;
  for (const path of present) {
    const wanted = files.get(path);
    if (wanted === undefined || !(await readFile(join(folder, path))).equals(wanted.data)) return false;
  }
  return true;
}

async function filesBelow(folder: string, prefix: string): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir(join(folder, prefix), { withFileTypes: true })) {
    const path = prefix === "" ? entry.name : `${prefix}/${entry.name}`;
    if (entry.isDirectory()) found.push(...(await filesBelow(folder, path)));
    else found.push(path);
  }
  return found;
}

async function writeVersion(folder: string, files: Payload): Promise<void> {
  await mkdir(folder);
  // Not left to the umask: containers run as anybody.
  await chmod(folder, 0o755);
  for (const [path, { data, mode, uid }] of files) {
    const file = join(folder, path);
    await mkdir(dirname(file), { recursive: true, mode: 0o755 });
    await writeFile(file, data, { mode, flag: "wx" });
    await chmod(file, mode);
    if (uid !== undefined) await chown(file, uid, (await lstat(file)).gid);
  }
}

/** Links the top of each path into the present version, and drops links to what is no more. */
async function showFiles(dir: string, files: Payload): Promise<void> {
  const wanted = new Set([...files.keys()].map((path) => path.split("/", 1)[0] ?? path));
  for (const name of await readdir(dir)) {
    if (wanted.delete(name) || name.startsWith("..")) continue;
    await rm(join(dir, name), { recursive: true, force: true });
  }
  for (const name of wanted) await symlink(join(DATA, name), join(dir, name));
}
