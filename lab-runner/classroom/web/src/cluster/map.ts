// The map of a namespace, read from the API.
import type { ClusterMap } from "../page";
import { line, list, object, type Json } from "../safe";
import { json, kinds, pathOf } from "./api";

const find = (name: string) => kinds.find((k) => k.name === name)!;
const slices = { name: "EndpointSlices", path: "/apis/discovery.k8s.io/v1/endpointslices", namespaced: true };

export async function mapOf(namespace: string, signal: AbortSignal): Promise<ClusterMap> {
  const all = await Promise.all(
    [find("Nodes"), find("Pods"), find("Services"), slices].map(async (k) => list((await json(pathOf(k, namespace) + "?limit=500", signal))["items"], object)),
  );
  const [nodes = [], pods = [], services = [], endpoints = []] = all;
  // Of all namespaces, names alone are not unique.
  const full = (o: Json, name: string): string => {
    const in_ = line(object(o["metadata"])["namespace"]);
    return namespace || !in_ ? name : `${in_}/${name}`;
  };
  const name = (o: Json): string => full(o, line(object(o["metadata"])["name"]));
  return {
    nodes: nodes.map((n) => ({ name: name(n), ready: list(object(n["status"])["conditions"], object).some((c) => c["type"] === "Ready" && c["status"] === "True") })),
    pods: pods.map((p) => {
      const state = podState(p);
      return { name: name(p), node: line(object(p["spec"])["nodeName"]), state, phrase: state };
    }),
    services: services.map((s) => ({
      name: name(s),
      pods: endpoints
        .filter((e) => full(e, line(object(object(e["metadata"])["labels"])["kubernetes.io/service-name"])) === name(s))
        .flatMap((e) => list(e["endpoints"], (x) => line(object(object(x)["targetRef"])["name"])).filter(Boolean).map((p) => full(e, p))),
    })),
  };
}

// podState is what kubectl shows as STATUS, as far as the map needs it.
function podState(p: Json): string {
  if (object(p["metadata"])["deletionTimestamp"]) return "Terminating";
  const status = object(p["status"]);
  for (const c of list(status["containerStatuses"], object)) {
    const state = object(c["state"]);
    const reason = line(object(state["waiting"])["reason"]) || line(object(state["terminated"])["reason"]);
    if (reason) return reason;
    if (c["ready"] !== true && status["phase"] === "Running") return "not ready";
  }
  return line(status["reason"]) || line(status["phase"]) || "Unknown";
}
