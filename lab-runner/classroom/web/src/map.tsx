// Map draws nodes, the pods on them and the services that reach them, as SVG. A list of the
// same for screen readers stands beside it.
import { t } from "./i18n";
import type { ClusterMap } from "./page";

const wide = 640; // units of the drawing, which is scaled to its box
const podHeight = 34;
const gap = 10;
const mostPods = 60; // drawn; further ones are counted

type Pod = ClusterMap["pods"][number];
interface Placed {
  pod: Pod;
  x: number;
  y: number;
  width: number;
}

// mark sums up the state of a pod: it is shown by a sign and a colour.
export function mark(state: string): "well" | "way" | "bad" | "over" {
  if (/^(well|running|ready)$/i.test(state)) return "well";
  if (/^(over|succeeded|completed)$/i.test(state)) return "over";
  if (/fail|err|crash|backoff|unknown|evict|oom|invalid|never/i.test(state)) return "bad";
  return "way";
}

const signs = { well: "✓", way: "…", bad: "✗", over: "■" } as const;

// layout places the pods in one column for each node; pods without a node come first.
function layout(map: ClusterMap) {
  const known = new Set(map.nodes.map((n) => n.name));
  const unplaced = map.pods.filter((p) => !known.has(p.node));
  const columns = [...(unplaced.length ? [{ name: "", ready: true }] : []), ...map.nodes];
  const perRow = Math.max(1, Math.min(columns.length, 3));
  const width = (wide - gap * (perRow + 1)) / perRow;
  const top = map.services.length ? 64 : gap;
  const placed = new Map<string, Placed>();
  const boxes: { name: string; ready: boolean; x: number; y: number; width: number; height: number; more: number }[] = [];
  let y = top;
  for (let at = 0; at < columns.length; at += perRow) {
    let tallest = 0;
    columns.slice(at, at + perRow).forEach((node, i) => {
      const pods = map.pods.filter((p) => (node.name ? p.node === node.name : !known.has(p.node)));
      const x = gap + i * (width + gap);
      pods.slice(0, mostPods).forEach((pod, k) => {
        placed.set(pod.name, { pod, x: x + 8, y: y + 30 + k * (podHeight + 6), width: width - 16 });
      });
      const height = 36 + Math.max(1, Math.min(pods.length, mostPods)) * (podHeight + 6);
      boxes.push({ name: node.name, ready: node.ready, x, y, width, height, more: Math.max(0, pods.length - mostPods) });
      tallest = Math.max(tallest, height);
    });
    y += tallest + gap;
  }
  return { placed, boxes, height: Math.max(y, top + 40) };
}

export function Map_({ map }: { map: ClusterMap | null }) {
  if (!map || (map.nodes.length === 0 && map.pods.length === 0)) return <p class="quiet pad">{t("map.empty")}</p>;
  const { placed, boxes, height } = layout(map);
  const service = Math.min(220, (wide - gap) / Math.max(1, map.services.length));
  return (
    <div class="map">
      <svg viewBox={`0 0 ${wide} ${height}`} aria-hidden="true" role="presentation">
        {boxes.map((b) => (
          <g key={"n" + b.name}>
            <rect class={b.name ? (b.ready ? "node" : "node bad") : "node none"} x={b.x} y={b.y} width={b.width} height={b.height} rx="8" />
            <text class="node-name" x={b.x + 10} y={b.y + 20}>{cut(b.name || t("map.unplaced"), b.width / 8)}{b.ready ? "" : " ✗"}{b.more ? ` +${b.more}` : ""}</text>
          </g>
        ))}
        {map.services.map((s, i) =>
          s.pods.map((p) => {
            const to = placed.get(p);
            if (!to) return null;
            const x = gap + i * service + (service - gap) / 2;
            const end = to.x + to.width / 2;
            return <path key={s.name + "/" + p} class="wire" d={`M${x} 44 C${x} ${to.y - 20}, ${end} ${to.y - 40}, ${end} ${to.y}`} />;
          }),
        )}
        {map.services.map((s, i) => (
          <g key={"s" + s.name}>
            <rect class="service" x={gap + i * service} y="10" width={service - gap} height="34" rx="17" />
            <text class="service-name" x={gap + i * service + (service - gap) / 2} y="32" text-anchor="middle">{cut(s.name, (service - gap) / 9)}</text>
          </g>
        ))}
        {[...placed.values()].map(({ pod, x, y, width }) => {
          const m = mark(pod.state);
          return (
            <g key={"p" + pod.name} class={"pod " + m}>
              <title>{pod.name + ": " + (pod.phrase || pod.state)}</title>
              <rect x={x} y={y} width={width} height={podHeight} rx="5" />
              <text class="sign" x={x + 9} y={y + 22}>{signs[m]}</text>
              <text class="pod-name" x={x + 26} y={y + 15}>{cut(pod.name, (width - 34) / 7.4)}</text>
              <text class="pod-state" x={x + 26} y={y + 28}>{cut(pod.phrase || pod.state, (width - 30) / 6.2)}</text>
            </g>
          );
        })}
      </svg>
      <ul class="unseen">
        {map.nodes.map((n) => <li key={"n" + n.name}>{t(n.ready ? "map.node" : "map.node.lost", { name: n.name })}</li>)}
        {map.pods.map((p) => <li key={"p" + p.name}>{t("map.pod", { name: p.name, state: p.phrase || p.state, node: p.node || t("map.unplaced") })}</li>)}
        {map.services.map((s) => <li key={"s" + s.name}>{t("map.service", { name: s.name, pods: s.pods.join(", ") || t("none") })}</li>)}
      </ul>
    </div>
  );
}

// cut shortens a text to a number of characters; its middle is left out, since names of pods differ at the end.
function cut(s: string, most: number): string {
  const n = Math.max(4, Math.floor(most));
  if (s.length <= n) return s;
  const end = Math.min(8, Math.floor(n / 3));
  return s.slice(0, n - end - 1) + "…" + s.slice(s.length - end);
}
