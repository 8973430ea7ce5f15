// AggregatedReader: how components read what other api-servers serve, as metrics APIs do; AggregatedClient: how they change it.

export interface AggregatedReader {
  /**
   * The answer to a GET of a path below /apis, as in "/apis/metrics.k8s.io/v1beta1/namespaces/default/pods". Rejects with the
   * server's StatusError; NotFound where nobody serves that, ServiceUnavailable where who does cannot be reached.
   */
  read(path: string): Promise<unknown>;
}

export interface AggregatedClient extends AggregatedReader {
  /** A merge patch of an object, or the deletion of an object or a collection with DeleteOptions; the answer. Rejects as `read`. */
  write(method: "PATCH" | "DELETE", path: string, body: object): Promise<unknown>;
}
