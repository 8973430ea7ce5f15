// The Common Expression Language as the Kubernetes API has it. https://kubernetes.io/docs/reference/using-api/cel/
export { CelFailure, CelScope, PER_CALL_LIMIT, type CelProgram, type Compiled } from "./program.ts";
export { celFieldName, type CelType } from "./values.ts";
