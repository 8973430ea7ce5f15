// A call to a kubelet that streams both ways, with its traps covered. Guarantees: a write waits until the call takes more;
// a call that has failed is an error of whoever reads it and never an unhandled one.
import type { ClientDuplexStream } from "@grpc/grpc-js";

export class KubeletCall<Request, Response> {
  readonly #call: ClientDuplexStream<Request, Response>;
  #over = false;

  constructor(call: ClientDuplexStream<Request, Response>) {
    this.#call = call;
    // A failure is seen by the reader, who may have left before it.
    call.on("error", () => (this.#over = true));
    call.on("status", () => (this.#over = true));
  }

  /** Resolves when more can be written, or the call is over. */
  async write(message: Request): Promise<void> {
    const call = this.#call;
    if (this.#over || call.write(message)) return;
    await new Promise<void>((resolve) => {
      const settle = (): void => {
        call.off("drain", settle).off("status", settle).off("error", settle);
        resolve();
      };
      call.on("drain", settle).on("status", settle).on("error", settle);
    });
  }

  /** No more requests come. */
  end(): void {
    if (!this.#over) this.#call.end();
  }

  cancel(): void {
    this.#call.cancel();
  }

  /** The answers in order; throws what the kubelet failed with. Leaving early ends the call. */
  async *responses(): AsyncIterable<Response> {
    try {
      for await (const message of this.#call) yield message as Response;
    } finally {
      this.#call.cancel();
    }
  }
}
