// LabPage is an open lab: text, terminal, checks and map. Where there is room for one of them
// only, a row of tabs chooses it.
import { useEffect, useRef, useState } from "preact/hooks";
import { many, t, type Key } from "../i18n";
import { kept, keep } from "../kept";
import { Map_ } from "../map";
import { said, type ClusterMap, type View } from "../page";
import { Confirm, Dialog, Html, type Question } from "../parts";
import { Terminal, type Handle } from "../terminal";
import { Checks } from "./checks";
import { Text } from "./text";

interface Props {
  view: View;
  map: ClusterMap | null;
  output: string;
  busy: string;
  act: (body: { do: string } & Record<string, unknown>) => Promise<unknown>;
}

const tabs = ["text", "terminal", "checks", "map"] as const;
type Tab = (typeof tabs)[number];

const stepSigns = { todo: "○", done: "✓", solved: "◆", skipped: "–" } as const;

export function LabPage({ view, map, output, busy, act }: Props) {
  const narrow = useNarrow();
  const [tab, setTab] = useState<Tab>((kept("tab", "session") as Tab | null) ?? "text");
  const [question, setQuestion] = useState<Question | null>(null);
  const [why, setWhy] = useState("");
  const [skip, setSkip] = useState(false); // "next" was refused since checks are to do
  const terminal = useRef<Handle | null>(null);
  const text = useRef<HTMLElement>(null);
  const key = view.lab + "#" + view.step;

  const choose = (next: Tab): void => {
    setTab(next);
    keep("tab", next, "session");
  };
  // On a wide page the text and the terminal are always there; the tabs choose what is below the terminal.
  const below: Tab = tab === "map" ? "map" : "checks";
  const shown = (which: Tab): boolean => (narrow ? which === tab : which === "text" || which === "terminal" || which === below);

  useEffect(() => {
    setSkip(false);
    const el = text.current;
    if (el) el.scrollTop = Number(kept("scroll " + key, "session")) || 0;
  }, [key]);

  const run = (command: string): void => {
    if (narrow) choose("terminal");
    terminal.current?.run(command);
    // The terminal can have the focus when it is shown. On a phone that would open a keyboard over it.
    if (!matchMedia("(pointer: coarse)").matches) requestAnimationFrame(() => terminal.current?.focus());
  };
  // The key F6 goes from the terminal to the text, and from everywhere else to the terminal.
  useEffect(() => {
    const pressed = (e: KeyboardEvent): void => {
      if (e.key !== "F6") return;
      e.preventDefault();
      const inside = (document.activeElement?.closest(".terminal") ?? null) !== null || (narrow && tab === "terminal");
      if (narrow) choose(inside ? "text" : "terminal");
      requestAnimationFrame(() => (inside ? text.current?.focus() : terminal.current?.focus()));
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, [narrow, tab]);
  const next = async (): Promise<void> => {
    if ((await act({ do: "next" })) === undefined && view.checks.some((c) => c.state !== "done")) setSkip(true);
  };
  const askWhy = async (): Promise<void> => {
    const result = await act({ do: "why" });
    if (result !== undefined) setWhy(said(result) || t("why.nothing"));
  };
  const confirm = (what: "solve" | "reset", then: Record<string, unknown> = {}): void =>
    setQuestion({ title: t(`confirm.${what}`), text: t(`confirm.${what}.text`), yes: t(`confirm.${what}.yes`), act: () => void act({ do: what, ...then }) });
  const goto = (step: number): void => {
    if (step === view.step) return;
    setQuestion({ title: t("confirm.goto"), text: t("confirm.goto.text", { step: step + 1 }), yes: t("confirm.goto.yes"), act: () => void act({ do: "goto", step }) });
  };

  const done = view.checks.filter((c) => c.state === "done").length;
  const label = (which: Tab): string => (which === "checks" && view.checks.length ? t("tab.checks.count", { done, of: view.checks.length }) : t(`tab.${which}` as Key));
  const others = (
    <>
      <button type="button" onClick={() => confirm("solve")} disabled={!!busy}>{t("solve")}</button>
      <button type="button" onClick={() => confirm("reset")} disabled={!!busy}>{t("reset")}</button>
    </>
  );
  const last = view.step >= view.steps.length - 1;
  return (
    <main class={narrow ? "lab-page narrow" : "lab-page"}>
      <section class="text-pane" hidden={!shown("text")} aria-label={t("tab.text")}>
        <div class="step-bar">
          <details class="steps">
            <summary>{t("step.of", { n: view.step + 1, of: view.steps.length })}</summary>
            <ol>
              {view.steps.map((s, i) => (
                <li key={i}>
                  <button type="button" aria-current={i === view.step ? "step" : undefined} onClick={() => goto(i)} disabled={!!busy}>
                    <span aria-hidden="true">{stepSigns[s.state]}</span> {s.title || s.name}<span class="unseen">, {t(`step.${s.state}`)}</span>
                  </button>
                </li>
              ))}
            </ol>
          </details>
          <progress max={view.steps.length} value={view.steps.filter((s) => s.state !== "todo").length} aria-label={t("step.progress")} />
        </div>
        <article ref={text} tabIndex={-1} class="scroll" onScroll={(e) => keep("scroll " + key, String(Math.round(e.currentTarget.scrollTop)), "session")}>
          <p class="quiet lab-title">{view.title}</p>
          {view.steps[view.step]?.title && <h2>{view.steps[view.step]?.title}</h2>}
          <Text key={key} view={view} run={run} answer={(q, a) => void act({ do: "answer", question: q, answer: a })} />
          {view.hints.map((h, i) => <aside key={i} class="hint"><strong>{t("hint.title", { n: i + 1 })}</strong><Html html={h} /></aside>)}
          {view.done && <p class="all-done" role="status">✓ {t("lab.done")} <a href="#labs">{t("lab.done.labs")}</a></p>}
        </article>
        {skip && (
          <div class="banner warn" role="status"><p>{t("next.skip.text")}</p><button type="button" onClick={() => void act({ do: "next", skip: true })}>{t("next.skip")}</button></div>
        )}
        <footer class="bar">
          <button type="button" aria-label={t("back")} onClick={() => void act({ do: "back" })} disabled={!!busy || view.step === 0}>← <span class="wide-only">{t("back")}</span></button>
          <span class="spacer" />
          <button type="button" onClick={() => void act({ do: "hint" })} disabled={!!busy || view.hintsLeft <= 0}>{t("hint")}{view.hintsLeft > 0 ? ` (${view.hintsLeft})` : ""}</button>
          {narrow ? <details class="more"><summary aria-label={t("more")}>⋯</summary><div>{others}</div></details> : others}
          <span class="spacer" />
          <button type="button" class="primary" onClick={() => void next()} disabled={!!busy || (last && view.done)}>{last ? t("finish") : t("next")} →</button>
        </footer>
      </section>

      <div class="work-pane">
        <Terminal path="api/terminal" shown={shown("terminal")} label={t("tab.terminal")} handle={(h) => (terminal.current = h)} leave />
        {!narrow && <Tabs of={["checks", "map"]} tab={below} choose={choose} label={label} />}
        <section class="below" hidden={!shown("checks")} aria-label={t("tab.checks")} id="panel-checks">
          <Checks checks={view.checks} why={() => void askWhy()} />
          <div class="check-actions"><button type="button" onClick={() => void act({ do: "check" })} disabled={!!busy}>{t("checks.now")}</button></div>
          {output && <details class="output" open={!!busy}><summary>{busy ? t("output.running") : t("output.title")}</summary><pre tabIndex={0}>{output}</pre></details>}
        </section>
        <section class="below" hidden={!shown("map")} aria-label={t("tab.map")} id="panel-map"><Map_ map={map} /></section>
      </div>
      {narrow && <Tabs of={tabs} tab={tab} choose={choose} label={label} />}

      {busy && <p class="busy" role="status">{t("busy")}</p>}
      {question && <Confirm question={question} close={() => setQuestion(null)} />}
      {why && <Dialog title={t("checks.why")} close={() => setWhy("")} wide><pre class="why" tabIndex={0}>{why}</pre></Dialog>}
      <p class="unseen" role="status">{view.checks.length > 0 && done === view.checks.length ? t("checks.all") : many("checks.done", done)}</p>
    </main>
  );
}

function Tabs({ of, tab, choose, label }: { of: readonly Tab[]; tab: Tab; choose: (t: Tab) => void; label: (t: Tab) => string }) {
  return (
    <nav class="tabs" aria-label={t("tabs")}>
      {of.map((which) => (
        <button key={which} type="button" aria-current={which === tab ? "true" : undefined} onClick={() => choose(which)}>{label(which)}</button>
      ))}
    </nav>
  );
}

// useNarrow reports whether there is room for one pane only.
function useNarrow(): boolean {
  const query = "(max-width: 860px)";
  const [narrow, set] = useState(matchMedia(query).matches);
  useEffect(() => {
    const media = matchMedia(query);
    const changed = (): void => set(media.matches);
    media.addEventListener("change", changed);
    return () => media.removeEventListener("change", changed);
  }, []);
  return narrow;
}
