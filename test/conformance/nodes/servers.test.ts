// Servers in pods that the api-server asks: a conversion webhook and an api-server of its own groups, each behind a Service, with
// a certificate of an authority that only the object that registers it names.
import { createCa, issueCertificate } from "@coxswain/component-base/identity/index";
import { createRealEnv } from "@coxswain/env";
import { expect } from "vitest";
import { eventually } from "../../integration/cluster-fixture.ts";
import { conformsShared } from "../conforms.ts";
import { at, namesOf, type Resource, type Thing } from "../rest-client.ts";
import { found, type SharedCluster } from "../shared-cluster.ts";
import { logOf, NODE, type Part } from "./real-pods.ts";

const LONG = { timeoutMs: 200_000 };

/** Serves HTTPS with the Secret's certificate: `answer(request, body, response)` is what the script defines. */
const listens = (options: string): string => `
const {readFileSync}=require('fs');
require('https').createServer({cert:readFileSync('/tls/tls.crt'),key:readFileSync('/tls/tls.key'),${options}},(request,response)=>{
  let body='';
  request.on('data',(data)=>body+=data).on('end',()=>{
    if(request.url==='/healthz')return response.end('ok');
    answer(request,body,response);
  });
}).listen(8443);`;

interface ServerWish {
  readonly name: string;
  readonly script: string;
  readonly tlsOptions?: string;
  readonly spec?: Part;
  readonly container?: Part;
}

/** A Deployment behind a Service on port 443, ready; resolves with what the api-server has to trust, as base64. */
async function serves(c: SharedCluster, ns: string, wish: ServerWish): Promise<string> {
  const { name, script, tlsOptions = "", spec = {}, container = {} } = wish;
  const env = createRealEnv();
  const ca = await createCa(env, `${name}-ca`, 1);
  const dnsNames = [`${name}.${ns}.svc`];
  const { certPem, keyPem } = await issueCertificate(
    ca,
    { commonName: dnsNames[0]!, dnsNames, usages: ["server"], days: 1 },
    env,
  );
  await c.api.resource("v1", "secrets", ns).create({
    metadata: { name },
    type: "kubernetes.io/tls",
    stringData: { "tls.crt": certPem, "tls.key": keyPem },
  });
  const labels = { app: name };
  await c.api.resource("apps/v1", "deployments", ns).create({
    metadata: { name },
    spec: {
      replicas: 1,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: {
          terminationGracePeriodSeconds: 1,
          volumes: [{ name: "tls", secret: { secretName: name } }, ...((spec["volumes"] as Part[] | undefined) ?? [])],
          containers: [
            {
              name: "main",
              image: NODE,
              command: ["node", "-e", script + listens(tlsOptions)],
              readinessProbe: { httpGet: { path: "/healthz", port: 8443, scheme: "HTTPS" }, periodSeconds: 1 },
              ...container,
              volumeMounts: [
                { name: "tls", mountPath: "/tls" },
                ...((container["volumeMounts"] as Part[] | undefined) ?? []),
              ],
            },
          ],
        },
      },
    },
  });
  await c.api
    .resource("v1", "services", ns)
    .create({ metadata: { name }, spec: { selector: labels, ports: [{ port: 443, targetPort: 8443 }] } });
  await eventually(
    () => c.api.resource("discovery.k8s.io/v1", "endpointslices", ns).list(),
    ({ items }) => items.some((slice) => at(slice, "endpoints.0.conditions.ready") === true),
    90_000,
  );
  return Buffer.from(ca.certPem).toString("base64");
}

// v1 has one field, "host:port"; v2 has both by themselves.
const CONVERTS = `
function answer(request,text,response){
  const review=JSON.parse(text),{uid,desiredAPIVersion,objects}=review.request;
  console.log(request.url.split('?')[0],objects.length,desiredAPIVersion);
  const convertedObjects=objects.map(({hostPort='',host='',port='',...object})=>{
    const [left,right]=hostPort.split(':');
    return {...object,apiVersion:desiredAPIVersion,...(desiredAPIVersion.endsWith('v2')?{host:left,port:right}:{hostPort:host+':'+port})};
  });
  response.setHeader('content-type','application/json');
  response.end(JSON.stringify({apiVersion:review.apiVersion,kind:review.kind,response:{uid,convertedObjects,result:{status:'Success'}}}));
}`;

const conversion = conformsShared("CRD conversion webhook");
const definitions = (c: SharedCluster): Resource =>
  c.api.resource("apiextensions.k8s.io/v1", "customresourcedefinitions");

interface Converted {
  readonly ns: string;
  /** The objects, in either version. */
  readonly in: (version: "v1" | "v2") => Resource;
  /** Makes it the version that new objects are stored in. */
  readonly storeAs: (version: "v1" | "v2") => Promise<void>;
}

/** A definition in two versions, stored as v1 at first, whose webhook runs in a namespace of its own. */
async function withConversion(
  c: SharedCluster,
  word: string,
  use: (converted: Converted) => Promise<void>,
): Promise<void> {
  const ns = await c.namespace("conversion");
  const caBundle = await serves(c, ns, { name: "webhook", script: CONVERTS });
  const group = `${word}-${process.pid}.example.com`;
  const name = `${word}s.${group}`;
  const version = (which: string, storage: string, fields: readonly string[]): Part => {
    const properties = Object.fromEntries(fields.map((field) => [field, { type: "string" }]));
    return {
      name: which,
      served: true,
      storage: which === storage,
      schema: { openAPIV3Schema: { type: "object", properties } },
    };
  };
  const clientConfig = { caBundle, service: { namespace: ns, name: "webhook", path: "/crdconvert", port: 443 } };
  const spec = (storage: string): Part => ({
    group,
    scope: "Namespaced",
    names: { plural: `${word}s`, kind: word.toUpperCase() },
    versions: [version("v1", storage, ["hostPort"]), version("v2", storage, ["host", "port"])],
    conversion: { strategy: "Webhook", webhook: { clientConfig, conversionReviewVersions: ["v1"] } },
  });
  await definitions(c).create({ metadata: { name }, spec: spec("v1") });
  const resource = (which: string): Resource => c.api.resource(`${group}/${which}`, `${word}s`, ns);
  try {
    for (const which of ["v1", "v2"]) {
      await eventually(
        () => c.api.send("GET", resource(which).path),
        ({ code }) => code === 200,
      );
    }
    const storeAs = async (storage: string): Promise<void> => {
      await definitions(c).patch(name, { spec: spec(storage) });
      await eventually(
        () => definitions(c).get(name),
        (now) => at<string[]>(now, "status.storedVersions")?.includes(storage) === true,
      );
    };
    await use({ ns, in: resource, storeAs });
  } finally {
    await definitions(c).delete(name);
  }
}

/** What the webhook has written down: one line a call. */
async function heard(c: SharedCluster, ns: string, app: string): Promise<string> {
  const { items } = await c.api.resource("v1", "pods", ns).list({ labelSelector: `app=${app}` });
  return logOf(c, ns, namesOf(items)[0] ?? "");
}

conversion(
  "v1 CR readable at v2 through webhook",
  (c) =>
    withConversion(c, "single", async (converted) => {
      await converted.in("v1").create({ metadata: { name: "one" }, hostPort: "localhost:8080" });
      const read = await converted.in("v2").get("one");
      expect(read).toMatchObject({ host: "localhost", port: "8080" });
      expect(read.apiVersion).toMatch(/\/v2$/);
      expect(read["hostPort"]).toBeUndefined();
      expect(await heard(c, converted.ns, "webhook")).toMatch(/^\/crdconvert 1 \S+\/v2$/m);
    }),
  LONG,
);

conversion(
  "mixed-version CR list converted by webhook",
  (c) =>
    withConversion(c, "mixed", async (converted) => {
      await converted.in("v1").create({ metadata: { name: "one" }, hostPort: "localhost:8080" });
      await converted.storeAs("v2");
      // A server that has not heard of the change yet stores it as before: then it is converted when it is read.
      await converted.in("v2").create({ metadata: { name: "two" }, host: "example.test", port: "9090" });
      const [v1, v2] = [await converted.in("v1").list(), await converted.in("v2").list()];
      const fields = ({ metadata, hostPort, host, port }: Thing): unknown[] => [metadata.name, hostPort, host, port];
      expect(v1.items.map(fields)).toEqual([
        ["one", "localhost:8080", undefined, undefined],
        ["two", "example.test:9090", undefined, undefined],
      ]);
      expect(v2.items.map(fields)).toEqual([
        ["one", undefined, "localhost", "8080"],
        ["two", undefined, "example.test", "9090"],
      ]);
      const log = await heard(c, converted.ns, "webhook");
      expect(log).toMatch(/\/v1$/m);
      expect(log).toMatch(/\/v2$/m);
    }),
  LONG,
);

// Flunders, kept in memory: only who comes with the proxy's own certificate is believed to be whom the headers name.
const SERVES_FLUNDERS = (group: string): string => `
const store=new Map(),gv='${group}/v1alpha1',base='/apis/'+gv;
let version=1;
const list={kind:'APIResourceList',apiVersion:'v1',groupVersion:gv,resources:[{name:'flunders',singularName:'flunder',namespaced:true,kind:'Flunder',verbs:['create','delete','get','list']}]};
function answer(request,text,response){
  const user=request.socket.authorized?request.headers['x-remote-user']:undefined;
  const say=(code,object)=>{response.writeHead(code,{'content-type':'application/json'});response.end(JSON.stringify(object))};
  const no=(code,reason)=>say(code,{kind:'Status',apiVersion:'v1',status:'Failure',reason,code,message:reason});
  const {pathname}=new URL(request.url,'https://x');
  if(pathname===base)return say(200,list);
  if(pathname==='/apis/${group}'||pathname==='/apis'||pathname.startsWith('/openapi'))return no(404,'NotFound');
  if(user===undefined)return no(401,'Unauthorized');
  const [,ns,name]=/^[/]namespaces[/]([^/]+)[/]flunders[/]?(.*)$/.exec(pathname.slice(base.length))??[];
  if(ns===undefined)return no(404,'NotFound');
  const key=ns+'/'+name;
  if(request.method==='POST'){
    const flunder=JSON.parse(text);
    Object.assign(flunder.metadata,{namespace:ns,uid:String(++version),resourceVersion:String(version),annotations:{'created-by':user}});
    store.set(ns+'/'+flunder.metadata.name,flunder);
    return say(201,flunder);
  }
  if(name==='')return say(200,{kind:'FlunderList',apiVersion:gv,metadata:{resourceVersion:String(version)},items:[...store.values()].filter((one)=>one.metadata.namespace===ns)});
  if(!store.has(key))return no(404,'NotFound');
  if(request.method==='DELETE')store.delete(key);
  say(200,request.method==='DELETE'?{kind:'Status',apiVersion:'v1',status:'Success'}:store.get(key));
}`;

conformsShared("aggregated API")(
  "sample API server behind an APIService works (proxy, status, CA)",
  async (c) => {
    const ns = await c.namespace("aggregator");
    const group = `wardle-${process.pid}.example.com`;
    // What a server of its own groups reads to know the proxy: kube-system/extension-apiserver-authentication.
    const known = await c.api.resource("v1", "configmaps", "kube-system").get("extension-apiserver-authentication");
    const { "requestheader-client-ca-file": proxyCa = "", ...headers } =
      at<Record<string, string>>(known, "data") ?? {};
    expect(headers).toMatchObject({
      "requestheader-username-headers": expect.stringContaining("X-Remote-User") as string,
      "requestheader-group-headers": expect.stringContaining("X-Remote-Group") as string,
    });
    await c.api.resource("v1", "configmaps", ns).create({ metadata: { name: "proxy" }, data: { "ca.crt": proxyCa } });
    const caBundle = await serves(c, ns, {
      name: "sample-api",
      script: SERVES_FLUNDERS(group),
      tlsOptions: "ca:readFileSync('/proxy/ca.crt'),requestCert:true,rejectUnauthorized:false",
      spec: { volumes: [{ name: "proxy", configMap: { name: "proxy" } }] },
      container: { volumeMounts: [{ name: "proxy", mountPath: "/proxy" }] },
    });
    const services = c.api.resource("apiregistration.k8s.io/v1", "apiservices");
    const name = `v1alpha1.${group}`;
    const spec = {
      service: { name: "sample-api", namespace: ns, port: 443 },
      group,
      version: "v1alpha1",
      groupPriorityMinimum: 2000,
      versionPriority: 200,
    };
    // Another authority's: the server's certificate is not believed.
    const stranger = Buffer.from((await createCa(createRealEnv(), "stranger", 1)).certPem).toString("base64");
    await services.create({ metadata: { name }, spec: { ...spec, caBundle: stranger } });
    try {
      const condition = (wanted: string): Promise<Thing> =>
        eventually(
          () => services.get(name),
          (now) =>
            at(now, "status.conditions.0.type") === "Available" && at(now, "status.conditions.0.status") === wanted,
        );
      // Whether a server answers is asked of whoever is there; what users ask goes to nobody but whom the authority knows.
      const available = await condition("True");
      expect(at(available, "status.conditions.0")).toMatchObject({ reason: "Passed", message: "all checks passed" });
      const flunders = c.api.resource(`${group}/v1alpha1`, "flunders", ns);
      const unknown = await c.api.send("GET", flunders.path);
      expect([unknown.code, unknown.text]).toEqual([503, expect.stringContaining("error trying to reach service")]);
      await services.patch(name, { spec: { caBundle } });
      await eventually(
        () => c.api.send("GET", flunders.path),
        ({ code }) => code === 200,
      );
      const wish = { apiVersion: `${group}/v1alpha1`, kind: "Flunder", metadata: { name: "one" } };
      const made = await flunders.create(wish);
      expect(made.metadata).toMatchObject({ namespace: ns, annotations: { "created-by": "kubernetes-admin" } });
      expect((await flunders.get("one")).metadata.uid).toBe(made.metadata.uid);
      // As any client finds it: by discovery.
      const groups = await c.api.json<{ groups: Part[] }>("GET", "/apis");
      expect(groups.groups.map((one) => one["name"])).toContain(group);
      expect(await c.ok(["-n", ns, "get", `flunders.v1alpha1.${group}`, "-o", "name"])).toBe(`flunder.${group}/one\n`);
      // The server hears who asks, and of nobody who may not.
      const token = await c.ok(["-n", ns, "create", "token", "default"]);
      const stranger = c.as(token.trim());
      expect((await stranger.send("GET", flunders.path)).code).toBe(403);
      stranger.close();
      await flunders.delete("one");
      expect(await found(flunders.get("one"))).toBeUndefined();
      // Status by itself, as its owner writes it.
      const read = await services.get(name, "status");
      expect(at(read, "status.conditions.0.status")).toBe("True");
      await services.patch(name, { metadata: { labels: { patched: "yes" } } });
      expect((await services.get(name)).metadata.labels).toMatchObject({ patched: "yes" });
      const { items } = await services.list({ labelSelector: "patched=yes" });
      expect(namesOf(items)).toEqual([name]);
      // Without its server it is told to be unavailable, and requests get 503.
      await c.api.resource("apps/v1", "deployments", ns).patch("sample-api", { spec: { replicas: 0 } });
      const gone = await condition("False");
      expect(at(gone, "status.conditions.0.reason")).toMatch(/^(MissingEndpoints|FailedDiscoveryCheck)$/);
      expect((await c.api.send("GET", flunders.path)).code).toBe(503);
    } finally {
      await services.delete(name);
    }
    expect((await c.api.send("GET", `/apis/${group}/v1alpha1`)).code).toBe(404);
  },
  LONG,
);
