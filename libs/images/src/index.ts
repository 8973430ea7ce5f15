// Images without Docker and without a registry: building them, the ones that every cluster has, and getting them onto nodes.
export { buildImage, type BuildRequest, type BuiltImage } from "./build-image.ts";
export { copyFiles, parseBuildFile, planBuild, type BuildPlan } from "./build-file.ts";
export { copyOf, binaryFile, directory, folderFiles, symlink, textFile, type ImageFile } from "./image-file.ts";
export { openArchive, type ImageArchive } from "./archive-reader.ts";
export { parseReference, type Reference } from "./reference.ts";
export type { RunConfig } from "./oci.ts";
export {
  BUSYBOX_IMAGE,
  ensureSystemImages,
  NODE_IMAGE,
  PAUSE_IMAGE,
  type SystemImages,
  type SystemImagesRequest,
} from "./system-images.ts";
export {
  ContainerdError,
  importImage,
  listNodeImages,
  type ImportedImage,
  type NodeImage,
  type NodeImageStore,
} from "./node-images.ts";
