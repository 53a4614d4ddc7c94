// Actions are what the instructor does for the chosen learners, or for all.
import { useState } from "preact/hooks";
import { t } from "../i18n";
import { kept, keep } from "../kept";
import type { Lab } from "../page";
import { Confirm, type Question } from "../parts";
import { slideAddress } from "../learner/banners";
import type { Board } from "./state";

export type Act = (action: string, more?: Record<string, unknown>) => void;

interface Props {
  board: Board;
  labs: Lab[];
  chosen: number; // learners; 0: the actions are for all
  act: Act;
  forget: () => void;
}

export function Actions({ board, labs, chosen, act, forget }: Props) {
  const [lab, setLab] = useState(kept("board.lab", "session") ?? "");
  const [step, setStep] = useState("1");
  const [text, setText] = useState(kept("board.message", "session") ?? "");
  const [minutes, setMinutes] = useState("10");
  const [question, setQuestion] = useState<Question | null>(null);
  const known = labs.length ? labs : board.class.labs.map((l) => ({ lab: l, title: l, steps: [] as string[] }));
  const current = known.find((l) => l.lab === lab) ?? known[0];
  const for_ = chosen ? t("act.for", { n: chosen }) : t("act.for.all");
  const isOpen = current !== undefined && (board.open ?? board.class.labs).includes(current.lab);
  const ask = (what: "reset" | "remove" | "evict", action: () => void): void =>
    setQuestion({ title: t(`act.${what}.title`), text: t(`act.${what}.text`) + " " + for_, yes: t(`act.${what}`), act: action });
  const about = { lab: current?.lab ?? "", step: (Number(step) || 1) - 1 };
  const slide = board.class.slide;
  return (
    <aside class="actions" aria-label={t("act.title")}>
      <p class="for" role="status">{for_}</p>
      <fieldset>
        <legend>{t("act.lab")}</legend>
        <select aria-label={t("act.lab")} value={current?.lab} onChange={(e) => { setLab(e.currentTarget.value); keep("board.lab", e.currentTarget.value, "session"); setStep("1"); }}>
          {known.map((l) => <option key={l.lab} value={l.lab}>{l.title || l.lab}{(board.open ?? board.class.labs).includes(l.lab) ? " ✓" : ""}</option>)}
        </select>
        <div class="buttons">
          <button type="button" class={isOpen ? "" : "primary"} onClick={() => act("open", { lab: about.lab })}>{t("act.open")}</button>
          <button type="button" onClick={() => act("close", { lab: about.lab })}>{t("act.close")}</button>
        </div>
        <label>{t("act.step")}
          {current && current.steps.length > 0 ? (
            <select value={step} onChange={(e) => setStep(e.currentTarget.value)}>
              {current.steps.map((s, i) => <option key={i} value={String(i + 1)}>{i + 1}. {s}</option>)}
            </select>
          ) : (
            <input type="number" min="1" max="99" value={step} onInput={(e) => setStep(e.currentTarget.value)} />
          )}
        </label>
        <div class="buttons">
          <button type="button" onClick={() => act("hint", about)}>{t("act.hint")}</button>
          <button type="button" onClick={() => act("release", about)}>{t("act.release")}</button>
          <button type="button" onClick={() => ask("reset", () => act("goto", about))}>{t("act.goto")}</button>
          <button type="button" onClick={() => ask("reset", () => act("reset", { lab: about.lab }))}>{t("act.reset")}</button>
        </div>
      </fieldset>
      <form onSubmit={(e) => { e.preventDefault(); act("message", { text }); setText(""); keep("board.message", "", "session"); }}>
        <label>{t("act.message")}
          <textarea rows={2} maxLength={1000} value={text} onInput={(e) => { setText(e.currentTarget.value); keep("board.message", e.currentTarget.value, "session"); }} />
        </label>
        <div class="buttons">
          <button type="submit" disabled={!text.trim()}>{t("act.message.send")}</button>
          {board.class.message && <button type="button" onClick={() => act("message", { text: "" })}>{t("act.message.clear")}</button>}
        </div>
      </form>
      <form onSubmit={(e) => { e.preventDefault(); act("timer", { minutes: Number(minutes) || 0 }); }}>
        <label>{t("act.timer")}
          <input type="number" min="0" max="600" value={minutes} onInput={(e) => setMinutes(e.currentTarget.value)} />
        </label>
        <div class="buttons">
          <button type="submit">{t("act.timer.set")}</button>
          {board.class.timer !== null && <button type="button" onClick={() => act("timer", { minutes: 0 })}>{t("act.timer.clear")}</button>}
        </div>
      </form>
      <fieldset>
        <legend>{t("act.slides")}</legend>
        {slide && <p class="quiet">{slide.deck}: {slide.page} <a href={slideAddress(slide.deck, slide.page).replace("follow=1", "present=1")} target="_blank" rel="noopener">{t("act.slides.current")}</a></p>}
        <div class="buttons">
          <a class="button" href="slides/?present=1" target="_blank" rel="noopener">{t("act.slides.open")}</a>
          <button type="button" aria-pressed={board.class.follow} onClick={() => act("follow", { on: !board.class.follow })}>{t("act.slides.follow")}</button>
        </div>
      </fieldset>
      <details>
        <summary>{t("act.more")}</summary>
        <div class="buttons">
          <a class="button" href="api/board/export.csv" download>{t("act.csv")}</a>
          <button type="button" disabled={!chosen} onClick={() => ask("remove", () => act("remove"))}>{t("act.remove")}</button>
          <button type="button" onClick={() => ask("evict", () => act("evict-all"))}>{t("act.evict")}</button>
          <button type="button" class="danger" onClick={() => setQuestion({ title: t("act.forget.title"), text: t("act.forget.text"), yes: t("act.forget"), act: forget })}>{t("act.forget")}</button>
        </div>
      </details>
      {question && <Confirm question={question} close={() => setQuestion(null)} />}
    </aside>
  );
}
