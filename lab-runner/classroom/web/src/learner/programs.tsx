// Programs are links to the program lab, which learners with a cluster of their own run. Those for the system of this browser
// come first; browsers do not say the architecture.
import { t } from "../i18n";
import type { Me } from "../page";

type Program = Me["programs"][number];

const names: Record<string, string> = { linux: "Linux", darwin: "macOS", windows: "Windows" };

const system = (): string => {
  const says = navigator.platform + " " + navigator.userAgent;
  return /Win/.test(says) ? "windows" : /Mac/.test(says) ? "darwin" : "linux";
};

export function Programs({ programs }: { programs: Me["programs"] }) {
  if (!programs.length) return null;
  const own = programs.filter((p) => p.system === system());
  const others = programs.filter((p) => p.system !== system());
  return (
    <section class="programs" aria-label={t("programs.title")}>
      <h2>{t("programs.title")}</h2>
      <p>{t("programs.about")}</p>
      <List programs={own} />
      {others.length > 0 && <details open={!own.length}><summary>{t("programs.others")}</summary><List programs={others} /></details>}
    </section>
  );
}

function List({ programs }: { programs: Program[] }) {
  return (
    <ul class="links">
      {programs.map((p) => (
        <li key={p.path}><a href={p.path} download>{names[p.system] ?? p.system} {p.arch}</a> <span class="quiet">{(p.bytes / 1e6).toFixed(1)} MB</span></li>
      ))}
    </ul>
  );
}
