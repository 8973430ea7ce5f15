// Generated from the .proto files by protos/generate.ts; do not edit.


export interface ServerReflectionRequest {
  host: string;
  fileByFilename?: string;
  fileContainingSymbol?: string;
  fileContainingExtension?: ExtensionRequest | null;
  allExtensionNumbersOfType?: string;
  listServices?: string;
  messageRequest?: "fileByFilename" | "fileContainingSymbol" | "fileContainingExtension" | "allExtensionNumbersOfType" | "listServices";
}

export interface ServerReflectionRequestInput {
  host?: string | null;
  fileByFilename?: string | null;
  fileContainingSymbol?: string | null;
  fileContainingExtension?: ExtensionRequestInput | null;
  allExtensionNumbersOfType?: string | null;
  listServices?: string | null;
}

export interface ExtensionRequest {
  containingType: string;
  extensionNumber: number;
}

export interface ExtensionRequestInput {
  containingType?: string | null;
  extensionNumber?: number | null;
}

export interface ServerReflectionResponse {
  validHost: string;
  originalRequest: ServerReflectionRequest | null;
  fileDescriptorResponse?: FileDescriptorResponse | null;
  allExtensionNumbersResponse?: ExtensionNumberResponse | null;
  listServicesResponse?: ListServiceResponse | null;
  errorResponse?: ErrorResponse | null;
  messageResponse?: "fileDescriptorResponse" | "allExtensionNumbersResponse" | "listServicesResponse" | "errorResponse";
}

export interface ServerReflectionResponseInput {
  validHost?: string | null;
  originalRequest?: ServerReflectionRequestInput | null;
  fileDescriptorResponse?: FileDescriptorResponseInput | null;
  allExtensionNumbersResponse?: ExtensionNumberResponseInput | null;
  listServicesResponse?: ListServiceResponseInput | null;
  errorResponse?: ErrorResponseInput | null;
}

export interface FileDescriptorResponse {
  fileDescriptorProto: Array<Buffer>;
}

export interface FileDescriptorResponseInput {
  fileDescriptorProto?: ReadonlyArray<Uint8Array> | null;
}

export interface ExtensionNumberResponse {
  baseTypeName: string;
  extensionNumber: Array<number>;
}

export interface ExtensionNumberResponseInput {
  baseTypeName?: string | null;
  extensionNumber?: ReadonlyArray<number> | null;
}

export interface ListServiceResponse {
  service: Array<ServiceResponse>;
}

export interface ListServiceResponseInput {
  service?: ReadonlyArray<ServiceResponseInput> | null;
}

export interface ServiceResponse {
  name: string;
}

export interface ServiceResponseInput {
  name?: string | null;
}

export interface ErrorResponse {
  errorCode: number;
  errorMessage: string;
}

export interface ErrorResponseInput {
  errorCode?: number | null;
  errorMessage?: string | null;
}
