// Server reflection, v1 and v1alpha, from the descriptors that the process carries: grpcurl and `buf curl` need no files.
import { status } from "@grpc/grpc-js";
import { filesByName, filesBySymbol } from "@coxswain/protos";
import type { ServerReflectionRequest, ServerReflectionResponseInput } from "@coxswain/protos/grpc-reflection-v1.gen";
import type { GrpcService } from "./contract.ts";
import { implementService, type ResponseStream } from "./grpc-service.ts";

type Answer = Omit<ServerReflectionResponseInput, "validHost" | "originalRequest">;

function failure(code: status, message: string): Answer {
  return { errorResponse: { errorCode: code, errorMessage: message } };
}

function fileAnswer(files: readonly Buffer[] | undefined, what: string): Answer {
  return files === undefined
    ? failure(status.NOT_FOUND, `not found: ${what}`)
    : { fileDescriptorResponse: { fileDescriptorProto: files } };
}

function answer(request: ServerReflectionRequest, services: readonly string[]): Answer {
  if (request.messageRequest === "listServices") {
    return { listServicesResponse: { service: services.map((name) => ({ name })) } };
  }
  if (request.messageRequest === "fileByFilename") {
    const name = request.fileByFilename ?? "";
    return fileAnswer(filesByName(name), name);
  }
  if (request.messageRequest === "fileContainingSymbol") {
    const symbol = request.fileContainingSymbol ?? "";
    return fileAnswer(filesBySymbol(symbol), symbol);
  }
  // proto3 contracts have no extensions.
  if (request.messageRequest === "fileContainingExtension") {
    return failure(status.NOT_FOUND, "there are no extensions");
  }
  if (request.messageRequest === "allExtensionNumbersOfType") {
    return failure(status.NOT_FOUND, "there are no extensions");
  }
  return failure(status.INVALID_ARGUMENT, "the request asks for nothing");
}

/** `services` is what ListServices tells: all that this process serves. */
export function createReflectionServices(services: readonly string[]): GrpcService[] {
  const names = ["grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"] as const;
  const listed = [...services, ...names].toSorted();
  const serverReflectionInfo = async (
    requests: AsyncIterable<ServerReflectionRequest>,
    responses: ResponseStream<ServerReflectionResponseInput>,
  ): Promise<void> => {
    for await (const request of requests) {
      const { messageRequest: _, ...originalRequest } = request;
      await responses.send({ validHost: request.host, originalRequest, ...answer(request, listed) });
    }
  };
  return names.map((name) => implementService(name, { serverReflectionInfo }));
}
