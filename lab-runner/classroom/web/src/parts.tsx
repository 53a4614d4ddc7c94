// Parts that all pages share.
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { now } from "./api";
import { change, language, languages, name, t } from "./i18n";
import { clean } from "./safe";

// Html shows HTML that is not trusted, cleaned.
export function Html({ html, class: kind }: { html: string; class?: string }) {
  return <div class={kind ?? "html"} dangerouslySetInnerHTML={{ __html: clean(html) }} />;
}

export function Language() {
  if (languages.length < 2) return null;
  return (
    <label class="language">
      <span class="unseen">{t("language")}</span>
      <select value={language()} onChange={(e) => change(e.currentTarget.value)}>
        {languages.map((l) => (
          <option key={l} value={l} lang={l}>{name(l)}</option>
        ))}
      </select>
    </label>
  );
}

// useNow returns the server's time in milliseconds, every second while it is needed.
export function useNow(needed: boolean): number {
  const [at, set] = useState(now());
  useEffect(() => {
    if (!needed) return;
    set(now());
    const timer = setInterval(() => set(now()), 1000);
    return () => clearInterval(timer);
  }, [needed]);
  return at;
}

export function Timer({ end }: { end: number | null }) {
  const at = useNow(end !== null);
  if (end === null) return null;
  const left = Math.round((end - at) / 1000);
  return (
    <span class={left <= 60 ? "timer soon" : "timer"} role="timer">
      {left <= 0 ? t("timer.over") : t("timer.left", { time: clock(left) })}
    </span>
  );
}

// clock formats seconds as m:ss or h:mm:ss.
export function clock(seconds: number): string {
  const two = (n: number): string => String(n).padStart(2, "0");
  const s = Math.max(0, Math.floor(seconds));
  const h = Math.floor(s / 3600);
  return (h ? `${h}:${two(Math.floor(s / 60) % 60)}` : String(Math.floor(s / 60))) + ":" + two(s % 60);
}

// since says how long ago a time was, in minutes or seconds.
export function ago(since: number, at: number): string {
  const s = Math.max(0, Math.round((at - since) / 1000));
  return s < 60 ? t("ago.seconds", { n: s }) : s < 3600 ? t("ago.minutes", { n: Math.floor(s / 60) }) : t("ago.hours", { n: Math.floor(s / 3600), m: Math.floor(s / 60) % 60 });
}

interface DialogProps {
  title: string;
  children: ComponentChildren;
  close: () => void;
  wide?: boolean;
}

// Dialog is shown until close is called, which the key Escape does too.
export function Dialog({ title, children, close, wide }: DialogProps) {
  const box = useRef<HTMLDialogElement>(null);
  useEffect(() => box.current?.showModal(), []);
  return (
    <dialog ref={box} class={wide ? "wide" : ""} aria-label={title} onClose={close} onCancel={close}>
      <header>
        <h2>{title}</h2>
        <button type="button" class="plain" aria-label={t("close")} onClick={close}>×</button>
      </header>
      {children}
    </dialog>
  );
}

export interface Question {
  title: string;
  text: string;
  yes: string;
  act: () => void;
}

// Confirm asks before something that cannot be undone.
export function Confirm({ question, close }: { question: Question; close: () => void }) {
  return (
    <Dialog title={question.title} close={close}>
      <p>{question.text}</p>
      <p class="buttons">
        <button type="button" class="danger" onClick={() => { close(); question.act(); }}>{question.yes}</button>
        <button type="button" onClick={close}>{t("cancel")}</button>
      </p>
    </Dialog>
  );
}

// Notice is a line that tells how the last request ended.
export function Notice({ text, failed, close }: { text: string; failed: boolean; close: () => void }) {
  return (
    <div class={failed ? "notice failed" : "notice"} role={failed ? "alert" : "status"} hidden={!text}>
      <span>{text}</span>
      <button type="button" class="plain" aria-label={t("close")} onClick={close}>×</button>
    </div>
  );
}
