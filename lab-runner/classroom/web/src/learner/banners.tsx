// Banners are what concerns the learner now: the connection, the instructor's message, who sees the terminal.
import { useState } from "preact/hooks";
import { language, t } from "../i18n";
import { kept, keep } from "../kept";
import type { LiveState } from "../live";
import type { Me } from "../page";

interface Props {
  me: Me;
  desk: { state: string; text: string };
  live: LiveState;
  typing: (allow: boolean) => void;
}

export function Banners({ me, desk, live, typing }: Props) {
  const [read, setRead] = useState(kept("message.read") ?? "");
  const [closed, setClosed] = useState(""); // the slide that the learner has closed
  const { message, slide, follow } = me.class;
  const key = slide ? slide.deck : "";
  return (
    <div class="banners">
      {live === "lost" && <p class="banner warn" role="status">{t("live.lost")}</p>}
      {live === "open" && desk.state === "starting" && <p class="banner" role="status">{desk.text || t("desk.starting")}</p>}
      {live === "open" && desk.state === "lost" && <p class="banner warn" role="alert">{desk.text || t("desk.lost")}</p>}
      {message && message !== read && (
        <div class="banner message" role="alert">
          <p><strong>{t("banner.message")}</strong> {message}</p>
          <button type="button" onClick={() => { keep("message.read", message); setRead(message); }}>{t("banner.read")}</button>
        </div>
      )}
      {me.watched && <p class="banner" role="status"><span aria-hidden="true">◉</span> {t("banner.watched")}</p>}
      {me.typing === "asked" && (
        <div class="banner message" role="alert">
          <p>{t("banner.typing.asked")}</p>
          <button type="button" class="primary" onClick={() => typing(true)}>{t("banner.typing.allow")}</button>
          <button type="button" onClick={() => typing(false)}>{t("banner.typing.refuse")}</button>
        </div>
      )}
      {me.typing === "allowed" && (
        <div class="banner warn" role="status">
          <p>{t("banner.typing.allowed")}</p>
          <button type="button" onClick={() => typing(false)}>{t("banner.typing.end")}</button>
        </div>
      )}
      {follow && slide && closed !== key && <Slide deck={slide.deck} page={slide.page} close={() => setClosed(key)} />}
      {follow && slide && closed === key && <p class="banner"><button type="button" onClick={() => setClosed("")}>{t("slide.open")}</button></p>}
    </div>
  );
}

// Slide is the instructor's slide in a frame. It follows: it has no buttons.
function Slide({ deck, page, close }: { deck: string; page: number; close: () => void }) {
  return (
    <section class="slide" aria-label={t("slide.title")}>
      <header><strong>{t("slide.title")}</strong><button type="button" onClick={close}>{t("slide.close")}</button></header>
      <iframe src={slideAddress(deck, page)} title={t("slide.title")} sandbox="allow-scripts allow-same-origin" />
    </section>
  );
}

// slideAddress is the page of a deck below slides/, in a frame that follows. A name of a deck is one part of a path.
export function slideAddress(deck: string, page: number): string {
  const name = /^[A-Za-z0-9][\w.-]*$/.test(deck) ? deck + "/" : "";
  return `slides/${name}?follow=1&lang=${language()}#${Math.max(1, Math.floor(page))}`;
}
