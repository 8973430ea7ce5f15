// Pods of one container that look around, say what they see, and end.
import type { Container, Pod } from "@coxswain/api";
import { statusOf, type NodeKubelet } from "./node-kubelet.ts";

/**
 * Runs the lines in a container of a pod of its own to their end; resolves with what each has said, by its name. The pod is
 * gone then.
 */
export async function look(
  at: NodeKubelet,
  name: string,
  lines: Readonly<Record<string, string>>,
  own: Partial<Container> = {},
  spec: Partial<NonNullable<Pod["spec"]>> = {},
): Promise<Record<string, string>> {
  const { image } = at.containerd;
  const script = Object.entries(lines).map(([key, line]) => `echo "@${key}"; ( ${line} ) 2>&1; echo`);
  const command = ["/bin/sh", "-c", `${script.join("; ")}; true`];
  await at.create(name, { restartPolicy: "Never", ...spec, containers: [{ name: "c", image, command, ...own }] });
  const pod = await at.until(name, (one) => statusOf(one, "c")?.state?.terminated !== undefined && one);
  const folder = `/var/log/pods/default_${name}_${pod.metadata?.uid}/c`;
  const log = await at.containerd.node.run("/bin/sh", "-c", `cat ${folder}/*.log`);
  await at.call.remove(name);
  await at.gone(name);
  const said: Record<string, string> = {};
  let key = "";
  for (const line of log.trimEnd().split("\n")) {
    const text = line.split(" ").slice(3).join(" ");
    if (text.startsWith("@")) said[(key = text.slice(1))] = "";
    else said[key] += `${text}\n`;
  }
  return Object.fromEntries(Object.entries(said).map(([one, text]) => [one, text.trim()]));
}
