// The checks of a step, live, with the reason of what does not hold.
import { now } from "../api";
import { t } from "../i18n";
import type { Check } from "../page";
import { ago, useNow } from "../parts";

const signs = { todo: "○", done: "✓", lost: "✗" } as const;

export function Checks({ checks, why }: { checks: Check[]; why: () => void }) {
  useNow(checks.some((c) => c.since !== null && c.state !== "done"));
  if (checks.length === 0) return <p class="quiet pad">{t("checks.none")}</p>;
  return (
    <div class="checks">
      <ul>
        {checks.map((c) => (
          <li key={c.name} class={c.state}>
            <span class="sign" aria-hidden="true">{signs[c.state]}</span>
            <div>
              <strong>{c.name}</strong>
              <span class="unseen">: {t(`check.${c.state}`)}</span>
              {c.state === "lost" && <p>{t("check.lost")}{c.since ? ", " + ago(c.since, now()) : ""}</p>}
              {c.state !== "done" && c.reason && <Reason reason={c.reason} />}
            </div>
          </li>
        ))}
      </ul>
      {checks.some((c) => c.state !== "done") && <button type="button" onClick={why}>{t("checks.why")}</button>}
    </div>
  );
}

function Reason({ reason }: { reason: NonNullable<Check["reason"]> }) {
  const rows = [
    [t("reason.wanted"), reason.wanted],
    [t("reason.seen"), reason.seen],
    [t("reason.event"), reason.event],
    [t("reason.elsewhere"), reason.elsewhere],
  ].filter(([, v]) => v);
  return (
    <>
      <dl>{rows.map(([k, v]) => <div key={k}><dt>{k}</dt><dd>{v}</dd></div>)}</dl>
      {reason.try && <p class="try">{t("reason.try")} <code>{reason.try}</code></p>}
    </>
  );
}
