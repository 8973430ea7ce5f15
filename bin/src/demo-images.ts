// The images of the demo's shop, built on the spot from the bundles on top of the Node image: one small layer each.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import path from "node:path";
import { buildImage, copyOf, importImage, type BuiltImage, type NodeImageStore } from "@coxswain/images";

interface ShopImage {
  readonly reference: string;
  /** The bundle below dist/demo. */
  readonly program: string;
  readonly env: readonly string[];
}

const SHOP_IMAGES: readonly ShopImage[] = [
  ...["v1", "v2", "v3"].map((version) => ({
    reference: `coxswain.local/shopping-trolley:${version}`,
    program: "trolley",
    env: [`SHOP_VERSION=${version}`],
  })),
  ...["authenticator", "check-out", "ledger", "customer"].map((program) => ({
    reference: `coxswain.local/${program}:v1`,
    program,
    env: [],
  })),
];

export interface ShopImagesRequest {
  /** Where the archives are kept. */
  readonly cacheDir: string;
  /** Folder of the bundles. */
  readonly dist: string;
  /** Archive of coxswain.local/node:24, which the nodes must hold. */
  readonly nodeImage: string;
}

/** Builds all images of the shop; they are thin: what the Node image holds is not in them. */
export function buildShopImages({ cacheDir, dist, nodeImage }: ShopImagesRequest): Promise<BuiltImage[]> {
  return Promise.all(
    SHOP_IMAGES.map(async ({ reference, program, env }) => {
      const bundle = path.join(dist, "demo", `${program}.mjs`);
      const digest = createHash("sha256").update(readFileSync(bundle)).digest("hex").slice(0, 12);
      return buildImage({
        reference,
        out: path.join(cacheDir, `${reference.replaceAll(/[/:]/g, "-")}-${digest}.tar`),
        base: nodeImage,
        thin: true,
        layers: [[await copyOf(bundle, `app/${program}.mjs`, 0o644)]],
        config: { Entrypoint: ["node", "--enable-source-maps", `/app/${program}.mjs`], Env: [...env] },
      });
    }),
  );
}

/** Puts the images on every node, nodes side by side. */
export async function loadShopImages(stores: readonly NodeImageStore[], images: readonly BuiltImage[]): Promise<void> {
  await Promise.all(
    stores.map(async (store) => {
      for (const image of images) await importImage(store, image.tar);
    }),
  );
}
