// Labs is the list of the labs of the class.
import { many, t } from "../i18n";
import type { Lab, Me } from "../page";
import { Programs } from "./programs";

interface Props {
  labs: Lab[] | null;
  programs: Me["programs"];
  current: string;
  open: (lab: string) => void;
}

export function Labs({ labs, programs, current, open }: Props) {
  if (!labs) return <main class="labs"><p class="quiet">{t("labs.loading")}</p></main>;
  const tracks = [...new Set(labs.map((l) => l.track))];
  return (
    <main class="labs">
      <h1>{t("labs.title")}</h1>
      {labs.length === 0 && <p>{t("labs.none")}</p>}
      {tracks.map((track) => (
        <section key={track} aria-label={track}>
          <h2>{track}</h2>
          <ul>
            {labs.filter((l) => l.track === track).map((l) => (
              <li key={l.lab} class={l.open && l.here ? "lab" : "lab shut"}>
                <div>
                  <h3>{l.title || l.lab}</h3>
                  {l.about && <p>{l.about}</p>}
                  <p class="quiet">
                    {many("labs.steps", l.steps.length)}
                    {l.minutes > 0 && " · " + t("labs.minutes", { n: l.minutes })}
                    {l.stepsDone > 0 && " · " + t("labs.done", { n: l.stepsDone, of: l.steps.length })}
                  </p>
                  {!l.here && <p class="elsewhere">{l.why || t("labs.elsewhere")}</p>}
                  {l.stepsDone > 0 && <progress max={l.steps.length} value={l.stepsDone} aria-label={t("labs.done", { n: l.stepsDone, of: l.steps.length })} />}
                </div>
                {l.here && (
                  <button type="button" class={l.open ? "primary" : ""} disabled={!l.open} onClick={() => open(l.lab)}>
                    {!l.open ? t("labs.closed") : l.lab === current || l.stepsDone > 0 ? t("labs.continue") : t("labs.start")}<span class="unseen">: {l.title || l.lab}</span>
                  </button>
                )}
              </li>
            ))}
          </ul>
        </section>
      ))}
      <Programs programs={programs} />
    </main>
  );
}
