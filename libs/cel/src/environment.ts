// The environment that all rules share: CEL with optional values and the function libraries of Kubernetes.
import { Environment } from "@marcbachmann/cel-js";
import { registerAuthorization } from "./functions/authorization.ts";
import { registerComprehensions } from "./functions/comprehensions.ts";
import { registerConversions } from "./functions/conversions.ts";
import { registerAll } from "./functions/definition.ts";
import { registerKubernetes } from "./functions/kubernetes.ts";
import { registerListExtensions } from "./functions/list-extensions.ts";
import { LISTS } from "./functions/lists.ts";
import { registerNamespaces, registerPatchKeys } from "./functions/namespaces.ts";
import { registerNetwork } from "./functions/network.ts";
import { registerOptionals } from "./functions/optionals.ts";
import { STRINGS } from "./functions/strings.ts";
import { registerTimes } from "./functions/times.ts";
import { isPatchType, registerMessages } from "./syntax/messages.ts";

/** Rules are small; what is larger is refused before it is looked at. */
const LIMITS = { maxAstNodes: 10_000, maxDepth: 100 };

let base: Environment | undefined;

/** An environment of one's own, to declare variables in. `patches`: one that objects and patches can be made in. */
export function celEnvironment(patches: boolean): Environment {
  if (base === undefined) {
    base = new Environment({ enableOptionalTypes: true, homogeneousAggregateLiterals: false, limits: LIMITS });
    registerAll(base, STRINGS);
    registerAll(base, LISTS);
    registerListExtensions(base);
    registerNetwork(base);
    registerTimes(base);
    registerConversions(base);
    registerKubernetes(base);
    registerComprehensions(base);
    registerOptionals(base);
    registerNamespaces(base);
    registerAuthorization(base);
  }
  const own = base.clone();
  if (patches) registerPatchKeys(own);
  registerMessages(own, (name) => patches && isPatchType(name));
  return own;
}
