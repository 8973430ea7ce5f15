// pods/resize: changes what the containers of a pod that runs ask for and may use, as `kubectl patch --subresource resize` does.
import { preparePodResize, validatePodResize } from "@coxswain/api";
import type { UpdateRules } from "../registry/registry.ts";

export const RESIZE_RULES: UpdateRules = { prepare: preparePodResize, validate: validatePodResize };
