// Generated from the .proto files by protos/generate.ts; do not edit.


export interface HealthCheckRequest {
  service: string;
}

export interface HealthCheckRequestInput {
  service?: string | null;
}

export interface HealthCheckResponse {
  status: HealthCheckResponse_ServingStatus;
}

export interface HealthCheckResponseInput {
  status?: HealthCheckResponse_ServingStatus | null;
}

export type HealthCheckResponse_ServingStatus = "UNKNOWN" | "SERVING" | "NOT_SERVING" | "SERVICE_UNKNOWN";
