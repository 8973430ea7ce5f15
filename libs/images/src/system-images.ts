// The images that every cluster of real nodes has, made on the spot from programs of this machine: pause, busybox, and Node.
// Each is built once and found again in the cache folder until its sources change.
import { execFile } from "node:child_process";
import { mkdir, realpath, rename, rm, stat, writeFile, readFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { buildImage, type BuildRequest, type BuiltImage } from "./build-image.ts";
import { binaryFile, copyOf, directory, symlink, textFile, type ImageFile } from "./image-file.ts";
import { ociArchitecture, sha256 } from "./oci.ts";
import { sharedLibraries } from "./shared-libraries.ts";
import { pauseProgram } from "./tiny-elf.ts";

const run = promisify(execFile);

export const PAUSE_IMAGE = "coxswain.local/pause:1";
export const BUSYBOX_IMAGE = "coxswain.local/busybox:1";
export const NODE_IMAGE = "coxswain.local/node:24";

/** Raise it when the way images are made changes: archives in the cache are then made anew. */
const RECIPE = "1";
const PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

export interface SystemImagesRequest {
  /** Archives are kept here; may be shared by clusters. */
  readonly cacheDir: string;
  readonly programs: {
    /** A static busybox. */
    readonly busybox: string;
    /** The Node 24 that the image shall hold; the one that runs this where unset. */
    readonly node?: string;
  };
  /** Hears a line when something takes time. */
  readonly say?: (line: string) => void;
}

export interface SystemImages {
  readonly pause: BuiltImage;
  readonly busybox: BuiltImage;
  /** Holds busybox's applets too, so that there is a shell. */
  readonly node: BuiltImage;
}

/** Builds what the cache lacks. Rejects where a program is missing or the cache cannot be written. */
export async function ensureSystemImages(request: SystemImagesRequest): Promise<SystemImages> {
  const { cacheDir, programs, say = () => {} } = request;
  const node = await realpath(programs.node ?? process.execPath);
  const small = await ensureSandboxImages(request);
  const nodeImage = await cached(cacheDir, "node", NODE_IMAGE, await identity([programs.busybox, node]), () => {
    say(`building ${NODE_IMAGE} from ${node}`);
    return nodeImageOn(small.busybox.tar, node);
  });
  return { ...small, node: nodeImage };
}

/** The same without the image of Node: what a node cannot do without, and a shell. */
export async function ensureSandboxImages(
  request: SystemImagesRequest,
): Promise<Pick<SystemImages, "pause" | "busybox">> {
  const { cacheDir, programs } = request;
  const key = await identity([programs.busybox]);
  const pause = await cached(cacheDir, "pause", PAUSE_IMAGE, RECIPE, pauseImage);
  const busybox = await cached(cacheDir, "busybox", BUSYBOX_IMAGE, key, () => busyboxImage(programs.busybox));
  return { pause, busybox };
}

type Recipe = Omit<BuildRequest, "reference" | "out">;

/** What tells one version of a program from another without reading it: where it is, its size, when it was changed. */
async function identity(files: readonly string[]): Promise<string> {
  const parts = await Promise.all(
    files.map(async (file) => {
      const found = await stat(file);
      return [await realpath(file), found.size, found.mtimeMs];
    }),
  );
  return JSON.stringify([RECIPE, parts]);
}

async function cached(
  cacheDir: string,
  name: string,
  reference: string,
  key: string,
  recipe: () => Promise<Recipe> | Recipe,
): Promise<BuiltImage> {
  const stem = path.join(cacheDir, `${name}-${sha256(Buffer.from(key)).slice(7, 19)}`);
  const known = await readFile(`${stem}.json`, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
    return undefined;
  });
  if (known !== undefined) return { ...(JSON.parse(known) as BuiltImage), tar: `${stem}.tar` };
  await mkdir(cacheDir, { recursive: true });
  const built = await buildImage({ ...(await recipe()), reference, out: `${stem}.tar` });
  // The description is written last and whole: where it is, the archive is good.
  const partial = `${stem}.json.${process.pid}`;
  try {
    await writeFile(partial, JSON.stringify(built));
    await rename(partial, `${stem}.json`);
  } finally {
    await rm(partial, { force: true });
  }
  return built;
}

function pauseImage(): Recipe {
  return {
    layers: [[binaryFile("pause", pauseProgram(ociArchitecture()))]],
    config: { Entrypoint: ["/pause"], User: "65535:65535", WorkingDir: "/" },
  };
}

function accounts(): ImageFile[] {
  const passwd = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/tmp:/bin/false\n";
  return [
    textFile("etc/passwd", passwd),
    textFile("etc/group", "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n"),
    // Names in /etc/hosts before names from the cluster's DNS.
    textFile("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
    directory("root", 0o700),
    directory("tmp", 0o1777),
    directory("var/tmp", 0o1777),
    directory("proc", 0o555),
    directory("sys", 0o555),
    directory("dev"),
  ];
}

async function busyboxImage(busybox: string): Promise<Recipe> {
  const { stdout } = await run(busybox, ["--list-full"]);
  const applets = stdout.split("\n").filter((line) => line !== "" && line !== "bin/busybox");
  const files = [
    ...accounts(),
    await copyOf(busybox, "bin/busybox", 0o755),
    ...(await librariesOf(busybox)),
    ...applets.map((applet) => symlink(applet, "/bin/busybox")),
  ];
  return { layers: [files], config: { Cmd: ["sh"], Env: [PATH], WorkingDir: "/" } };
}

async function nodeImageOn(busyboxTar: string, node: string): Promise<Recipe> {
  const files = [await copyOf(node, "usr/local/bin/node", 0o755), ...(await librariesOf(node))];
  return {
    base: busyboxTar,
    layers: [files],
    config: { Entrypoint: ["/usr/local/bin/node"], Cmd: [], Env: [PATH, "NODE_ENV=production"], WorkingDir: "/" },
  };
}

/** At the same paths as here, where the loader finds them. */
async function librariesOf(program: string): Promise<ImageFile[]> {
  const libraries = await sharedLibraries(program);
  return Promise.all(libraries.map((file) => copyOf(file, file.slice(1), 0o755)));
}
