// The contracts of all processes, for use at run time, and their types.
export {
  fileDescriptorSet,
  foreignServices,
  serviceDefinition,
  type MethodDefinition,
  type ServiceDefinition,
} from "./package.ts";
export { filesByName, filesBySymbol } from "./reflection-index.ts";
export type { ServiceName, ServiceTypes } from "./services.gen.ts";
export { structFromJson, structToJson, type JsonValue } from "./struct.ts";
