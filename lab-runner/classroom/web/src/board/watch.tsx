// Watch shows a learner's terminal. Keys go into it only while the learner allows that.
import { useState } from "preact/hooks";
import { t } from "../i18n";
import { Dialog } from "../parts";
import { Terminal } from "../terminal";
import type { Row } from "./state";

export function Watch({ learner, ask, close }: { learner: Row; ask: () => void; close: () => void }) {
  const [typing, setTyping] = useState(false);
  const allowed = learner.typing === "allowed";
  const types = typing && allowed;
  return (
    <Dialog title={t("watch.title", { name: learner.name })} close={close} wide>
      <div class="watch">
        <Terminal key={String(types)} path={`api/board/terminal/${encodeURIComponent(learner.id)}?mode=${types ? "type" : "view"}`} readOnly={!types} shown label={t("watch.title", { name: learner.name })} />
      </div>
      <p class="buttons">
        {allowed ? (
          <button type="button" aria-pressed={types} onClick={() => setTyping(!typing)}>{t("watch.type")}</button>
        ) : (
          <button type="button" disabled={learner.typing === "asked"} onClick={() => { ask(); setTyping(true); }}>{learner.typing === "asked" ? t("watch.asked") : t("watch.ask")}</button>
        )}
        <span class="quiet">{types ? t("watch.types") : t("watch.readonly")}</span>
      </p>
    </Dialog>
  );
}
