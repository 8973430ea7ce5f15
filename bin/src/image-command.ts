// image: puts images on the nodes of a cluster with no registry (load), makes them of a folder (build), and lists what the
// nodes hold.
import { createWriteStream, mkdtempSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { pipeline } from "node:stream/promises";
import { InvalidArgumentError, type Command } from "commander";
import { attach, ClusterError } from "@coxswain/cluster";
import {
  buildImage,
  copyFiles,
  importImage,
  listNodeImages,
  parseBuildFile,
  parseReference,
  planBuild,
  type BuildPlan,
  type NodeImage,
} from "@coxswain/images";
import { nodeStores, type NodeStores } from "./node-stores.ts";
import { printTable } from "./table.ts";

const say = (line: string): void => console.error(line);

function toReference(text: string): string {
  try {
    return parseReference(text).full;
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}

export function addImage(program: Command): void {
  const image = program.command("image").description("images on the nodes: load, build, list");
  const named = (command: Command): Command => command.option("--name <name>", "name of the cluster", "default");
  named(image.command("load <archive>"))
    .description("put the images of an archive (docker save, OCI layout; - is standard input) on every node")
    .option("-t, --tag <image>", "give its only image this name", toReference)
    .action(load);
  named(image.command("build <folder>"))
    .description("build a folder's Dockerfile, without RUN, and put the image on every node")
    .requiredOption("-t, --tag <image>", "name of the image", toReference)
    .option("-f, --file <file>", "the Dockerfile (default: FOLDER/Dockerfile)")
    .action(build);
  named(image.command("list"))
    .description("what the nodes hold")
    .option("--output <format>", "json prints one object")
    .action(list);
}

async function storesOf(name: string): Promise<NodeStores> {
  return await nodeStores(await attach(name), say);
}

/** On all nodes at a time. */
async function onEveryNode({ stores }: NodeStores, archive: string, tag?: string): Promise<void> {
  const all = await Promise.all(stores.map((store) => importImage(store, archive, tag)));
  const names = new Set(all.flat().map(({ name }) => name));
  for (const name of names) {
    const fresh = all.filter((one) => one.some((image) => image.name === name && image.imported)).length;
    console.log(`${name} is on ${stores.length} nodes (${fresh} got it now)`);
  }
}

async function load(archive: string, options: { name: string; tag?: string }): Promise<void> {
  const nodes = await storesOf(options.name);
  const scratch = mkdtempSync(path.join(tmpdir(), "coxswain-image-"));
  try {
    const file = archive === "-" ? path.join(scratch, "stdin.tar") : archive;
    if (archive === "-") await pipeline(process.stdin, createWriteStream(file));
    await expected(() => onEveryNode(nodes, file, options.tag));
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

async function build(folder: string, options: { name: string; tag: string; file?: string }): Promise<void> {
  const context = path.resolve(folder);
  const plan = await expected(async () =>
    planBuild(parseBuildFile(await readFile(options.file ?? path.join(context, "Dockerfile"), "utf8"))),
  );
  const nodes = await storesOf(options.name);
  const scratch = mkdtempSync(path.join(tmpdir(), "coxswain-image-"));
  try {
    await expected(async () => {
      const layers = await Promise.all(plan.copies.map((copy) => copyFiles(context, copy)));
      const base = baseOf(plan, nodes);
      const out = path.join(scratch, "image.tar");
      const built = await buildImage({
        reference: options.tag,
        out,
        layers,
        config: plan.config,
        ...(base === undefined ? {} : { base, thin: true }),
      });
      say(`built ${built.reference} ${built.imageId}`);
      await onEveryNode(nodes, built.tar);
    });
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** The archive of one of the images that every node has. */
function baseOf({ base }: BuildPlan, { system }: NodeStores): string | undefined {
  if (base === undefined) return undefined;
  const known = [system.busybox, system.node];
  const full = parseReference(base).full;
  const found = known.find(({ reference }) => reference === full);
  if (found !== undefined) return found.tar;
  const names = known.map(({ reference }) => reference).join(", ");
  throw new Error(`FROM ${base}: an image can be built on scratch, ${names} only; \`image load\` takes others whole`);
}

async function list(options: { name: string; output?: string }): Promise<void> {
  const { stores, names } = await storesOf(options.name);
  const all = await Promise.all(stores.map((store) => listNodeImages(store)));
  if (options.output === "json") {
    console.log(JSON.stringify({ nodes: names.map((node, at) => ({ node, images: all[at] })) }));
    return;
  }
  const rows = new Map<string, { image: NodeImage; nodes: string[] }>();
  for (const [at, images] of all.entries()) {
    for (const image of images) {
      const key = `${image.name} ${image.digest}`;
      const row = rows.get(key) ?? { image, nodes: [] };
      row.nodes.push(names[at] ?? "");
      rows.set(key, row);
    }
  }
  printTable(
    ["IMAGE", "DIGEST", "SIZE", "NODES"],
    [...rows.values()]
      .toSorted((a, b) => (a.image.name < b.image.name ? -1 : 1))
      .map(({ image, nodes }) => [image.name, image.digest.slice(0, 19), image.size, nodes.join(",")]),
  );
}

/** What goes wrong here is about files and images that the user named: the message is enough. */
async function expected<T>(act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    throw new ClusterError((error as Error).message, { cause: error });
  }
}
