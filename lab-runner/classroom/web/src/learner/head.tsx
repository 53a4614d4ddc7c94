// Head is the bar at the top of a learner's page.
import { useState } from "preact/hooks";
import { t } from "../i18n";
import { kept } from "../kept";
import type { LiveState } from "../live";
import type { Me } from "../page";
import { Dialog, Language, Timer } from "../parts";

interface Props {
  me: Me;
  live: LiveState;
  inLab: boolean;
  hasLab: boolean;
  newReturnCode: string;
  help: (on: boolean) => void;
  leave: () => void;
}

export function Head({ me, live, inLab, hasLab, newReturnCode, help, leave }: Props) {
  const [menu, setMenu] = useState(!!newReturnCode);
  const returnCode = me.returnCode || newReturnCode || kept("returnCode", "session");
  return (
    <header class="top learner">
      <span class="brand" title={me.class.title}>{me.class.title || "Wheelhouse"}</span>
      {(inLab || hasLab) && <a href={inLab ? "#labs" : "#lab"}>{inLab ? t("head.labs") : t("head.lab")}</a>}
      <span class="spacer" />
      <Timer end={me.class.timer} />
      <span class={"live " + live} role="status"><span aria-hidden="true">●</span><span class="unseen">{t(`live.state.${live}`)}</span></span>
      <button type="button" aria-pressed={me.help} aria-label={me.help ? t("head.help.on") : t("head.help")} onClick={() => help(!me.help)}>
        <span aria-hidden="true">?</span> <span class="wide-only">{me.help ? t("head.help.on") : t("head.help")}</span>
      </button>
      <button type="button" aria-haspopup="dialog" onClick={() => setMenu(true)} class="who" aria-label={t("head.menu") + ": " + me.name}>{me.name}</button>
      {menu && (
        <Dialog title={me.name} close={() => setMenu(false)}>
          {returnCode && (
            <>
              <p>{t("head.returnCode")}</p>
              <p class="bigcode"><code>{returnCode}</code></p>
              <p class="quiet">{t("head.returnCode.about")}</p>
            </>
          )}
          <p><Language /></p>
          <p class="quiet">{t("head.privacy")}</p>
          <p class="buttons">
            <button type="button" class="primary" onClick={() => setMenu(false)}>{t("head.continue")}</button>
            <button type="button" onClick={leave}>{t("head.leave")}</button>
          </p>
        </Dialog>
      )}
    </header>
  );
}
