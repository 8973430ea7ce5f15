// Images as volumes, pulled from a registry that runs on the node itself: nothing leaves the cluster.
import { expect } from "vitest";
import { eventually } from "../../integration/cluster-fixture.ts";
import { conformsShared } from "../conforms.ts";
import { at } from "../rest-client.ts";
import { type SharedCluster } from "../shared-cluster.ts";
import { BUSYBOX, NODE, type Part, runToEnd, untilReady } from "./real-pods.ts";

const PORT = 5_371;
const IMAGE = `127.0.0.1:${PORT}/data:1`;
const LOGIN = { username: "me", password: "secret" };

/** A registry of one image with one file, open to whoever knows the password. */
const REGISTRY = `
const { createHash } = require("crypto"), { readFileSync } = require("fs"), { createServer } = require("http");
const blobs = new Map();
const put = (mediaType, bytes) => {
  const digest = "sha256:" + createHash("sha256").update(bytes).digest("hex");
  blobs.set(digest, { mediaType, bytes });
  return { mediaType, digest, size: bytes.length };
};
const json = (type, value) => put("application/vnd.oci.image." + type + ".v1+json", Buffer.from(JSON.stringify(value)));
const layer = put("application/vnd.oci.image.layer.v1.tar", readFileSync("/tmp/layer.tar"));
const architecture = process.arch === "arm64" ? "arm64" : "amd64";
const config = json("config", { architecture, os: "linux", rootfs: { type: "layers", diff_ids: [layer.digest] } });
const manifest = json("manifest", { schemaVersion: 2, config, layers: [layer] });
blobs.set("1", blobs.get(manifest.digest));
const login = "Basic " + Buffer.from("${LOGIN.username}:${LOGIN.password}").toString("base64");
createServer((request, response) => {
  if (request.headers.authorization !== login)
    return response.writeHead(401, { "www-authenticate": 'Basic realm="registry"' }).end();
  const found = blobs.get(request.url.split("/").at(-1));
  if (found === undefined) return response.writeHead(request.url === "/v2/" ? 200 : 404).end();
  console.log(request.method, request.url);
  const digest = "sha256:" + createHash("sha256").update(found.bytes).digest("hex");
  const headers = { "content-type": found.mediaType, "content-length": found.bytes.length };
  response.writeHead(200, { ...headers, "docker-content-digest": digest });
  response.end(request.method === "HEAD" ? undefined : found.bytes);
}).listen(${PORT}, "127.0.0.1");`;
const LAYER = "mkdir -p /tmp/l/data && echo hello > /tmp/l/data/file && tar -C /tmp/l -cf /tmp/layer.tar data";

const pods = (c: SharedCluster, ns: string) => c.api.resource("v1", "pods", ns);

async function startRegistry(c: SharedCluster, ns: string): Promise<string> {
  const probe = { tcpSocket: { port: PORT, host: "127.0.0.1" }, periodSeconds: 1 };
  const container = { name: "main", image: NODE, env: [{ name: "REGISTRY", value: REGISTRY }], readinessProbe: probe };
  const command = ["sh", "-c", `${LAYER} && exec node -e "$REGISTRY"`];
  const spec = { hostNetwork: true, terminationGracePeriodSeconds: 1, containers: [{ ...container, command }] };
  await pods(c, ns).create({ metadata: { name: "registry" }, spec });
  return at<string>(await untilReady(c, ns, "registry"), "spec.nodeName") ?? "";
}

/** Reads from a volume of the image, and says whether it may be written. */
function reader(name: string, nodeName: string, spec: Part = {}): Part {
  const script = "cat /v/data/file /part/file; echo x > /v/data/file; echo written: $?";
  const volumeMounts = [
    { name: "v", mountPath: "/v" },
    { name: "v", mountPath: "/part", subPath: "data" },
  ];
  return {
    metadata: { name },
    spec: {
      nodeName,
      restartPolicy: "Never",
      terminationGracePeriodSeconds: 1,
      containers: [{ name: "main", image: BUSYBOX, command: ["sh", "-c", script], volumeMounts }],
      volumes: [{ name: "v", image: { reference: IMAGE, pullPolicy: "Always" } }],
      ...spec,
    },
  };
}

conformsShared("image volume")("OCI image mounted as volume, pullPolicy Always (needs a registry)", async (c) => {
  const ns = await c.namespace("image-volume");
  const node = await startRegistry(c, ns);
  // Whoever is nobody to the registry waits.
  await pods(c, ns).create(reader("nobody", node));
  const waits = await eventually(
    () => pods(c, ns).get("nobody"),
    (pod) => at(pod, "status.containerStatuses.0.state.waiting.reason") === "ImagePullBackOff",
  );
  expect(at(waits, "status.containerStatuses.0.state.waiting.message")).toMatch(
    `Back-off pulling image "${IMAGE}": ErrImagePull: `,
  );
  await pods(c, ns).delete("nobody", { gracePeriodSeconds: 0 });
  const config = { auths: { [`127.0.0.1:${PORT}`]: LOGIN } };
  const stringData = { ".dockerconfigjson": JSON.stringify(config) };
  const secret = { metadata: { name: "login" }, type: "kubernetes.io/dockerconfigjson", stringData };
  await c.api.resource("v1", "secrets", ns).create(secret);
  const imagePullSecrets = [{ name: "login" }];
  for (const name of ["first", "second"]) {
    const log = await runToEnd(c, ns, reader(name, node, { imagePullSecrets }));
    expect(log).toContain("hello\nhello\n");
    expect(log).toContain("Read-only file system");
    expect(log).toContain("written: 1");
    // Whatever is on the node already: Always asks again.
    const { items } = await c.api.resource("v1", "events", ns).list({ fieldSelector: `involvedObject.name=${name}` });
    expect(items.map((one) => one["message"])).toContain(`Pulling image "${IMAGE}"`);
  }
  await pods(c, ns).delete("registry", { gracePeriodSeconds: 0 });
});
