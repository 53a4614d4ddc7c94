// The cluster view: the objects of each kind as kubectl shows them, live; one of them as YAML with its events and
// logs; the map of a namespace. It reads with the viewer's rights and changes nothing.
import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { json, follow, kinds, pathOf, root, type Kind, type Row, type Table } from "./cluster/api";
import { Detail } from "./cluster/detail";
import { mapOf } from "./cluster/map";
import { load, t } from "./i18n";
import { kept, keep } from "./kept";
import { Map_ } from "./map";
import type { ClusterMap } from "./page";
import { Language } from "./parts";
import { line, list, object } from "./safe";

const again = 2000; // ms until the next attempt, and between two drawings of the map
const pods = kinds[1]!;

function Cluster() {
  const [kind, setKind] = useState<Kind | null>(kept("cluster.kind", "session") === "map" ? null : (kinds.find((k) => k.name === kept("cluster.kind", "session")) ?? pods));
  const [namespace, setNamespace] = useState(kept("cluster.namespace", "session") ?? "");
  const [namespaces, setNamespaces] = useState<string[]>([]);
  const [table, setTable] = useState<Table | null>(null);
  const [map, setMap] = useState<ClusterMap | null>(null);
  const [says, setSays] = useState("");
  const [filter, setFilter] = useState("");
  const [row, setRow] = useState<Row | null>(null);

  useEffect(() => {
    const end = new AbortController();
    json(root + "/api/v1/namespaces", end.signal).then(
      (l) => setNamespaces(list(l["items"], (n) => line(object(object(n)["metadata"])["name"]))),
      (err: unknown) => setSays(String(err instanceof Error ? err.message : err)),
    );
    return () => end.abort();
  }, []);

  useEffect(() => {
    const end = new AbortController();
    let timer = 0;
    setTable(null);
    const look = async (): Promise<void> => {
      try {
        if (kind) await follow(pathOf(kind, namespace), end.signal, (x) => { setTable(x); setSays(""); });
        else {
          setMap(await mapOf(namespace, end.signal));
          setSays("");
        }
      } catch (err) {
        if (end.signal.aborted) return;
        setSays(`${err instanceof Error ? err.message : String(err)} ${t("cluster.retry")}`);
      }
      if (!end.signal.aborted) timer = window.setTimeout(() => void look(), again);
    };
    void look();
    return () => {
      end.abort();
      clearTimeout(timer);
    };
  }, [kind, namespace]);

  const choose = (k: Kind | null): void => {
    setKind(k);
    setRow(null);
    keep("cluster.kind", k?.name ?? "map", "session");
  };
  const words = filter.trim().toLowerCase();
  const rows = (table?.rows ?? []).filter((r) => [r.namespace, ...r.cells].join(" ").toLowerCase().includes(words));
  return (
    <div class="room">
      <header class="top">
        <span class="brand">Wheelhouse</span>
        <label>{t("cluster.namespace")} <select value={namespace} onChange={(e) => { setNamespace(e.currentTarget.value); setRow(null); keep("cluster.namespace", e.currentTarget.value, "session"); }}>
          <option value="">{t("cluster.namespace.all")}</option>
          {namespaces.map((n) => <option key={n} value={n}>{n}</option>)}
        </select></label>
        <span class="spacer" />
        <Language />
      </header>
      <nav class="kinds" aria-label={t("cluster.kinds")}>
        <button type="button" aria-current={kind === null ? "page" : undefined} onClick={() => choose(null)}>{t("cluster.map")}</button>
        {kinds.map((k) => <button key={k.name} type="button" aria-current={k === kind ? "page" : undefined} onClick={() => choose(k)}>{k.name}</button>)}
      </nav>
      <p class="failed says" role="status">{says}</p>
      <main class={row ? "objects with-detail" : "objects"}>
        {kind === null ? <div class="scroll"><Map_ map={map} /></div> : (
          <div class="scroll">
            <p class="pad"><input type="search" aria-label={t("cluster.filter")} placeholder={t("cluster.filter")} value={filter} onInput={(e) => setFilter(e.currentTarget.value)} /> <span class="quiet">{t("cluster.count", { n: rows.length })}</span></p>
            <table>
              <thead><tr>{kind.namespaced && <th>{t("cluster.namespace")}</th>}{table?.columns.map((c) => <th key={c}>{c}</th>)}</tr></thead>
              <tbody>
                {rows.map((r) => (
                  <tr key={r.uid} class={r.uid === row?.uid ? "chosen" : ""}>
                    {kind.namespaced && <td>{r.namespace}</td>}
                    {r.cells.map((c, i) => <td key={i}>{c === r.name ? <button type="button" class="link" aria-label={t("cluster.open", { name: c })} onClick={() => setRow(r)}>{c}</button> : c}</td>)}
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
        {row && kind && <Detail key={row.uid} kind={kind} row={row} close={() => setRow(null)} />}
      </main>
    </div>
  );
}

void load().then(() => {
  const box = document.getElementById("page");
  if (box) render(<Cluster />, box);
});
