// Detail shows one object: its YAML, its events and, of a pod, the logs.
import { useEffect, useState } from "preact/hooks";
import { t } from "../i18n";
import { line, list, object } from "../safe";
import { json, kinds, pathOf, plainText, yaml, type Kind, type Row } from "./api";

const tabs = ["yaml", "events", "logs"] as const;
type Tab = (typeof tabs)[number];
const lines = 500; // of a log
const again = 3000; // ms between two looks at events and logs

export function Detail({ kind, row, close }: { kind: Kind; row: Row; close: () => void }) {
  const [tab, setTab] = useState<Tab>("yaml");
  const [text, setText] = useState("");
  const [failed, setFailed] = useState("");
  const [containers, setContainers] = useState<string[]>([]);
  const [container, setContainer] = useState("");
  const shown = tabs.filter((x) => x !== "logs" || kind.name === "Pods");

  useEffect(() => {
    if (kind.name !== "Pods") return;
    const end = new AbortController();
    json(pathOf(kind, row.namespace, row.name), end.signal).then(
      (pod) => {
        const names = list(object(pod["spec"])["containers"], (c) => line(object(c)["name"]));
        setContainers(names);
        setContainer(names[0] ?? "");
      },
      () => undefined, // the YAML says why
    );
    return () => end.abort();
  }, [row.uid]);

  useEffect(() => {
    const end = new AbortController();
    let timer = 0;
    setText("");
    const look = async (): Promise<void> => {
      try {
        setText(await read(tab, kind, row, container, end.signal));
        setFailed("");
      } catch (err) {
        if (!end.signal.aborted) setFailed(String(err instanceof Error ? err.message : err));
      }
      if (!end.signal.aborted && tab !== "yaml") timer = window.setTimeout(() => void look(), again);
    };
    void look();
    return () => {
      end.abort();
      clearTimeout(timer);
    };
  }, [row.uid, tab, container]);

  return (
    <aside class="detail" aria-label={t("cluster.detail")}>
      <header>
        <h2>{row.name}</h2>
        <button type="button" class="plain" aria-label={t("close")} onClick={close}>×</button>
      </header>
      <nav class="tabs" aria-label={t("cluster.detail")}>
        {shown.map((x) => <button key={x} type="button" aria-current={x === tab ? "true" : undefined} onClick={() => setTab(x)}>{t(`cluster.${x}`)}</button>)}
      </nav>
      {tab === "logs" && containers.length > 1 && (
        <label class="pad">{t("cluster.logs.container")} <select value={container} onChange={(e) => setContainer(e.currentTarget.value)}>{containers.map((c) => <option key={c}>{c}</option>)}</select></label>
      )}
      {failed && <p class="failed pad" role="alert">{failed}</p>}
      <pre tabIndex={0}>{text}</pre>
    </aside>
  );
}

async function read(tab: Tab, kind: Kind, row: Row, container: string, signal: AbortSignal): Promise<string> {
  const path = pathOf(kind, row.namespace, row.name);
  switch (tab) {
    case "yaml":
      return withoutManagedFields(await yaml(path, signal));
    case "logs":
      return container ? plainText(`${path}/log?tailLines=${lines}&container=${encodeURIComponent(container)}`, signal) : "";
    case "events": {
      const events = kinds.find((k) => k.name === "Events")!;
      const of = `involvedObject.name=${row.name},involvedObject.uid=${row.uid}`;
      const found = list((await json(`${pathOf(events, row.namespace)}?limit=200&fieldSelector=${encodeURIComponent(of)}`, signal))["items"], object);
      const said = found.map((e) => [line(e["lastTimestamp"]) || line(e["eventTime"]), line(e["type"]), line(e["reason"]), line(e["message"], 1000)].join("  "));
      return said.sort().join("\n") || t("cluster.events.none");
    }
  }
}

// withoutManagedFields leaves out what kubectl leaves out, too.
function withoutManagedFields(text: string): string {
  let inside = false;
  return text
    .split("\n")
    .filter((l) => {
      if (l.startsWith("  managedFields:")) inside = true;
      else if (inside && /^( {0,2})[^ -]/.test(l)) inside = false;
      return !inside;
    })
    .join("\n");
}
