// Reading the API of the cluster, with the rights of the viewer. The page is served through the API server's
// proxy: the API is above the page's own address.
import { line, list, number, object, text, type Json } from "../safe";

export interface Kind {
  name: string;
  path: string; // below the API's root
  namespaced: boolean;
}

const kind = (name: string, path: string, namespaced = true): Kind => ({ name, path, namespaced });

export const kinds: readonly Kind[] = [
  kind("Nodes", "/api/v1/nodes", false),
  kind("Pods", "/api/v1/pods"),
  kind("Services", "/api/v1/services"),
  kind("Deployments", "/apis/apps/v1/deployments"),
  kind("ReplicaSets", "/apis/apps/v1/replicasets"),
  kind("ReplicationControllers", "/api/v1/replicationcontrollers"),
  kind("DaemonSets", "/apis/apps/v1/daemonsets"),
  kind("StatefulSets", "/apis/apps/v1/statefulsets"),
  kind("Jobs", "/apis/batch/v1/jobs"),
  kind("HorizontalPodAutoscalers", "/apis/autoscaling/v2/horizontalpodautoscalers"),
  kind("PersistentVolumeClaims", "/api/v1/persistentvolumeclaims"),
  kind("PersistentVolumes", "/api/v1/persistentvolumes", false),
  kind("ConfigMaps", "/api/v1/configmaps"),
  kind("Events", "/api/v1/events"),
];

export const root = location.pathname.split("/api/v1/")[0] ?? "";

export function pathOf(k: Kind, namespace: string, name = ""): string {
  const cut = k.path.lastIndexOf("/");
  const path = k.namespaced && namespace ? `${k.path.slice(0, cut)}/namespaces/${encodeURIComponent(namespace)}${k.path.slice(cut)}` : k.path;
  return root + path + (name ? "/" + encodeURIComponent(name) : "");
}

async function ask(url: string, accept: string, signal: AbortSignal): Promise<Response> {
  const answer = await fetch(url, { headers: { Accept: accept }, signal });
  if (answer.ok) return answer;
  let why = `${answer.status} ${answer.statusText}`;
  try {
    why = line(object(await answer.json())["message"], 1000) || why;
  } catch {
    // not a Status
  }
  throw new Error(why);
}

export const json = async (url: string, signal: AbortSignal): Promise<Json> => object(await (await ask(url, "application/json", signal)).json());
export const yaml = async (url: string, signal: AbortSignal): Promise<string> => text(await (await ask(url, "application/yaml", signal)).text());
export const plainText = async (url: string, signal: AbortSignal): Promise<string> => text(await (await ask(url, "*/*", signal)).text());

const asTable = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

export interface Row {
  uid: string;
  name: string;
  namespace: string;
  cells: string[];
}

export interface Table {
  columns: string[]; // those that kubectl shows without -o wide
  rows: Row[];
}

const cell = (v: unknown): string => (typeof v === "boolean" ? String(v) : line(v, 500));

function rows(v: unknown, shown: number[]): Row[] {
  return list(v, (r) => {
    const meta = object(object(object(r)["object"])["metadata"]);
    const cells = list(object(r)["cells"], cell);
    return { uid: line(meta["uid"]), name: line(meta["name"]), namespace: line(meta["namespace"]), cells: shown.map((i) => cells[i] ?? "") };
  });
}

// follow lists a kind as the table that kubectl shows, and then reports each change until the signal.
// It returns when the server ends the watch.
export async function follow(url: string, signal: AbortSignal, changed: (t: Table) => void): Promise<void> {
  const table = object(await (await ask(url + "?limit=1000", asTable, signal)).json());
  const columns = list(table["columnDefinitions"], (c) => ({ name: line(object(c)["name"]), priority: number(object(c)["priority"]) }));
  const shown = columns.map((_, i) => i).filter((i) => columns[i]?.priority === 0);
  const names = shown.map((i) => columns[i]?.name ?? "");
  const all = new Map(rows(table["rows"], shown).map((r) => [r.uid, r]));
  const report = (): void => changed({ columns: names, rows: [...all.values()] });
  report();
  const version = line(object(table["metadata"])["resourceVersion"]);
  const stream = await ask(`${url}?watch=true&resourceVersion=${encodeURIComponent(version)}`, asTable, signal);
  const reader = stream.body?.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ""; reader; ) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop() ?? "";
    for (const l of lines.filter(Boolean)) {
      const event = object(JSON.parse(l));
      if (event["type"] === "ERROR") throw new Error(line(object(event["object"])["message"], 1000));
      for (const r of rows(object(event["object"])["rows"], shown)) event["type"] === "DELETED" ? all.delete(r.uid) : all.set(r.uid, r);
    }
    report();
  }
}
