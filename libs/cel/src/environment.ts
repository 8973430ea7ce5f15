// The environment that all rules share: CEL with optional values and the function libraries of Kubernetes.
import { Environment } from "@marcbachmann/cel-js";
import { registerAll } from "./functions/definition.ts";
import { registerKubernetes } from "./functions/kubernetes.ts";
import { LISTS } from "./functions/lists.ts";
import { registerNetwork } from "./functions/network.ts";
import { STRINGS } from "./functions/strings.ts";

/** Rules are small; what is larger is refused before it is looked at. */
const LIMITS = { maxAstNodes: 10_000, maxDepth: 100 };

let base: Environment | undefined;

/** An environment of one's own, to declare variables in. */
export function celEnvironment(): Environment {
  if (base === undefined) {
    base = new Environment({ enableOptionalTypes: true, homogeneousAggregateLiterals: false, limits: LIMITS });
    registerAll(base, STRINGS);
    registerAll(base, LISTS);
    registerNetwork(base);
    registerKubernetes(base);
  }
  return base.clone();
}
