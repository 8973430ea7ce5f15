// Exits 0 when the process in this container answers /readyz on PORT. usage: node healthcheck.mjs PORT
import { readFileSync } from "node:fs";
import { get } from "node:https";

const call = get(
  {
    host: "127.0.0.1",
    servername: "localhost",
    port: Number(process.argv[2]),
    path: "/readyz",
    ca: readFileSync("/pki/ca.crt"),
    timeout: 3000,
  },
  (response) => {
    response.resume();
    process.exitCode = response.statusCode === 200 ? 0 : 1;
  },
);
call.on("timeout", () => call.destroy(new Error("no answer within 3 s")));
call.on("error", (error) => {
  console.error(error.message);
  process.exitCode = 1;
});
