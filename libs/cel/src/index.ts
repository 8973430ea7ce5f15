// The Common Expression Language as the Kubernetes API has it. https://kubernetes.io/docs/reference/using-api/cel/
export {
  AUTHORIZER_TYPE,
  CelAuthorizer,
  type AskAuthorizer,
  type AuthorizationQuestion,
} from "./functions/authorization.ts";
export type { CostSizes } from "./cost/operand.ts";
export type { Range as CostRange } from "./cost/ranges.ts";
export { quantity as celQuantity, semver as celSemver } from "./functions/kubernetes.ts";
export type { ListIdentity } from "./list-identity.ts";
export { CelFailure, CelScope, PER_CALL_LIMIT, type CelProgram, type Compiled } from "./program.ts";
export { CelMessage } from "./syntax/messages.ts";
export { celToJson, misplacedObjects } from "./to-json.ts";
export { celFieldName, dynamicValue, type CelType } from "./values.ts";
