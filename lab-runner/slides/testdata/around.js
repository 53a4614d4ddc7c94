// A page as that of a class: it shows decks in frames, and notes in data-result what a person would see of them.
"use strict";
const results = [], messages = [];
addEventListener("message", (e) => { if (e.origin === location.origin) messages.push(e.data); });

const expect = (what, is) => results.push((is ? "ok: " : "not ok: ") + what);
const later = (ms) => new Promise((done) => setTimeout(done, ms));

async function until(what, holds) {
  for (let i = 0; i < 200; i++) {
    if (holds()) { expect(what, true); return; }
    await later(20);
  }
  expect(what, false);
}

async function frame(query) {
  const f = document.createElement("iframe");
  f.width = 1280;
  f.height = 720;
  f.src = "slides/demo/" + query;
  const loaded = new Promise((done) => { f.onload = done; });
  document.body.append(f);
  await loaded;
  return f;
}

const seen = (f) => [...f.contentDocument.querySelectorAll(".slide")].filter((s) => s.getClientRects().length).map((s) => s.querySelector("h1").textContent).join(",");
const press = (f, key) => f.contentDocument.body.dispatchEvent(new f.contentWindow.KeyboardEvent("keydown", { key, bubbles: true }));
const sent = (type, page) => messages.find((m) => m.type === type && m.deck === "demo" && m.page === page);

async function all() {
  const deck = await frame("");
  await until("the first slide is seen alone", () => seen(deck) === "First");
  press(deck, "ArrowRight");
  await until("the arrow moves on", () => seen(deck) === "Second" && deck.contentWindow.location.hash === "#2");
  await until("the page around gets the slide", () => sent("wheelhouse.slide", 2));
  deck.contentDocument.querySelector(".current button[data-command='2']").click();
  await until("the page around gets the command", () => (sent("wheelhouse.run", 2) || {}).command === "kubectl get rc");
  press(deck, "Home");
  await until("Home moves to the first", () => seen(deck) === "First");
  press(deck, "n");
  await until("the notes are seen, beside this slide and the next", () => deck.contentDocument.getElementById("note").innerText.includes("Say it") && seen(deck) === "First,Second");
  press(deck, "o");
  await until("the overview has all slides and no notes", () => seen(deck) === "First,Second" && deck.contentDocument.getElementById("speaker").hidden);
  press(deck, "Escape");
  press(deck, "b");
  await until("the screen is black", () => deck.contentDocument.getElementById("black").getClientRects().length === 1);
  deck.contentWindow.location.hash = "#2";
  await until("the address moves", () => seen(deck) === "Second");

  const follower = await frame("?follow=1");
  press(follower, "ArrowRight");
  await later(100);
  expect("keys do not move a deck that follows", seen(follower) === "First");
  expect("a deck that follows has no buttons", follower.contentDocument.querySelector(".command code") && !follower.contentDocument.querySelector("button[data-command]"));
  const foreign = document.createElement("iframe");
  foreign.setAttribute("sandbox", "allow-scripts");
  foreign.srcdoc = "<script>parent.frames[1].postMessage({ type: 'wheelhouse.slide', page: 2 }, '*'); parent.postMessage('sent', '*')<\/script>";
  const arrived = new Promise((done) => addEventListener("message", (e) => e.data === "sent" && e.origin === "null" && done()));
  document.body.append(foreign);
  await arrived;
  await later(100);
  expect("a page of another origin does not move it", seen(follower) === "First");
  follower.contentWindow.postMessage({ type: "wheelhouse.slide", page: 2 }, location.origin);
  await until("the page around moves it", () => seen(follower) === "Second");
}

all().catch((err) => results.push("not ok: " + err)).then(() => { document.body.dataset.result = results.join("; "); });
