// AggregatedReader: how components read what other api-servers serve, as metrics APIs do.

export interface AggregatedReader {
  /**
   * The answer to a GET of a path below /apis, as in "/apis/metrics.k8s.io/v1beta1/namespaces/default/pods". Rejects with the
   * server's StatusError; NotFound where nobody serves that, ServiceUnavailable where who does cannot be reached.
   */
  read(path: string): Promise<unknown>;
}
