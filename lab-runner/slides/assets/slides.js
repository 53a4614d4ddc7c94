// One deck in the browser. The current slide is the fragment of the address: #3. Windows of one browser show the same
// slide (BroadcastChannel), and so does the page around a frame: it gets
//   {type: "wheelhouse.slide", deck, page}       when the slide changes here, and
//   {type: "wheelhouse.run", deck, page, command}  when a command is to be run in its terminal,
// and may send {type: "wheelhouse.slide", page}. Messages of other origins are ignored. With "follow" in the query or
// after the number (#3?follow) keys do not move and commands have no buttons: the page around moves it. With "present" in the query each change is sent to
// the class (../../api/board/do).
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const body = document.body, track = body.dataset.track, live = "live" in body.dataset;
  const slides = [...document.querySelectorAll(".slide")];
  const query = new URLSearchParams(location.search);
  const framed = window.parent !== window;
  const following = () => query.has("follow") || location.hash.includes("follow");
  const windows = "BroadcastChannel" in window && !framed ? new BroadcastChannel("wheelhouse.slides." + track) : null;
  let page = 0, started = Date.now(), touch = null, mapTimer = 0;

  const fromHash = () => parseInt(location.hash.slice(1), 10) || 1;
  const headers = { "Content-Type": "application/json", "X-Wheelhouse": "1" };
  const post = (path, what) => fetch(path, { method: "POST", headers, body: JSON.stringify(what) });

  function show(to, quiet) {
    to = Math.min(Math.max(to, 1), slides.length);
    if (to === page) return;
    page = to;
    slides.forEach((s, i) => {
      s.classList.toggle("current", i === page - 1);
      s.classList.toggle("following", i === page);
    });
    history.replaceState(null, "", "#" + page + (location.hash.includes("follow") ? "?follow" : ""));
    document.title = page + ". " + slides[page - 1].getAttribute("aria-label");
    speaker();
    liveBlocks();
    if (!body.classList.contains("overview")) scrollTo(0, 0);
    if (quiet) return;
    if (windows) windows.postMessage({ page });
    if (framed) parent.postMessage({ type: "wheelhouse.slide", deck: track, page }, location.origin);
    if (query.has("present")) post("../../api/board/do", { action: "slide", deck: track, page }).catch(() => {});
  }

  const move = (by) => { if (!following()) show(page + by); };

  // what the speaker sees

  const clock = (seconds) => (seconds < 0 ? "-" : "") + Math.floor(Math.abs(seconds) / 60) + ":" + String(Math.floor(Math.abs(seconds) % 60)).padStart(2, "0");
  const planned = () => slides.slice(0, page).reduce((sum, s) => sum + Number(s.dataset.minutes), 0) * 60;

  function speaker() {
    const notes = slides[page - 1].querySelector(".notes"), next = slides[page];
    $("note").replaceChildren(...(notes ? [...notes.childNodes].map((n) => n.cloneNode(true)) : []));
    $("next").textContent = next ? next.getAttribute("aria-label") : "the end";
    tick();
  }

  function tick() {
    const elapsed = (Date.now() - started) / 1000;
    $("time").textContent = new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
    $("elapsed").textContent = clock(elapsed) + " elapsed,";
    $("plan").textContent = "this slide ends at " + clock(planned());
    $("plan").classList.toggle("late", elapsed > planned());
  }

  function view(name, on) {
    if (on === undefined) on = !body.classList.contains(name);
    body.classList.remove("overview", "speaking");
    body.classList.toggle(name, on);
    $("speaker").hidden = !body.classList.contains("speaking");
    if (on && name === "overview") slides[page - 1].scrollIntoView({ block: "center" });
  }

  // commands, maps and journeys

  async function run(button) {
    const slide = button.closest(".slide"), number = slides.indexOf(slide) + 1, command = Number(button.dataset.command);
    const text = button.previousElementSibling.textContent;
    if (!live && framed) {
      parent.postMessage({ type: "wheelhouse.run", deck: track, page: number, command: text }, location.origin);
      return;
    }
    const out = button.closest(".commands").nextElementSibling;
    out.hidden = false;
    if (!live) {
      let copied = "Type it in your terminal.";
      try { await navigator.clipboard.writeText(text); copied = "Copied. Paste it into your terminal."; } catch { /* not allowed here */ }
      out.textContent = copied;
      return;
    }
    out.textContent = "";
    button.disabled = true;
    try {
      const answer = await post("run" + location.search, { slide: number, command });
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        out.append(part.value);
        out.scrollTop = out.scrollHeight;
      }
    } catch (err) {
      out.append("\n[" + err.message + "]");
    }
    button.disabled = false;
  }

  async function liveBlocks() {
    clearTimeout(mapTimer);
    const block = slides[page - 1].querySelector(".map"), shown = page;
    if (!block || !live) return;
    const pre = document.createElement("pre");
    try {
      const answer = await post(block.dataset.kind + location.search, { slide: shown });
      if (!answer.ok) throw new Error(await answer.text());
      const value = await answer.json();
      for (const row of typeof value === "string" ? [{ text: value, mark: "" }] : value) {
        const line = document.createElement("span");
        line.className = row.mark;
        line.textContent = row.text + "\n";
        pre.append(line);
      }
    } catch (err) {
      pre.textContent = err.message;
    }
    const top = block.scrollTop;
    block.replaceChildren(pre);
    block.scrollTop = top; // who reads further down goes on there
    if (shown === page) mapTimer = setTimeout(liveBlocks, block.dataset.kind === "map" ? 1000 : 5000);
  }

  // input

  const keys = {
    ArrowRight: () => move(1), ArrowDown: () => move(1), PageDown: () => move(1), " ": () => move(1),
    ArrowLeft: () => move(-1), ArrowUp: () => move(-1), PageUp: () => move(-1), Backspace: () => move(-1),
    Home: () => move(-slides.length), End: () => move(slides.length),
    n: () => view("speaking"), o: () => view("overview"), Escape: () => view("overview", false),
    b: () => { $("black").hidden = !$("black").hidden; },
    f: () => (document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen()).catch(() => {}),
  };
  addEventListener("keydown", (e) => {
    const key = keys[e.key.length === 1 ? e.key.toLowerCase() : e.key];
    const button = e.target.closest && e.target.closest("button, a");
    if (!key || e.ctrlKey || e.metaKey || e.altKey || (button && e.key === " ")) return;
    e.preventDefault();
    key();
  });
  addEventListener("click", (e) => {
    const button = e.target.closest("button[data-command]"), slide = e.target.closest(".slide"), other = e.target.closest("nav a");
    if (button) run(button);
    else if (other) { // the same slide in another language; what else the address says stays
      e.preventDefault();
      query.set("lang", other.lang);
      location.search = "?" + query;
    }
    else if (slide && body.classList.contains("overview") && !following()) { view("overview", false); show(slides.indexOf(slide) + 1); }
  });
  addEventListener("touchstart", (e) => { touch = e.touches.length === 1 ? e.touches[0] : null; }, { passive: true });
  addEventListener("touchend", (e) => {
    const end = e.changedTouches[0], x = touch ? end.clientX - touch.clientX : 0, y = touch ? end.clientY - touch.clientY : 0;
    if (Math.abs(x) > 60 && Math.abs(x) > 2 * Math.abs(y)) move(x < 0 ? 1 : -1);
    touch = null;
  }, { passive: true });
  $("back").addEventListener("click", () => move(-1));
  $("forward").addEventListener("click", () => move(1));
  $("restart").addEventListener("click", () => { started = Date.now(); tick(); });
  addEventListener("hashchange", () => show(fromHash()));
  addEventListener("message", (e) => {
    if (e.origin === location.origin && e.data && e.data.type === "wheelhouse.slide" && Number.isInteger(e.data.page)) show(e.data.page, true);
  });
  if (windows) windows.onmessage = (e) => show(Number(e.data.page) || page, true);

  // With "check" in the query the body names what does not fit on its slide (slides/print.sh reads it).

  function check() {
    const found = [];
    slides.forEach((slide, i) => {
      show(i + 1, true);
      const frame = slide.getBoundingClientRect();
      for (const part of slide.querySelectorAll(".body *, h1")) {
        const at = part.getBoundingClientRect();
        if (at.height && (at.bottom > frame.bottom - 12 || at.right > frame.right - 12)) {
          found.push(i + 1 + ": " + part.tagName.toLowerCase() + " " + part.textContent.trim().replace(/\s+/g, " ").slice(0, 30));
          break;
        }
      }
      for (const img of slide.querySelectorAll("img")) if (!img.naturalWidth || img.getBoundingClientRect().width < 240) found.push(i + 1 + ": " + img.getAttribute("src") + " is not seen");
    });
    body.dataset.checked = slides.length;
    body.dataset.overflow = found.join("; ");
  }
  if (query.has("check")) addEventListener("load", check);

  if (query.has("notes")) view("speaking", true);
  if (following()) { // what is run is the speaker's to run
    document.querySelector("nav").hidden = true;
    for (const button of document.querySelectorAll("button[data-command]")) button.remove();
  }
  setInterval(tick, 1000);
  show(fromHash(), true);
})();
