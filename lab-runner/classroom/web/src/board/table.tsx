// Table has a row for each learner; on a narrow page each row is a card.
import { now } from "../api";
import { t } from "../i18n";
import { ago, useNow } from "../parts";
import type { Row } from "./state";

interface Props {
  rows: Row[];
  chosen: ReadonlySet<string>;
  choose: (ids: string[], on: boolean) => void;
  watch: (r: Row) => void;
  helped: (r: Row) => void;
}

export function Table({ rows, chosen, choose, watch, helped }: Props) {
  useNow(true);
  const all = rows.length > 0 && rows.every((r) => chosen.has(r.id));
  return (
    <table class="board">
      <thead>
        <tr>
          <th><input type="checkbox" aria-label={t("board.choose.all")} checked={all} onChange={(e) => choose(rows.map((r) => r.id), e.currentTarget.checked)} /></th>
          <th>{t("board.name")}</th>
          <th>{t("board.where")}</th>
          <th>{t("board.checks")}</th>
          <th>{t("board.red")}</th>
          <th>{t("board.cause")}</th>
          <th>{t("board.help")}</th>
          <th><span class="unseen">{t("board.actions")}</span></th>
        </tr>
      </thead>
      <tbody>
        {rows.map((r) => (
          <tr key={r.id} class={(r.help !== null ? "help" : r.redSince !== null ? "red" : "") + (r.connected ? "" : " away")}>
            <td><input type="checkbox" aria-label={t("board.choose", { name: r.name })} checked={chosen.has(r.id)} onChange={(e) => choose([r.id], e.currentTarget.checked)} /></td>
            <th scope="row" class="name">
              {r.name}
              {!r.connected && <span class="tag">{t("board.away")}</span>}
              {r.own && <span class="tag">{t("board.own")}</span>}
              {r.watched && <span class="tag">{t("board.watched")}</span>}
            </th>
            <td data-label={t("board.where")}>
              {r.lab ? (
                <>
                  <span class="block">{r.lab}</span>
                  <span class="quiet block">{t("board.step", { n: r.step, of: r.steps })}: {r.stepTitle}</span>
                  <progress max={r.steps || 1} value={r.step} aria-label={t("board.step", { n: r.step, of: r.steps })} />
                </>
              ) : <span class="quiet">{t("board.nolab")}</span>}
              {r.solved > 0 && <span class="quiet block">{t("board.solved", { n: r.solved })}</span>}
            </td>
            <td data-label={t("board.checks")} class="counts">
              <span class="right">✓ {r.done}</span> <span>○ {r.todo}</span>{r.lost > 0 && <> <span class="wrong">✗ {r.lost}</span></>}
              <span class="unseen">{t("board.counts", { done: r.done, todo: r.todo, lost: r.lost })}</span>
            </td>
            <td data-label={t("board.red")}>{r.redSince !== null && <><strong class="wrong">{ago(r.redSince, now())}</strong><span class="quiet block">{r.red}</span></>}</td>
            <td data-label={t("board.cause")}>{r.cause}</td>
            <td data-label={t("board.help")}>{r.help !== null && <button type="button" class="helped" onClick={() => helped(r)} title={t("board.helped")}>? {ago(r.help, now())}<span class="unseen">: {t("board.helped")}</span></button>}</td>
            <td class="row-actions">{!r.own && <button type="button" onClick={() => watch(r)} aria-label={t("board.watch", { name: r.name })}>{t("board.watch.short")}</button>}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
