// The feature gates of upstream's v1.35, and how each stands there.

export interface GateSpec {
  readonly stage: "Alpha" | "Beta" | "GA" | "Deprecated";
  readonly default: boolean;
  /** It cannot be set to anything else. */
  readonly locked: boolean;
}

type Row = readonly [stage: GateSpec["stage"], byDefault: "on" | "off", locked: boolean, names: string];

const ROWS: readonly Row[] = [
  // These two stand for all of their stage that are not named themselves.
  ["Alpha", "off", false, "AllAlpha"],
  ["Beta", "off", false, "AllBeta"],
  [
    "Alpha",
    "off",
    false,
    `
      APIServingWithRoutine AllowUnsafeMalformedObjectDeletion CBORServingAndStorage CPUCFSQuotaPeriod
      CPUManagerPolicyAlphaOptions CSIVolumeHealth CloudControllerManagerWatchBasedRoutesReconciliation
      CloudControllerManagerWebhook ComponentFlagz ComponentStatusz ConstrainedImpersonation ContainerStopSignals
      CrossNamespaceVolumeDataSource DRAConsumableCapacity DRADeviceBindingConditions DRADeviceTaintRules
      DRADeviceTaints DRAExtendedResource DRAPartitionableDevices EventedPLEG GangScheduling GenericWorkload
      HPAScaleToZero InPlacePodLevelResourcesVerticalScaling InPlacePodVerticalScalingExclusiveCPUs
      InPlacePodVerticalScalingExclusiveMemory InTreePluginPortworxUnregister KubeletInUserNamespace
      LoggingAlphaOptions MemoryQoS MutablePVNodeAffinity MutablePodResourcesForSuspendedJobs
      MutableSchedulingDirectivesForSuspendedJobs NodeDeclaredFeatures PodAndContainerStatsFromCRI
      PodLogsQuerySplitStreams QOSReserved ReduceDefaultCrashLoopBackOffDecay RelaxedServiceNameValidation
      ResourceHealthStatus RestartAllContainersOnContainerExits RuntimeClassInImageCriAPI StorageCapacityScoring
      StorageVersionAPI StrictIPCIDRValidation TaintTolerationComparisonOperators TopologyManagerPolicyAlphaOptions
      UnknownVersionInteroperabilityProxy UserNamespacesHostNetworkSupport VolumeLimitScaling
      WindowsCPUAndMemoryAffinity
    `,
  ],
  [
    "Beta",
    "off",
    false,
    `
      CRDObservedGenerationTracking ClusterTrustBundle ClusterTrustBundleProjection ConcurrentWatchObjectDecode
      CoordinatedLeaderElection DeclarativeValidationTakeover LocalStorageCapacityIsolationFSQuotaMonitoring
      MutatingAdmissionPolicy NodeLogQuery PodCertificateRequest SELinuxMount StorageVersionMigrator
      WatchCacheInitializationPostStartHook
    `,
  ],
  [
    "Beta",
    "on",
    false,
    `
      APIResponseCompression APIServerIdentity AllowParsingUserUIDFromCertAuth
      AuthorizePodWebsocketUpgradeCreatePermission CPUManagerPolicyBetaOptions CSIServiceAccountTokenSecrets
      ClearingNominatedNodeNameAfterBinding ContainerCheckpoint ContainerRestartRules ContextualLogging
      DRAAdminAccess DRAPrioritizedList DRAResourceClaimDeviceStatus DRASchedulerFilterTimeout DeclarativeValidation
      DeploymentReplicaSetTerminatingReplicas DetectCacheInconsistency DisableCPUQuotaWithExclusiveCPUs EnvFiles
      ExternalServiceAccountTokenSigner GracefulNodeShutdown GracefulNodeShutdownBasedOnPodPriority
      HPAConfigurableTolerance HostnameOverride ImageVolume KubeletCrashLoopBackOffMax
      KubeletEnsureSecretPulledImages KubeletFineGrainedAuthz KubeletPSI KubeletPodResourcesDynamicResources
      KubeletPodResourcesGet KubeletSeparateDiskGC KubeletServiceAccountTokenForCredentialProviders
      ListFromCacheSnapshot LoggingBetaOptions MatchLabelKeysInPodTopologySpread
      MatchLabelKeysInPodTopologySpreadSelectorMerge MaxUnavailableStatefulSet MutableCSINodeAllocatableCount
      NominatedNodeNameForExpectation OpenAPIEnums OpportunisticBatching PodDeletionCost PodLevelResources
      PodReadyToStartContainersCondition PodTopologyLabelsAdmission PortForwardWebsockets
      PreventStaticPodAPIReferences ProcMountType ReloadKubeletServerCertificateFile RemoteRequestHeaderUID
      RotateKubeletServerCertificate SELinuxChangePolicy SELinuxMountReadWriteOncePod SchedulerAsyncAPICalls
      SchedulerAsyncPreemption SchedulerPopFromBackoffQ ServiceAccountNodeAudienceRestriction
      SizeBasedListCostEstimate StatefulSetSemanticRevisionComparison StorageVersionHash
      StructuredAuthenticationConfigurationEgressSelector StructuredAuthenticationConfigurationJWKSMetrics
      TokenRequestServiceAccountUIDValidation TopologyManagerPolicyBetaOptions TranslateStreamCloseWebsocketRequests
      UnauthenticatedHTTP2DOSMitigation UserNamespacesSupport WatchList WindowsGracefulNodeShutdown
    `,
  ],
  [
    "GA",
    "on",
    false,
    `
      TopologyManagerPolicyOptions VolumeAttributesClass
    `,
  ],
  [
    "GA",
    "on",
    true,
    `
      APIServerTracing AnonymousAuthConfigurableEndpoints AnyVolumeDataSource AuthorizeNodeWithSelectors
      AuthorizeWithSelectors BtreeWatchCache CPUManagerPolicyOptions CRDValidationRatcheting CSIMigrationPortworx
      ConsistentListFromCache CustomResourceFieldSelectors DisableAllocatorDualWrite DynamicResourceAllocation
      ExecProbeTimeout HonorPVReclaimPolicy ImageMaximumGCAge InPlacePodVerticalScaling JobBackoffLimitPerIndex
      JobManagedBy JobPodReplacementPolicy JobSuccessPolicy KubeletCgroupDriverFromCRI KubeletTracing
      LogarithmicScaleDown MatchLabelKeysInPodAffinity MemoryManager MultiCIDRServiceAllocator NFTablesProxyMode
      NodeInclusionPolicyInPodTopologySpread NodeSwap OrderedNamespaceDeletion PodLifecycleSleepAction
      PodLifecycleSleepActionAllowZero PodObservedGenerationTracking PodSchedulingReadiness
      PreferSameTrafficDistribution RecoverVolumeExpansionFailure RecursiveReadOnlyMounts RelaxedDNSSearchValidation
      RelaxedEnvironmentVariableValidation ResilientWatchCacheInitialization RetryGenerateName
      SchedulerQueueingHints SeparateTaintEvictionController ServiceAccountTokenJTI ServiceAccountTokenNodeBinding
      ServiceAccountTokenNodeBindingValidation ServiceAccountTokenPodNodeInfo ServiceTrafficDistribution
      SidecarContainers StreamingCollectionEncodingToJSON StreamingCollectionEncodingToProtobuf
      StructuredAuthenticationConfiguration StructuredAuthorizationConfiguration SupplementalGroupsPolicy
      SystemdWatchdog TopologyAwareHints WinDSR WinOverlay
    `,
  ],
  [
    "Deprecated",
    "off",
    false,
    `
      AllowDNSOnlyNodeCSR AllowInsecureKubeletCertificateSigningRequests ChangeContainerStatusOnKubeletRestart
      GitRepoVolumeDriver InPlacePodVerticalScalingAllocatedStatus KMSv1 KubeletRegistrationGetOnExistsOnly
      SeparateCacheWatchRPC WindowsHostNetwork
    `,
  ],
  [
    "Deprecated",
    "off",
    true,
    `
      AllowOverwriteTerminationGracePeriodSeconds WatchFromStorageWithoutResourceVersion
    `,
  ],
  [
    "Deprecated",
    "on",
    false,
    `
      DisableNodeKubeProxyVersion KubeletPodResourcesListUseActivePods StorageNamespaceIndex
    `,
  ],
  [
    "Deprecated",
    "on",
    true,
    `
      AggregatedDiscoveryRemoveBetaType
    `,
  ],
];

/** By name. */
export const KNOWN_GATES: ReadonlyMap<string, GateSpec> = new Map(
  ROWS.flatMap(([stage, byDefault, locked, names]) =>
    names
      .trim()
      .split(/\s+/)
      .map((name) => [name, { stage, default: byDefault === "on", locked }] as const),
  ),
);
