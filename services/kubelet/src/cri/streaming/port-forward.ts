// One forwarded connection over a runtime's streaming server. Guarantees: bytes go both ways in order and with back pressure;
// what the pod sent is handed on before the call resolves; a port on which nothing listens is an error that says so.
import { AbortError } from "@coxswain/env";
import { CriError, type ForwardIo } from "../contract.ts";
import { pump } from "./remote-command.ts";
import { upgradeToSpdy, type Dial } from "./upgrade.ts";

const PROTOCOL = "portforward.k8s.io";

export interface ForwardedPort {
  /** Where the runtime said that the streams are served. */
  readonly url: string;
  readonly port: number;
  readonly io: ForwardIo;
  readonly dial: Dial;
}

/** Resolves when the connection is over. Throws CriError; AbortError where `signal` aborts. */
export async function forwardPort({ url, port, io, dial }: ForwardedPort, signal: AbortSignal): Promise<void> {
  const connection = await upgradeToSpdy(url, PROTOCOL, dial, signal);
  try {
    const said: Buffer[] = [];
    const headers = { port: String(port), requestid: "0" };
    const [error, data] = await Promise.all([
      connection.open({ ...headers, streamtype: "error" }, (part) => void said.push(part)),
      connection.open({ ...headers, streamtype: "data" }, (part) => io.output(part)),
    ]);
    // Of the error stream the client only reads.
    error.end();
    await Promise.race([Promise.all([data.ended, error.ended]), pump(io.input, data, true)]);
    if (signal.aborted) throw new AbortError();
    const message = Buffer.concat(said).toString("utf8");
    if (message !== "") throw new CriError("Internal", message);
  } finally {
    connection.close();
  }
}
