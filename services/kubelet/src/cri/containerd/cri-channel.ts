// One gRPC connection to a container runtime: the calls of its interface, and those to containerd's snapshots, for what the
// interface of older versions lacks. Guarantees: every call has a deadline; every failure is a CriError; a runtime
// that was killed and came back is reached again without anybody's help; while it is away, calls fail at once.
import { Channel, ChannelCredentials, Client, Metadata, status, type ServiceError } from "@grpc/grpc-js";
import { AbortError, type Env } from "@coxswain/env";
import { serviceDefinition, type ServiceTypes } from "@coxswain/protos";
import { CriError } from "../contract.ts";

const SNAPSHOTS = "containerd.services.snapshots.v1.Snapshots";
/** Where the runtime interface of containerd keeps what is its own. */
const CRI_NAMESPACE = "k8s.io";

type Services = Pick<ServiceTypes, "runtime.v1.RuntimeService" | "runtime.v1.ImageService" | typeof SNAPSHOTS>;
type Runtime = Services["runtime.v1.RuntimeService"];
type Images = Services["runtime.v1.ImageService"];
/** The methods of all services with one request and one response: their names differ. */
type Unary = Omit<Runtime, "getContainerEvents"> & Images & Services[typeof SNAPSHOTS];
export type UnaryMethod = keyof Unary;
export type Request<M extends UnaryMethod> = Unary[M]["requestInput"];
export type Response<M extends UnaryMethod> = Unary[M]["response"];
export type RuntimeEvent = Runtime["getContainerEvents"]["response"];

const CODES: Partial<Record<status, CriError["code"]>> = {
  [status.NOT_FOUND]: "NotFound",
  [status.ALREADY_EXISTS]: "AlreadyExists",
  [status.UNAVAILABLE]: "Unavailable",
  [status.CANCELLED]: "Unavailable",
  [status.RESOURCE_EXHAUSTED]: "Unavailable",
  [status.DEADLINE_EXCEEDED]: "DeadlineExceeded",
  [status.INVALID_ARGUMENT]: "InvalidArgument",
  [status.OUT_OF_RANGE]: "InvalidArgument",
  [status.FAILED_PRECONDITION]: "InvalidArgument",
  [status.UNIMPLEMENTED]: "Unimplemented",
};

/** The CriError that a failed call stands for. Runtimes send some errors without a code: then the text decides. */
export function criError({ code, details }: Pick<ServiceError, "code" | "details">): CriError {
  const known = CODES[code];
  if (known !== undefined) return new CriError(known, details);
  if (/\bis reserved for\b/.test(details)) return new CriError("AlreadyExists", details);
  if (/\bnot found$/.test(details)) return new CriError("NotFound", details);
  return new CriError("Internal", details);
}

const MAX_MESSAGE_BYTES = 16 << 20;

/** containerd's own services want to know whose things are meant. */
function metadataOf(path: string): Metadata {
  const metadata = new Metadata();
  if (path.startsWith(`/${SNAPSHOTS}/`)) metadata.set("containerd-namespace", CRI_NAMESPACE);
  return metadata;
}

export class CriChannel {
  readonly #env: Env;
  readonly #client: Client;
  readonly #methods: ReadonlyMap<string, ReturnType<typeof serviceDefinition>[string]>;

  /** `endpoint` is a URL, as in unix:///run/containerd/containerd.sock. It connects on first use. */
  constructor(env: Env, endpoint: string) {
    this.#env = env;
    const credentials = ChannelCredentials.createInsecure();
    const channelOverride = new Channel(endpoint, credentials, {
      // Go's servers refuse the path of the socket as the authority.
      "grpc.default_authority": "localhost",
      "grpc.initial_reconnect_backoff_ms": 100,
      "grpc.max_reconnect_backoff_ms": 1_000,
      "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
      "grpc.enable_retries": 0,
      "grpc.enable_channelz": 0,
      "grpc.enable_http_proxy": 0,
      "grpc.use_local_subchannel_pool": 1,
    });
    this.#client = new Client(endpoint, credentials, { channelOverride });
    const services = ["runtime.v1.RuntimeService", "runtime.v1.ImageService", SNAPSHOTS] as const;
    const methods = services.flatMap((service) => Object.values(serviceDefinition(service)));
    this.#methods = new Map(methods.map((method) => [method.originalName ?? "", method]));
  }

  /** Throws CriError; AbortError where `signal` aborts. Infinity as `timeoutMs` means no deadline. */
  call<M extends UnaryMethod>(
    name: M,
    request: Request<M>,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<Response<M>> {
    const method = this.#method(name);
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(new AbortError());
      const done = (error: ServiceError | null, response?: Response<M>): void => {
        signal?.removeEventListener("abort", cancel);
        if (error === null) resolve(response as Response<M>);
        else reject(signal?.aborted ? new AbortError() : criError(error));
      };
      const deadline = Number.isFinite(timeoutMs) ? this.#env.clock.now() + timeoutMs : Number.POSITIVE_INFINITY;
      const { path, requestSerialize, responseDeserialize } = method;
      const deserialize = responseDeserialize as (bytes: Buffer) => Response<M>;
      const call = this.#client.makeUnaryRequest<Request<M>, Response<M>>(
        path,
        requestSerialize as (value: Request<M>) => Buffer,
        deserialize,
        request,
        metadataOf(path),
        { deadline },
        done,
      );
      const cancel = (): void => call.cancel();
      signal?.addEventListener("abort", cancel, { once: true });
    });
  }

  /** The runtime's events until `signal` aborts or the stream breaks, which throws CriError. */
  async *events(signal: AbortSignal): AsyncIterable<RuntimeEvent> {
    const { path, requestSerialize, responseDeserialize } = this.#method("getContainerEvents");
    const deserialize = responseDeserialize as (bytes: Buffer) => RuntimeEvent;
    const call = this.#client.makeServerStreamRequest(path, requestSerialize, deserialize, {}, new Metadata(), {});
    const cancel = (): void => call.cancel();
    signal.addEventListener("abort", cancel, { once: true });
    try {
      for await (const event of call) yield event as RuntimeEvent;
    } catch (error) {
      if (!signal.aborted) throw criError(error as ServiceError);
    } finally {
      signal.removeEventListener("abort", cancel);
      call.cancel();
    }
  }

  close(): void {
    this.#client.close();
  }

  #method(name: string): ReturnType<typeof serviceDefinition>[string] {
    const found = this.#methods.get(name);
    if (found === undefined) throw new Error(`the runtime interface has no method ${name}`);
    return found;
  }
}
