// Generated from the .proto files by protos/generate.ts; do not edit.

import type * as apiV1 from "./api-v1.gen.ts";
import type * as chaosV1 from "./chaos-v1.gen.ts";
import type * as clusterautoscalerCloudproviderV1Externalgrpc from "./clusterautoscaler-cloudprovider-v1-externalgrpc.gen.ts";
import type * as componentV1 from "./component-v1.gen.ts";
import type * as containerdServicesSnapshotsV1 from "./containerd-services-snapshots-v1.gen.ts";
import type * as controllerV1 from "./controller-v1.gen.ts";
import type * as googleProtobuf from "./google-protobuf.gen.ts";
import type * as grpcHealthV1 from "./grpc-health-v1.gen.ts";
import type * as grpcReflectionV1 from "./grpc-reflection-v1.gen.ts";
import type * as grpcReflectionV1alpha from "./grpc-reflection-v1alpha.gen.ts";
import type * as kubeletV1 from "./kubelet-v1.gen.ts";
import type * as proxyV1 from "./proxy-v1.gen.ts";
import type * as runtimeV1 from "./runtime-v1.gen.ts";
import type * as schedulerV1 from "./scheduler-v1.gen.ts";

/** Messages of each method: `request` and `response` as received, `…Input` as sent. */
export interface ServiceTypes {
  "clusterautoscaler.cloudprovider.v1.externalgrpc.CloudProvider": {
    nodeGroups: {
      request: clusterautoscalerCloudproviderV1Externalgrpc.NodeGroupsRequest;
      requestInput: clusterautoscalerCloudproviderV1Externalgrpc.NodeGroupsRequestInput;
      response: clusterautoscalerCloudproviderV1Externalgrpc.NodeGroupsResponse;
      responseInput: clusterautoscalerCloudproviderV1Externalgrpc.NodeGroupsResponseInput;
      requestStream: false;
      responseStream: false;
    };
    nodeGroupForNode: {
      request: clusterautoscalerCloudproviderV1Externalgrpc.NodeGroupForNodeRequest;
      requestInput: clusterautoscalerCloudproviderV1Externalgrpc.NodeGroupForNodeRequestInput;
      response: clusterautoscalerCloudproviderV1Externalgrpc.NodeGroupForNodeResponse;
      responseInput: clusterautoscalerCloudproviderV1Externalgrpc.NodeGroupForNodeResponseInput;
      requestStream: false;
      responseStream: false;
    };
    cleanup: {
      request: clusterautoscalerCloudproviderV1Externalgrpc.CleanupRequest;
      requestInput: clusterautoscalerCloudproviderV1Externalgrpc.CleanupRequestInput;
      response: clusterautoscalerCloudproviderV1Externalgrpc.CleanupResponse;
      responseInput: clusterautoscalerCloudproviderV1Externalgrpc.CleanupResponseInput;
      requestStream: false;
      responseStream: false;
    };
    refresh: {
      request: clusterautoscalerCloudproviderV1Externalgrpc.RefreshRequest;
      requestInput: clusterautoscalerCloudproviderV1Externalgrpc.RefreshRequestInput;
      response: clusterautoscalerCloudproviderV1Externalgrpc.RefreshResponse;
      responseInput: clusterautoscalerCloudproviderV1Externalgrpc.RefreshResponseInput;
      requestStream: false;
      responseStream: false;
    };
    nodeGroupTargetSize: {
      request: clusterautoscalerCloudproviderV1Externalgrpc.NodeGroupTargetSizeRequest;
      requestInput: clusterautoscalerCloudproviderV1Externalgrpc.NodeGroupTargetSizeRequestInput;
      response: clusterautoscalerCloudproviderV1Externalgrpc.NodeGroupTargetSizeResponse;
      responseInput: clusterautoscalerCloudproviderV1Externalgrpc.NodeGroupTargetSizeResponseInput;
      requestStream: false;
      responseStream: false;
    };
    nodeGroupIncreaseSize: {
      request: clusterautoscalerCloudproviderV1Externalgrpc.NodeGroupIncreaseSizeRequest;
      requestInput: clusterautoscalerCloudproviderV1Externalgrpc.NodeGroupIncreaseSizeRequestInput;
      response: clusterautoscalerCloudproviderV1Externalgrpc.NodeGroupIncreaseSizeResponse;
      responseInput: clusterautoscalerCloudproviderV1Externalgrpc.NodeGroupIncreaseSizeResponseInput;
      requestStream: false;
      responseStream: false;
    };
    nodeGroupDeleteNodes: {
      request: clusterautoscalerCloudproviderV1Externalgrpc.NodeGroupDeleteNodesRequest;
      requestInput: clusterautoscalerCloudproviderV1Externalgrpc.NodeGroupDeleteNodesRequestInput;
      response: clusterautoscalerCloudproviderV1Externalgrpc.NodeGroupDeleteNodesResponse;
      responseInput: clusterautoscalerCloudproviderV1Externalgrpc.NodeGroupDeleteNodesResponseInput;
      requestStream: false;
      responseStream: false;
    };
    nodeGroupDecreaseTargetSize: {
      request: clusterautoscalerCloudproviderV1Externalgrpc.NodeGroupDecreaseTargetSizeRequest;
      requestInput: clusterautoscalerCloudproviderV1Externalgrpc.NodeGroupDecreaseTargetSizeRequestInput;
      response: clusterautoscalerCloudproviderV1Externalgrpc.NodeGroupDecreaseTargetSizeResponse;
      responseInput: clusterautoscalerCloudproviderV1Externalgrpc.NodeGroupDecreaseTargetSizeResponseInput;
      requestStream: false;
      responseStream: false;
    };
    nodeGroupNodes: {
      request: clusterautoscalerCloudproviderV1Externalgrpc.NodeGroupNodesRequest;
      requestInput: clusterautoscalerCloudproviderV1Externalgrpc.NodeGroupNodesRequestInput;
      response: clusterautoscalerCloudproviderV1Externalgrpc.NodeGroupNodesResponse;
      responseInput: clusterautoscalerCloudproviderV1Externalgrpc.NodeGroupNodesResponseInput;
      requestStream: false;
      responseStream: false;
    };
    nodeGroupTemplateNodeInfo: {
      request: clusterautoscalerCloudproviderV1Externalgrpc.NodeGroupTemplateNodeInfoRequest;
      requestInput: clusterautoscalerCloudproviderV1Externalgrpc.NodeGroupTemplateNodeInfoRequestInput;
      response: clusterautoscalerCloudproviderV1Externalgrpc.NodeGroupTemplateNodeInfoResponse;
      responseInput: clusterautoscalerCloudproviderV1Externalgrpc.NodeGroupTemplateNodeInfoResponseInput;
      requestStream: false;
      responseStream: false;
    };
  };
  "containerd.services.snapshots.v1.Snapshots": {
    view: {
      request: containerdServicesSnapshotsV1.ViewSnapshotRequest;
      requestInput: containerdServicesSnapshotsV1.ViewSnapshotRequestInput;
      response: containerdServicesSnapshotsV1.ViewSnapshotResponse;
      responseInput: containerdServicesSnapshotsV1.ViewSnapshotResponseInput;
      requestStream: false;
      responseStream: false;
    };
    mounts: {
      request: containerdServicesSnapshotsV1.MountsRequest;
      requestInput: containerdServicesSnapshotsV1.MountsRequestInput;
      response: containerdServicesSnapshotsV1.MountsResponse;
      responseInput: containerdServicesSnapshotsV1.MountsResponseInput;
      requestStream: false;
      responseStream: false;
    };
    remove: {
      request: containerdServicesSnapshotsV1.RemoveSnapshotRequest;
      requestInput: containerdServicesSnapshotsV1.RemoveSnapshotRequestInput;
      response: googleProtobuf.Empty;
      responseInput: googleProtobuf.EmptyInput;
      requestStream: false;
      responseStream: false;
    };
  };
  "coxswain.api.v1.Aggregated": {
    read: {
      request: apiV1.ReadRequest;
      requestInput: apiV1.ReadRequestInput;
      response: apiV1.ReadResponse;
      responseInput: apiV1.ReadResponseInput;
      requestStream: false;
      responseStream: false;
    };
    write: {
      request: apiV1.WriteRequest;
      requestInput: apiV1.WriteRequestInput;
      response: apiV1.WriteResponse;
      responseInput: apiV1.WriteResponseInput;
      requestStream: false;
      responseStream: false;
    };
  };
  "coxswain.api.v1.Discovery": {
    listResources: {
      request: apiV1.ListResourcesRequest;
      requestInput: apiV1.ListResourcesRequestInput;
      response: apiV1.ListResourcesResponse;
      responseInput: apiV1.ListResourcesResponseInput;
      requestStream: false;
      responseStream: false;
    };
    getSchema: {
      request: apiV1.GetSchemaRequest;
      requestInput: apiV1.GetSchemaRequestInput;
      response: apiV1.GetSchemaResponse;
      responseInput: apiV1.GetSchemaResponseInput;
      requestStream: false;
      responseStream: false;
    };
  };
  "coxswain.api.v1.Resources": {
    get: {
      request: apiV1.GetRequest;
      requestInput: apiV1.GetRequestInput;
      response: apiV1.GetResponse;
      responseInput: apiV1.GetResponseInput;
      requestStream: false;
      responseStream: false;
    };
    list: {
      request: apiV1.ListRequest;
      requestInput: apiV1.ListRequestInput;
      response: apiV1.ListResponse;
      responseInput: apiV1.ListResponseInput;
      requestStream: false;
      responseStream: true;
    };
    watch: {
      request: apiV1.WatchRequest;
      requestInput: apiV1.WatchRequestInput;
      response: apiV1.WatchResponse;
      responseInput: apiV1.WatchResponseInput;
      requestStream: false;
      responseStream: true;
    };
    create: {
      request: apiV1.CreateRequest;
      requestInput: apiV1.CreateRequestInput;
      response: apiV1.CreateResponse;
      responseInput: apiV1.CreateResponseInput;
      requestStream: false;
      responseStream: false;
    };
    update: {
      request: apiV1.UpdateRequest;
      requestInput: apiV1.UpdateRequestInput;
      response: apiV1.UpdateResponse;
      responseInput: apiV1.UpdateResponseInput;
      requestStream: false;
      responseStream: false;
    };
    patch: {
      request: apiV1.PatchRequest;
      requestInput: apiV1.PatchRequestInput;
      response: apiV1.PatchResponse;
      responseInput: apiV1.PatchResponseInput;
      requestStream: false;
      responseStream: false;
    };
    delete: {
      request: apiV1.DeleteRequest;
      requestInput: apiV1.DeleteRequestInput;
      response: apiV1.DeleteResponse;
      responseInput: apiV1.DeleteResponseInput;
      requestStream: false;
      responseStream: false;
    };
    deleteCollection: {
      request: apiV1.DeleteCollectionRequest;
      requestInput: apiV1.DeleteCollectionRequestInput;
      response: apiV1.DeleteCollectionResponse;
      responseInput: apiV1.DeleteCollectionResponseInput;
      requestStream: false;
      responseStream: false;
    };
    batch: {
      request: apiV1.BatchRequest;
      requestInput: apiV1.BatchRequestInput;
      response: apiV1.BatchResponse;
      responseInput: apiV1.BatchResponseInput;
      requestStream: true;
      responseStream: true;
    };
  };
  "coxswain.chaos.v1.Faults": {
    inject: {
      request: chaosV1.InjectRequest;
      requestInput: chaosV1.InjectRequestInput;
      response: chaosV1.InjectResponse;
      responseInput: chaosV1.InjectResponseInput;
      requestStream: false;
      responseStream: false;
    };
    list: {
      request: chaosV1.ListRequest;
      requestInput: chaosV1.ListRequestInput;
      response: chaosV1.ListResponse;
      responseInput: chaosV1.ListResponseInput;
      requestStream: false;
      responseStream: false;
    };
    heal: {
      request: chaosV1.HealRequest;
      requestInput: chaosV1.HealRequestInput;
      response: chaosV1.HealResponse;
      responseInput: chaosV1.HealResponseInput;
      requestStream: false;
      responseStream: false;
    };
  };
  "coxswain.component.v1.Component": {
    getInfo: {
      request: componentV1.GetInfoRequest;
      requestInput: componentV1.GetInfoRequestInput;
      response: componentV1.GetInfoResponse;
      responseInput: componentV1.GetInfoResponseInput;
      requestStream: false;
      responseStream: false;
    };
    getMetrics: {
      request: componentV1.GetMetricsRequest;
      requestInput: componentV1.GetMetricsRequestInput;
      response: componentV1.GetMetricsResponse;
      responseInput: componentV1.GetMetricsResponseInput;
      requestStream: false;
      responseStream: false;
    };
    setLogLevel: {
      request: componentV1.SetLogLevelRequest;
      requestInput: componentV1.SetLogLevelRequestInput;
      response: componentV1.SetLogLevelResponse;
      responseInput: componentV1.SetLogLevelResponseInput;
      requestStream: false;
      responseStream: false;
    };
  };
  "coxswain.controller.v1.Controllers": {
    list: {
      request: controllerV1.ListRequest;
      requestInput: controllerV1.ListRequestInput;
      response: controllerV1.ListResponse;
      responseInput: controllerV1.ListResponseInput;
      requestStream: false;
      responseStream: false;
    };
    pause: {
      request: controllerV1.PauseRequest;
      requestInput: controllerV1.PauseRequestInput;
      response: controllerV1.PauseResponse;
      responseInput: controllerV1.PauseResponseInput;
      requestStream: false;
      responseStream: false;
    };
    resume: {
      request: controllerV1.ResumeRequest;
      requestInput: controllerV1.ResumeRequestInput;
      response: controllerV1.ResumeResponse;
      responseInput: controllerV1.ResumeResponseInput;
      requestStream: false;
      responseStream: false;
    };
    step: {
      request: controllerV1.StepRequest;
      requestInput: controllerV1.StepRequestInput;
      response: controllerV1.StepResponse;
      responseInput: controllerV1.StepResponseInput;
      requestStream: false;
      responseStream: false;
    };
    getQueue: {
      request: controllerV1.GetQueueRequest;
      requestInput: controllerV1.GetQueueRequestInput;
      response: controllerV1.GetQueueResponse;
      responseInput: controllerV1.GetQueueResponseInput;
      requestStream: false;
      responseStream: false;
    };
  };
  "coxswain.kubelet.v1.Kubelet": {
    listPods: {
      request: kubeletV1.ListPodsRequest;
      requestInput: kubeletV1.ListPodsRequestInput;
      response: kubeletV1.ListPodsResponse;
      responseInput: kubeletV1.ListPodsResponseInput;
      requestStream: false;
      responseStream: false;
    };
    getLogs: {
      request: kubeletV1.GetLogsRequest;
      requestInput: kubeletV1.GetLogsRequestInput;
      response: kubeletV1.GetLogsResponse;
      responseInput: kubeletV1.GetLogsResponseInput;
      requestStream: false;
      responseStream: true;
    };
    exec: {
      request: kubeletV1.ExecRequest;
      requestInput: kubeletV1.ExecRequestInput;
      response: kubeletV1.ExecResponse;
      responseInput: kubeletV1.ExecResponseInput;
      requestStream: true;
      responseStream: true;
    };
    attach: {
      request: kubeletV1.AttachRequest;
      requestInput: kubeletV1.AttachRequestInput;
      response: kubeletV1.AttachResponse;
      responseInput: kubeletV1.AttachResponseInput;
      requestStream: true;
      responseStream: true;
    };
    portForward: {
      request: kubeletV1.PortForwardRequest;
      requestInput: kubeletV1.PortForwardRequestInput;
      response: kubeletV1.PortForwardResponse;
      responseInput: kubeletV1.PortForwardResponseInput;
      requestStream: true;
      responseStream: true;
    };
    getStats: {
      request: kubeletV1.GetStatsRequest;
      requestInput: kubeletV1.GetStatsRequestInput;
      response: kubeletV1.GetStatsResponse;
      responseInput: kubeletV1.GetStatsResponseInput;
      requestStream: false;
      responseStream: false;
    };
    listStats: {
      request: kubeletV1.ListStatsRequest;
      requestInput: kubeletV1.ListStatsRequestInput;
      response: kubeletV1.ListStatsResponse;
      responseInput: kubeletV1.ListStatsResponseInput;
      requestStream: false;
      responseStream: true;
    };
  };
  "coxswain.proxy.v1.Proxy": {
    listRules: {
      request: proxyV1.ListRulesRequest;
      requestInput: proxyV1.ListRulesRequestInput;
      response: proxyV1.ListRulesResponse;
      responseInput: proxyV1.ListRulesResponseInput;
      requestStream: false;
      responseStream: false;
    };
    resolve: {
      request: proxyV1.ResolveRequest;
      requestInput: proxyV1.ResolveRequestInput;
      response: proxyV1.ResolveResponse;
      responseInput: proxyV1.ResolveResponseInput;
      requestStream: false;
      responseStream: false;
    };
    sync: {
      request: proxyV1.SyncRequest;
      requestInput: proxyV1.SyncRequestInput;
      response: proxyV1.SyncResponse;
      responseInput: proxyV1.SyncResponseInput;
      requestStream: false;
      responseStream: false;
    };
  };
  "coxswain.scheduler.v1.Scheduler": {
    explain: {
      request: schedulerV1.ExplainRequest;
      requestInput: schedulerV1.ExplainRequestInput;
      response: schedulerV1.ExplainResponse;
      responseInput: schedulerV1.ExplainResponseInput;
      requestStream: false;
      responseStream: false;
    };
    simulate: {
      request: schedulerV1.SimulateRequest;
      requestInput: schedulerV1.SimulateRequestInput;
      response: schedulerV1.SimulateResponse;
      responseInput: schedulerV1.SimulateResponseInput;
      requestStream: false;
      responseStream: false;
    };
    getQueue: {
      request: schedulerV1.GetQueueRequest;
      requestInput: schedulerV1.GetQueueRequestInput;
      response: schedulerV1.GetQueueResponse;
      responseInput: schedulerV1.GetQueueResponseInput;
      requestStream: false;
      responseStream: false;
    };
    whatIf: {
      request: schedulerV1.WhatIfRequest;
      requestInput: schedulerV1.WhatIfRequestInput;
      response: schedulerV1.WhatIfResponse;
      responseInput: schedulerV1.WhatIfResponseInput;
      requestStream: false;
      responseStream: false;
    };
  };
  "grpc.health.v1.Health": {
    check: {
      request: grpcHealthV1.HealthCheckRequest;
      requestInput: grpcHealthV1.HealthCheckRequestInput;
      response: grpcHealthV1.HealthCheckResponse;
      responseInput: grpcHealthV1.HealthCheckResponseInput;
      requestStream: false;
      responseStream: false;
    };
    watch: {
      request: grpcHealthV1.HealthCheckRequest;
      requestInput: grpcHealthV1.HealthCheckRequestInput;
      response: grpcHealthV1.HealthCheckResponse;
      responseInput: grpcHealthV1.HealthCheckResponseInput;
      requestStream: false;
      responseStream: true;
    };
  };
  "grpc.reflection.v1.ServerReflection": {
    serverReflectionInfo: {
      request: grpcReflectionV1.ServerReflectionRequest;
      requestInput: grpcReflectionV1.ServerReflectionRequestInput;
      response: grpcReflectionV1.ServerReflectionResponse;
      responseInput: grpcReflectionV1.ServerReflectionResponseInput;
      requestStream: true;
      responseStream: true;
    };
  };
  "grpc.reflection.v1alpha.ServerReflection": {
    serverReflectionInfo: {
      request: grpcReflectionV1alpha.ServerReflectionRequest;
      requestInput: grpcReflectionV1alpha.ServerReflectionRequestInput;
      response: grpcReflectionV1alpha.ServerReflectionResponse;
      responseInput: grpcReflectionV1alpha.ServerReflectionResponseInput;
      requestStream: true;
      responseStream: true;
    };
  };
  "runtime.v1.RuntimeService": {
    version: {
      request: runtimeV1.VersionRequest;
      requestInput: runtimeV1.VersionRequestInput;
      response: runtimeV1.VersionResponse;
      responseInput: runtimeV1.VersionResponseInput;
      requestStream: false;
      responseStream: false;
    };
    status: {
      request: runtimeV1.StatusRequest;
      requestInput: runtimeV1.StatusRequestInput;
      response: runtimeV1.StatusResponse;
      responseInput: runtimeV1.StatusResponseInput;
      requestStream: false;
      responseStream: false;
    };
    runPodSandbox: {
      request: runtimeV1.RunPodSandboxRequest;
      requestInput: runtimeV1.RunPodSandboxRequestInput;
      response: runtimeV1.RunPodSandboxResponse;
      responseInput: runtimeV1.RunPodSandboxResponseInput;
      requestStream: false;
      responseStream: false;
    };
    stopPodSandbox: {
      request: runtimeV1.StopPodSandboxRequest;
      requestInput: runtimeV1.StopPodSandboxRequestInput;
      response: runtimeV1.StopPodSandboxResponse;
      responseInput: runtimeV1.StopPodSandboxResponseInput;
      requestStream: false;
      responseStream: false;
    };
    removePodSandbox: {
      request: runtimeV1.RemovePodSandboxRequest;
      requestInput: runtimeV1.RemovePodSandboxRequestInput;
      response: runtimeV1.RemovePodSandboxResponse;
      responseInput: runtimeV1.RemovePodSandboxResponseInput;
      requestStream: false;
      responseStream: false;
    };
    podSandboxStatus: {
      request: runtimeV1.PodSandboxStatusRequest;
      requestInput: runtimeV1.PodSandboxStatusRequestInput;
      response: runtimeV1.PodSandboxStatusResponse;
      responseInput: runtimeV1.PodSandboxStatusResponseInput;
      requestStream: false;
      responseStream: false;
    };
    listPodSandbox: {
      request: runtimeV1.ListPodSandboxRequest;
      requestInput: runtimeV1.ListPodSandboxRequestInput;
      response: runtimeV1.ListPodSandboxResponse;
      responseInput: runtimeV1.ListPodSandboxResponseInput;
      requestStream: false;
      responseStream: false;
    };
    createContainer: {
      request: runtimeV1.CreateContainerRequest;
      requestInput: runtimeV1.CreateContainerRequestInput;
      response: runtimeV1.CreateContainerResponse;
      responseInput: runtimeV1.CreateContainerResponseInput;
      requestStream: false;
      responseStream: false;
    };
    startContainer: {
      request: runtimeV1.StartContainerRequest;
      requestInput: runtimeV1.StartContainerRequestInput;
      response: runtimeV1.StartContainerResponse;
      responseInput: runtimeV1.StartContainerResponseInput;
      requestStream: false;
      responseStream: false;
    };
    stopContainer: {
      request: runtimeV1.StopContainerRequest;
      requestInput: runtimeV1.StopContainerRequestInput;
      response: runtimeV1.StopContainerResponse;
      responseInput: runtimeV1.StopContainerResponseInput;
      requestStream: false;
      responseStream: false;
    };
    removeContainer: {
      request: runtimeV1.RemoveContainerRequest;
      requestInput: runtimeV1.RemoveContainerRequestInput;
      response: runtimeV1.RemoveContainerResponse;
      responseInput: runtimeV1.RemoveContainerResponseInput;
      requestStream: false;
      responseStream: false;
    };
    listContainers: {
      request: runtimeV1.ListContainersRequest;
      requestInput: runtimeV1.ListContainersRequestInput;
      response: runtimeV1.ListContainersResponse;
      responseInput: runtimeV1.ListContainersResponseInput;
      requestStream: false;
      responseStream: false;
    };
    containerStatus: {
      request: runtimeV1.ContainerStatusRequest;
      requestInput: runtimeV1.ContainerStatusRequestInput;
      response: runtimeV1.ContainerStatusResponse;
      responseInput: runtimeV1.ContainerStatusResponseInput;
      requestStream: false;
      responseStream: false;
    };
    updateContainerResources: {
      request: runtimeV1.UpdateContainerResourcesRequest;
      requestInput: runtimeV1.UpdateContainerResourcesRequestInput;
      response: runtimeV1.UpdateContainerResourcesResponse;
      responseInput: runtimeV1.UpdateContainerResourcesResponseInput;
      requestStream: false;
      responseStream: false;
    };
    reopenContainerLog: {
      request: runtimeV1.ReopenContainerLogRequest;
      requestInput: runtimeV1.ReopenContainerLogRequestInput;
      response: runtimeV1.ReopenContainerLogResponse;
      responseInput: runtimeV1.ReopenContainerLogResponseInput;
      requestStream: false;
      responseStream: false;
    };
    execSync: {
      request: runtimeV1.ExecSyncRequest;
      requestInput: runtimeV1.ExecSyncRequestInput;
      response: runtimeV1.ExecSyncResponse;
      responseInput: runtimeV1.ExecSyncResponseInput;
      requestStream: false;
      responseStream: false;
    };
    exec: {
      request: runtimeV1.ExecRequest;
      requestInput: runtimeV1.ExecRequestInput;
      response: runtimeV1.ExecResponse;
      responseInput: runtimeV1.ExecResponseInput;
      requestStream: false;
      responseStream: false;
    };
    attach: {
      request: runtimeV1.AttachRequest;
      requestInput: runtimeV1.AttachRequestInput;
      response: runtimeV1.AttachResponse;
      responseInput: runtimeV1.AttachResponseInput;
      requestStream: false;
      responseStream: false;
    };
    portForward: {
      request: runtimeV1.PortForwardRequest;
      requestInput: runtimeV1.PortForwardRequestInput;
      response: runtimeV1.PortForwardResponse;
      responseInput: runtimeV1.PortForwardResponseInput;
      requestStream: false;
      responseStream: false;
    };
    listContainerStats: {
      request: runtimeV1.ListContainerStatsRequest;
      requestInput: runtimeV1.ListContainerStatsRequestInput;
      response: runtimeV1.ListContainerStatsResponse;
      responseInput: runtimeV1.ListContainerStatsResponseInput;
      requestStream: false;
      responseStream: false;
    };
    getContainerEvents: {
      request: runtimeV1.GetEventsRequest;
      requestInput: runtimeV1.GetEventsRequestInput;
      response: runtimeV1.ContainerEventResponse;
      responseInput: runtimeV1.ContainerEventResponseInput;
      requestStream: false;
      responseStream: true;
    };
  };
  "runtime.v1.ImageService": {
    listImages: {
      request: runtimeV1.ListImagesRequest;
      requestInput: runtimeV1.ListImagesRequestInput;
      response: runtimeV1.ListImagesResponse;
      responseInput: runtimeV1.ListImagesResponseInput;
      requestStream: false;
      responseStream: false;
    };
    imageStatus: {
      request: runtimeV1.ImageStatusRequest;
      requestInput: runtimeV1.ImageStatusRequestInput;
      response: runtimeV1.ImageStatusResponse;
      responseInput: runtimeV1.ImageStatusResponseInput;
      requestStream: false;
      responseStream: false;
    };
    pullImage: {
      request: runtimeV1.PullImageRequest;
      requestInput: runtimeV1.PullImageRequestInput;
      response: runtimeV1.PullImageResponse;
      responseInput: runtimeV1.PullImageResponseInput;
      requestStream: false;
      responseStream: false;
    };
    removeImage: {
      request: runtimeV1.RemoveImageRequest;
      requestInput: runtimeV1.RemoveImageRequestInput;
      response: runtimeV1.RemoveImageResponse;
      responseInput: runtimeV1.RemoveImageResponseInput;
      requestStream: false;
      responseStream: false;
    };
    imageFsInfo: {
      request: runtimeV1.ImageFsInfoRequest;
      requestInput: runtimeV1.ImageFsInfoRequestInput;
      response: runtimeV1.ImageFsInfoResponse;
      responseInput: runtimeV1.ImageFsInfoResponseInput;
      requestStream: false;
      responseStream: false;
    };
  };
}

export type ServiceName = keyof ServiceTypes;
