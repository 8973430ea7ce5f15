// Socket errors in the words of Go's net package, which people and tools look for in Events. Pure.

const WHY: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connect: connection refused",
  EHOSTUNREACH: "connect: no route to host",
  ENETUNREACH: "connect: network is unreachable",
  EADDRNOTAVAIL: "connect: cannot assign requested address",
  ETIMEDOUT: "connect: connection timed out",
};

export function hostPort(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

function codeOf(error: Error): string {
  return (error as NodeJS.ErrnoException).code ?? "";
}

/** What a connection that could not be made, or broke, is called. */
export function dialError(error: Error, host: string, port: number): string {
  const code = codeOf(error);
  const address = hostPort(host, port);
  const why = WHY[code];
  if (why !== undefined) return `dial tcp ${address}: ${why}`;
  if (code === "ENOTFOUND" || code === "EAI_AGAIN") return `dial tcp: lookup ${host}: no such host`;
  if (code === "ECONNRESET") return error.message === "socket hang up" ? "EOF" : "read: connection reset by peer";
  return error.message;
}
