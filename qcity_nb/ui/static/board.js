// The board: what Python says of a place, drawn once and changed in place. It decides nothing; every text goes through textContent.
// A snapshot (trait `snapshot`) and then ticks (custom messages, numbered): a gap asks for a snapshot, silence says STALE by itself.

const SVG = "http://www.w3.org/2000/svg";
const HEIGHTS = [1, 4, 9, 14]; // not watched, down, partly up, up: a bar's height says what its colour says
const KINDS = ["none", "down", "partly", "up"];
const FEW = 8; // with so few runners the healthy ones are shown, too
const RESYNC_MS = 2000, CONFIRM_MS = 15000, FILL_MS = 120000, AUDIT_MS = 10000, ANSWER_MS = 90000;
const PRESS_MS = 3000, LIFT_MS = 400; // a press counts for so long; a finger's click comes so late at most
const SIX_HOURS = 6 * 3600;
const PANELS = [["incidents", "Incidents"], ["jobs", "Jobs"], ["notebooks", "Notebooks"], ["tunnels", "Tunnels"], ["audit", "Audit"]];
const OF_PANEL = { incidents: ["incidents"], jobs: ["jobs"], notebooks: ["runs", "schedules"], tunnels: ["tunnels"], audit: [] };
const ASK = { restart: "Restart", drain: "Drain", pause: "Pause", repair: "Repair", revoke: "Revoke", start: "Start", rerun: "Re-run" };
const MEANS = {
  restart: "a job that it runs is cancelled", drain: "it finishes its jobs and stops",
  repair: "begun again as after a fault, its jobs run again", revoke: "its registration is taken back and it is forgotten",
  pause: "it finishes its jobs, rests, and starts again by itself", start: "it is started again", rerun: "with what comes after it",
};
const number = (text) => { const found = parseFloat(text); return Number.isNaN(found) ? 101 : found; }; // what nobody knows comes last
const SORTS = { // how runners are ordered; the first folds what is well, the others show all in one list
  "worst first": null, "by name": () => 0, "by kind": ([, x], [, y]) => (x.kind < y.kind ? -1 : x.kind > y.kind ? 1 : 0),
  "least up first": ([, x], [, y]) => number(x.day) - number(y.day), "flapping first": ([, x], [, y]) => y.flaps - x.flaps,
};
const EMPTY = {
  incidents: "Nothing has gone wrong.", jobs: "No job in the last six hours.", notebooks: "No notebook yet.", tunnels: "No tunnel is open.",
  audit: "Nobody has asked for anything.",
};
const KEYS = { r: "restart", d: "drain", p: "pause", s: "start" };
const FIELDS = { pause: [["note", "why"], ["time", "how long, as 2 h"]], repair: [["note", "why"]] }; // what an act is asked with; empty means: not said
let unique = 0;

function h(tag, props, ...inner) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props || {})) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style") node.style.cssText = value; // a page's policy may forbid the attribute
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...inner.flat().filter((one) => one !== null && one !== undefined && one !== ""));
  return node;
}

const part = (tag) => (kind, ...inner) => h(tag, { class: kind }, ...inner), box = part("div"), word = part("span");

function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// Notebook 7 hears keys before the page does, and asks from what has the focus upwards: the mark on the whole board would come too late.
const hush = (event) => event.target.setAttribute("data-lm-suppress-shortcuts", "true");

const glyphOf = (one) => h("span", { class: `glyph ${one.level}`, "aria-hidden": "true" }, one.glyph);

function arrange(parent, nodes) { // moves only what is not in its place, so that focus and hover stay
  nodes.forEach((node, at) => { if (parent.children[at] !== node) parent.insertBefore(node, parent.children[at] || null); });
  while (parent.children.length > nodes.length) parent.lastChild.remove();
}

function span(seconds) {
  const s = Math.max(0, seconds);
  if (s < 90) return `${Math.round(s)} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  const minutes = Math.round(s / 60);
  if (s < 172800) return `${Math.floor(minutes / 60)} h${minutes % 60 ? ` ${minutes % 60} min` : ""}`;
  return `${Math.round(s / 86400)} days`;
}

function ticking(seconds) {
  const s = Math.max(0, Math.floor(seconds)), two = (n) => String(n).padStart(2, "0");
  return s >= 3600 ? `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}` : `${two(Math.floor(s / 60))}:${two(s % 60)}`;
}

function clock(moment, seconds = false) {
  const two = "2-digit", how = { hour: two, minute: two, second: seconds ? two : undefined, hour12: false };
  return new Date(moment * 1000).toLocaleTimeString([], how);
}

function theme() { // JupyterLab and its like, Colab, VS Code, then what the person asked their system for
  const body = document.body, lab = body.getAttribute("data-jp-theme-light"), colab = document.documentElement.getAttribute("theme");
  if (lab !== null) return lab === "false" ? "dark" : "light";
  if (colab !== null) return colab === "dark" ? "dark" : "light";
  if (/\bvscode-(dark|high-contrast)\b(?!-light)/.test(body.className)) return "dark";
  if (body.classList.contains("vscode-light")) return "light";
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

const since = (moment, as = "ago") => (moment === null ? "" : h("span", { class: "soft", "data-moment": moment, "data-as": as }, ""));

class Board {
  constructor(model, el) {
    this.model = model;
    this.tables = {};
    this.beats = new Map();
    this.seen = new Map();
    this.rows = new Map(); // a runner's name -> its nodes
    this.acts = new Map(); // "verb name" -> what was asked, and what came of it
    this.logs = new Map();
    this.opened = new Set();
    this.folds = {};
    this.pressed = -Infinity; // since when something is being pressed
    this.waiting = []; // what is to be drawn when it is not any more
    this.panel = "incidents";
    this.current = "";
    this.asked = -Infinity;
    this.id = `qcity-board-${++unique}`;
    this.build(el);
    this.load = () => this.later(() => this.take(model.get("snapshot")));
    this.heard = (message, buffers) => this.later(() => this.hear(message, buffers || []));
    model.on("change:snapshot", this.load);
    model.on("msg:custom", this.heard);
    this.load();
    this.say({ kind: "hello", seq: this.seq });
    this.timer = setInterval(() => this.pass(), 500);
    this.paint = () => { this.root.dataset.theme = theme(); };
    this.watch = new MutationObserver(this.paint);
    this.watch.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "class"] });
    this.watch.observe(document.documentElement, { attributes: true, attributeFilter: ["theme"] });
    this.root.addEventListener("pointerdown", () => { this.pressed = performance.now(); });
    this.root.addEventListener("click", () => setTimeout(() => this.release()), true); // after what it does
    this.lift = () => {
      const mine = this.pressed;
      setTimeout(() => this.pressed === mine && this.release(), LIFT_MS);
    };
    for (const end of ["pointerup", "pointercancel"]) window.addEventListener(end, this.lift);
    this.media = matchMedia("(prefers-color-scheme: dark)");
    this.media.addEventListener("change", this.paint);
    this.paint();
  }

  close() {
    clearInterval(this.timer);
    this.watch.disconnect();
    this.media.removeEventListener("change", this.paint);
    for (const end of ["pointerup", "pointercancel"]) window.removeEventListener(end, this.lift);
    this.model.off("change:snapshot", this.load);
    this.model.off("msg:custom", this.heard);
    this.root.remove();
  }

  // ── what is heard and said ──

  say(message) {
    try { this.model.send(message); } catch { /* the kernel is gone: the last line says so by itself */ }
  }

  take(snapshot) {
    if (!snapshot || !snapshot.tables) return;
    this.tables = Object.fromEntries(Object.entries(snapshot.tables).map(([name, rows]) => [name, new Map(rows)]));
    this.beats = new Map(snapshot.pulse.map(([name, digits]) => [name, Uint8Array.from(digits, Number)]));
    this.seen = new Map(snapshot.pulse.map(([name, , seen]) => [name, seen]));
    Object.assign(this, { seq: snapshot.seq, every: snapshot.every, actor: snapshot.actor, slot: snapshot.slot, trouble: "" });
    Object.assign(this, { may: snapshot.may, source: snapshot.source || "the kernel" });
    this.note(snapshot.at);
    this.draw(new Set(Object.keys(this.tables)));
  }

  held() { return performance.now() - this.pressed < PRESS_MS; }

  later(change) { // what is being pressed stays where it is
    if (this.held()) this.waiting.push(change);
    else change();
  }

  release() {
    const waiting = this.waiting;
    Object.assign(this, { pressed: -Infinity, waiting: [] });
    for (const change of waiting) change();
  }

  hear(message, buffers) {
    if (message.kind === "tick") this.tick(message, buffers);
    else if (message.kind === "result") this.result(message);
    else if (message.kind === "log") { this.logs.set(message.name, message.text || "It has said nothing yet."); this.drawRow(message.name); }
    else if (message.kind === "audit") this.took(message);
    else if (message.kind === "closed") { this.over = message.text; this.pass(); }
  }

  tick(message, buffers) {
    if (message.seq !== this.seq + 1) {
      if (message.seq > this.seq) this.resync();
      return;
    }
    this.seq = message.seq;
    this.trouble = message.trouble || "";
    const changed = new Set();
    for (const [name, change] of Object.entries(message.tables || {})) {
      const table = this.tables[name] || (this.tables[name] = new Map());
      for (const [key, fields] of change.set) table.set(key, { ...table.get(key), ...fields });
      for (const key of change.gone) table.delete(key);
      changed.add(name);
    }
    (message.beats || []).forEach((name, at) => {
      this.beats.set(name, new Uint8Array(buffers[0].buffer, buffers[0].byteOffset + 60 * at, 60).slice());
      changed.add("runners");
    });
    (message.seen || []).forEach((name, at) => this.seen.set(name, buffers[buffers.length - 1].getUint32(4 * at, true)));
    this.slot = message.slot || this.slot;
    this.note(message.at);
    this.draw(changed);
  }

  note(at) {
    this.received = performance.now();
    if (at) Object.assign(this, { at, told: this.received });
    this.pass();
  }

  took(message) {
    this.audit = { rows: message.rows || [], text: message.text || "" };
    if (this.panel === "audit") this.drawPanel();
  }

  askAudit() {
    this.auditAsked = performance.now();
    this.say({ kind: "audit" });
  }

  resync() {
    if (performance.now() - this.asked < RESYNC_MS) return;
    this.asked = performance.now();
    this.say({ kind: "resync", seq: this.seq });
  }

  get now() { // by Python's clock; it stands still while nothing is heard, because then no age is known
    return this.at + Math.min((performance.now() - this.told) / 1000, this.patience);
  }

  get patience() { return 3 * (this.every || 1); }

  pass() {
    if (this.held()) return;
    if (this.waiting.length) this.release(); // nobody said that it was over
    const silent = (performance.now() - this.received) / 1000, stale = Boolean(this.over || this.trouble) || !(silent < this.patience);
    if (silent >= this.patience && !this.over) this.resync();
    this.root.classList.toggle("stale", stale);
    put(this.parts.live, stale ? `STALE ${ticking((performance.now() - this.told) / 1000)}` : "live");
    const why = this.over || this.trouble || (stale ? `nothing is heard from ${this.source}` : "");
    const foot = this.at ? ["", `seq ${this.seq}`, `updated ${clock(this.at, true)}`, why || this.engine()] : ["", "waiting for the first word"];
    put(this.parts.foot, foot.join(" · "));
    this.parts.old.hidden = !stale || !this.at;
    if (stale && this.at) put(this.parts.old, `◌ STALE: ${why}. What you see is how it was at ${clock(this.at, true)}.`);
    this.age(this.root);
    if (this.panel === "audit" && !stale && performance.now() - this.auditAsked >= AUDIT_MS) this.askAudit();
  }

  age(part) {
    for (const node of part.querySelectorAll("[data-moment]")) {
      const age = this.now - Number(node.dataset.moment);
      put(node, node.dataset.as === "clock" ? ticking(age) : node.dataset.as === "in" ? `in ${span(-age)}` : `${span(age)} ago`);
    }
  }

  engine() {
    const head = this.head();
    return head.alive ? "engine runs" : head.engine || "";
  }

  head() { return (this.tables.head && this.tables.head.get("head")) || {}; }

  // ── drawing ──

  build(el) {
    const parts = (this.parts = {});
    const field = { type: "search", placeholder: "filter  ( / )", "aria-label": "Filter runners", spellcheck: "false" };
    parts.glyph = h("span", { class: "glyph", "aria-hidden": "true" });
    parts.text = h("span", {});
    parts.todo = h("div", { class: "todo" });
    parts.old = h("div", { class: "old", hidden: true });
    parts.about = h("div", { class: "about" });
    parts.result = h("div", { class: "result", hidden: true });
    parts.spoken = h("div", { class: "spoken", role: "status", "aria-live": "polite" });
    parts.figures = h("dl", { class: "figures" });
    parts.platforms = h("div", { class: "platforms", role: "group", "aria-label": "Platforms", hidden: true });
    parts.filter = h("input", { ...field, oninput: () => this.drawList() });
    const redraw = () => this.drawList();
    parts.sort = h("select", { "aria-label": "Order of runners", onchange: redraw }, Object.keys(SORTS).map((one) => h("option", {}, one)));
    parts.count = h("span", { class: "soft" });
    parts.list = h("div", { class: "list", "aria-label": "Runners", role: "group" });
    parts.tabs = h("div", { class: "tabs", role: "tablist", "aria-label": "More" });
    parts.panel = h("div", { class: "panel", role: "tabpanel", id: `${this.id}-panel`, tabindex: "0" });
    parts.live = h("b", { class: "state" });
    parts.foot = h("span", {});
    for (const [key] of PANELS) {
      const props = { role: "tab", type: "button", id: `${this.id}-${key}`, "aria-controls": `${this.id}-panel`, onclick: () => this.choose(key) };
      parts.tabs.append((parts[`tab-${key}`] = h("button", props)));
    }
    const hint = h("span", { class: "soft keys" }, "j k move · Enter details · r d p s act · / filter · Esc back");
    const props = { class: "qcity-board", "aria-label": "QCity dashboard", "data-lm-suppress-shortcuts": "true" };
    this.root = h(
      "section", { ...props, onkeydown: (event) => this.key(event), onfocusin: hush },
      h("header", {}, h("div", { class: "headline" }, parts.glyph, " ", parts.text), parts.old, parts.todo, parts.about, parts.result, parts.spoken),
      parts.figures, parts.platforms, h("div", { class: "bar" }, parts.filter, parts.sort, parts.count, hint), parts.list, parts.tabs, parts.panel,
      h("footer", {}, parts.live, parts.foot),
    );
    el.append(this.root);
  }

  draw(changed) {
    if (changed.has("head")) this.drawHead();
    if (changed.has("platforms")) this.drawPlatforms();
    if (changed.has("runners")) this.drawList();
    this.drawTabs();
    if (OF_PANEL[this.panel].some((name) => changed.has(name)) || (this.panel === "jobs" && changed.has("head"))) this.drawPanel();
    this.pass();
  }

  drawHead() {
    const head = this.head(), { glyph, text, todo, about, figures, spoken } = this.parts;
    this.root.dataset.level = head.level;
    put(glyph, head.glyph || "");
    put(text, head.text || "");
    put(todo, head.todo ? `Next: ${head.todo}` : "");
    put(spoken, [head.text, head.todo].filter(Boolean).join(" Next: "));
    about.replaceChildren(...(head.about || []).map((one) => h("div", {}, glyphOf(one), ` ${one.text}`)));
    figures.replaceChildren(...(head.figures || []).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
  }

  drawPlatforms() { // fine is one word; what is not is said
    const strip = this.parts.platforms, rows = [...(this.tables.platforms || new Map()).values()];
    const chip = (one) => {
      const what = `${one.name} ${one.word === "fine" ? "fine" : one.text}`, props = { class: "platform", title: `${one.name} ${one.text}`, "data-focus": `platform ${one.name}` };
      const link = { ...props, href: one.url, rel: "noopener noreferrer", target: "_blank" };
      return h(/^https?:\/\//.test(one.url) ? "a" : "span", /^https?:\/\//.test(one.url) ? link : props, glyphOf(one), ` ${what}`);
    };
    this.keepingFocus(() => strip.replaceChildren(...rows.map(chip)));
    strip.hidden = !rows.length;
  }

  drawList() {
    const table = this.tables.runners || new Map(), wanted = this.parts.filter.value.trim().toLowerCase(), groups = { first: [], well: [], off: [] };
    const match = ([name, row]) => !wanted || [name, row.word, row.text, row.kind, row.job].join(" ").toLowerCase().includes(wanted);
    const order = SORTS[this.parts.sort.value], first = order || (([, x], [, y]) => x.rank - y.rank);
    const shown = [...table].filter(match).sort((x, y) => first(x, y) || (x[0] < y[0] ? -1 : 1));
    for (const [name, row] of shown) groups[order || row.rank < 6 ? "first" : row.rank === 6 ? "well" : "off"].push(name);
    const open = (group) => this.folds[group] ?? (Boolean(wanted) || table.size <= FEW);
    const nodes = groups.first.flatMap((name) => this.drawRow(name));
    for (const [group, glyph, word] of [["well", "●", "well"], ["off", "○", "stopped or standing by"]]) {
      if (!groups[group].length) continue;
      nodes.push(this.fold(group, glyph, `${groups[group].length} ${word}`, open(group)));
      if (open(group)) nodes.push(...groups[group].flatMap((name) => this.drawRow(name)));
    }
    const active = this.root.contains(document.activeElement) ? document.activeElement : null;
    arrange(this.parts.list, nodes);
    if (active && active !== document.activeElement && active.isConnected) active.focus({ preventScroll: true });
    for (const name of this.rows.keys()) if (!table.has(name)) this.rows.delete(name);
    put(this.parts.count, wanted ? `${shown.length} of ${table.size}` : "");
    this.rove();
  }

  fold(group, glyph, text, open) {
    const turn = (event) => { this.folds[group] = event.currentTarget.getAttribute("aria-expanded") === "false"; this.drawList(); };
    const props = { type: "button", class: "stop fold", "data-stop": `fold ${group}`, onclick: turn };
    const node = this[`fold-${group}`] || (this[`fold-${group}`] = h("button", props));
    node.setAttribute("aria-expanded", String(open));
    put(node, `${open ? "▾" : "▸"} ${glyph} ${text}`);
    return node;
  }

  drawRow(name) {
    const row = this.tables.runners.get(name);
    if (!row) return [];
    if (!this.rows.has(name)) this.rows.set(name, this.newRow(name));
    const nodes = this.rows.get(name), open = this.opened.has(name), level = `glyph ${row.level}`;
    if (nodes.glyph.className !== level) nodes.glyph.className = level;
    put(nodes.glyph, row.glyph);
    put(nodes.word, row.word);
    nodes.flap.hidden = !row.flaps;
    put(nodes.flap, row.flaps ? `flapping ${row.flaps} %` : "");
    put(nodes.day, row.day);
    put(nodes.wait, row.wait.length ? `waits ${row.wait[0]} / ${row.wait[1]}` : "");
    const told = row.job ? `▶ ${row.job} ` : `${row.text}${row.rank < 4 && this.seen.get(name) ? ", seen " : ""}`;
    put(nodes.said, told);
    const moment = row.job ? row.begun : row.rank < 4 ? this.seen.get(name) : null;
    nodes.age.dataset.as = row.job ? "clock" : "ago";
    if (moment) nodes.age.dataset.moment = moment;
    else { delete nodes.age.dataset.moment; put(nodes.age, ""); }
    this.drawBeats(nodes, this.beats.get(name) || new Uint8Array(60));
    nodes.row.setAttribute("aria-expanded", String(open));
    if (!open) return [nodes.row];
    this.drawDetails(name, row, nodes.more);
    return [nodes.row, nodes.more];
  }

  newRow(name) {
    const nodes = { beats: document.createElementNS(SVG, "svg") };
    const drawn = { viewBox: "0 0 240 16", preserveAspectRatio: "none", class: "beats", role: "img" };
    for (const kind of ["glyph", "word", "flap", "day", "wait", "said", "age"]) nodes[kind] = word(kind);
    for (const [key, value] of Object.entries(drawn)) nodes.beats.setAttribute(key, value);
    nodes.title = document.createElementNS(SVG, "title");
    nodes.paths = KINDS.map((kind) => { const path = document.createElementNS(SVG, "path"); path.setAttribute("class", kind); return path; });
    nodes.beats.append(nodes.title, ...nodes.paths);
    const props = { class: "stop row", role: "button", tabindex: "-1", "data-stop": `row ${name}`, onclick: () => this.toggle(name) };
    const who = h("span", { class: "name", title: name }, name);
    const is = word("is", nodes.word, " ", nodes.flap), told = word("told", nodes.said, nodes.age);
    nodes.row = h("div", props, nodes.glyph, who, is, nodes.beats, nodes.day, nodes.wait, told);
    nodes.more = h("div", { class: "more" });
    return nodes;
  }

  drawBeats(nodes, beats) {
    const key = beats.join("");
    if (nodes.drawn === key) return;
    nodes.drawn = key;
    const lines = ["", "", "", ""], counts = [0, 0, 0, 0];
    beats.forEach((kind, at) => { lines[kind] += `M${4 * at} 16v-${HEIGHTS[kind]}h3v${HEIGHTS[kind]}z`; counts[kind] += 1; });
    nodes.paths.forEach((path, kind) => path.setAttribute("d", lines[kind]));
    const text = `last hour: ${counts[3]} min up, ${counts[2]} partly, ${counts[1]} down, ${counts[0]} not watched`;
    put(nodes.title, text);
    nodes.beats.setAttribute("aria-label", text);
  }

  drawDetails(name, row, node) { // each part is drawn anew only when it is other: a button that is being pressed must not go away below the finger
    const seen = this.seen.get(name), log = this.logs.get(name), shut = !this.allowed("log");
    const pair = (term, ...value) => (value.some(Boolean) ? [h("dt", {}, term), h("dd", {}, ...value)] : []);
    const part = (key, state, make) => {
      const text = JSON.stringify(state), old = node.querySelector(`:scope > [data-part="${key}"]`);
      if (old?.dataset.drawn === text) return;
      const made = make();
      Object.assign(made.dataset, { part: key, drawn: text });
      this.keepingFocus(() => (old ? old.replaceWith(made) : node.append(made)));
    };
    part("facts", [row, Boolean(seen)], () => {
      const ago = seen ? h("span", { class: "seen", "data-moment": seen, "data-as": "ago" }, "") : "never";
      const spread = (pair) => (pair.length ? `${pair[0]} (p50), ${pair[1]} (p95)` : ""), share = `${row.day} in 24 h, ${row.week} in 7 days`;
      return h(
        "dl", { class: "facts" }, pair("is", row.text), pair("next", row.todo), pair("kind", row.kind), pair("sandbox", row.sandbox),
        pair("last seen up", ago), pair("up", share), pair("jobs wait", spread(row.wait)), pair("checks take", spread(row.checks)), pair("job", row.job),
      );
    });
    part("acts", [row.can, row.can.map((verb) => this.acts.get(`${verb} ${name}`)?.phase), log === undefined, shut], () => {
      const ask = () => { this.say({ kind: "log", name }); this.logs.set(name, "asked …"); this.drawRow(name); };
      const text = log === undefined ? "Show log" : "Show log again", why = shut && word("soft", "your role may look, not act");
      const shown = h("button", { type: "button", "data-focus": `log ${name}`, onclick: ask, disabled: shut }, text);
      return h("div", { class: "acts" }, row.can.map((verb) => this.act(verb, name)), shown, why || "");
    });
    if (log !== undefined) part("log", log, () => h("pre", { tabindex: "0" }, log));
    const age = node.querySelector(".seen");
    if (age && seen) age.dataset.moment = seen;
    this.age(node);
  }

  drawTabs() {
    const count = (table, counts) => [...(this.tables[table] || new Map()).values()].filter(counts).length;
    const down = (name) => (this.tables.runners.get(name) || {}).level === "bad";
    const counts = {
      incidents: count("incidents", (one) => one.over === null || (one.word === "quarantined" && down(one.runner))),
      jobs: count("jobs", (one) => one.over === null),
      notebooks: count("runs", (one) => one.word === "running"), tunnels: count("tunnels", () => true),
    };
    for (const [key, title] of PANELS) {
      const tab = this.parts[`tab-${key}`], chosen = key === this.panel;
      tab.hidden = key === "audit" && !this.allowed("audit");
      put(tab, counts[key] ? `${title} (${counts[key]})` : title);
      tab.setAttribute("aria-selected", String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
    }
    this.parts.panel.setAttribute("aria-labelledby", `${this.id}-${this.panel}`);
  }

  drawPanel() {
    const rows = (name) => [...(this.tables[name] || new Map())];
    const newest = (name) => rows(name).sort(([a, x], [b, y]) => (x.over !== null) - (y.over !== null) || Number(b) - Number(a));
    const inner = {
      incidents: () => newest("incidents").map(([, one]) => this.incident(one)),
      jobs: () => this.jobs(newest("jobs")),
      notebooks: () => [...newest("runs").map(([id, one]) => this.run(id, one)), ...rows("schedules").map(([name, one]) => this.schedule(name, one))],
      tunnels: () => rows("tunnels").map(([, one]) => this.tunnel(one)),
      audit: () => (this.audit && !this.audit.text ? this.audit.rows.map((one) => this.entry(one)) : [box("item", this.audit?.text || "asked …")]),
    }[this.panel]();
    this.keepingFocus(() => this.parts.panel.replaceChildren(...(inner.length ? inner : [h("p", { class: "soft" }, EMPTY[this.panel])])));
    this.age(this.parts.panel);
  }

  incident(one) {
    const story = [["Cause", one.cause], ["Done", one.done], ["Proof", one.proof]].filter(([, text]) => text);
    const lines = story.map(([term, text]) => box("line", `${term}: ${text}`));
    return box("item", glyphOf(one), ` ${one.word} `, h("b", {}, one.title), " ", since(one.begun), lines);
  }

  run(id, one) {
    const done = `${one.cells.replace(/[^✔✘]/g, "").length} of ${one.cells.length} cells`;
    const age = one.over === null ? since(one.begun, "clock") : since(one.over);
    const cells = one.cells && h("span", { class: "cells", role: "img", "aria-label": done }, one.cells);
    const words = [one.text && box("line", one.text), one.tail && box("line tail", one.tail)];
    return box("item", glyphOf(one), ` ${one.word} `, h("b", {}, one.name), ` run ${id} `, age, cells, words);
  }

  schedule(name, one) {
    const next = one.paused ? ["paused"] : one.next ? ["next ", since(one.next, "in")] : ["over"];
    return box("item", "◷ ", h("b", {}, name), ` ${one.when} · `, next);
  }

  entry(one) {
    return box("item", glyphOf(one), ` ${one.word} `, h("b", {}, one.what), ` by ${one.actor} `, since(one.begun), one.why && box("line", one.why));
  }

  tunnel(one) {
    const safe = /^https?:\/\//.test(one.url);
    const link = safe ? h("a", { href: one.url, rel: "noopener noreferrer", target: "_blank" }, one.url) : one.url;
    return box("item", glyphOf(one), ` ${one.word} `, h("b", {}, one.name), ` ${one.text} `, box("line", link));
  }

  jobs(jobs) {
    const begin = this.now - SIX_HOURS, lanes = new Map(), share = (moment) => Math.min(100, Math.max(0, ((moment - begin) / SIX_HOURS) * 100));
    for (const [id, one] of jobs) if (one.begun !== null) lanes.set(one.runner, [...(lanes.get(one.runner) || []), [id, one]]);
    const bar = ([id, one]) => {
      const over = one.over ?? this.now, left = share(one.begun);
      const style = `left:${left.toFixed(2)}%;width:max(3px,${(share(over) - left).toFixed(2)}%)`;
      return h("span", { class: `box ${one.level}`, title: `${id} ${one.name}: ${one.word}, ${span(over - one.begun)}`, style });
    };
    const lane = ([runner, mine]) => box("lane", h("span", { class: "who", title: runner }, runner), word("track", mine.map(bar)));
    const drawn = [...lanes].sort(([a], [b]) => (a < b ? -1 : 1)).slice(0, 30).map(lane);
    const axis = box("lane axis", word(""), word("track", [6, 4, 2, 0].map((hours) => word("", clock(this.now - 3600 * hours)))));
    const list = jobs.slice(0, 12).map(([id, one]) => {
      const took = one.begun === null ? "" : one.over === null ? since(one.begun, "clock") : `took ${span(one.over - one.begun)} `;
      const where = one.runner && `on ${one.runner} `, why = one.why && box("line", one.why);
      const told = word("", glyphOf(one), ` ${one.word} `, h("b", {}, `${id} ${one.name} `), where, took, why);
      return box("item job", told, word("acts", one.can.map((verb) => this.act(verb, id))));
    });
    return jobs.length ? [...(drawn.length ? [box("gantt", drawn, axis)] : []), ...list] : [];
  }

  find(focus) { return [...this.root.querySelectorAll("[data-focus]")].find((one) => one.dataset.focus === focus); }

  keepingFocus(change) {
    const node = this.root.contains(document.activeElement) ? document.activeElement : null, active = node?.dataset.focus;
    const caret = node?.matches("input") ? [node.selectionStart, node.selectionEnd] : null;
    change();
    if (!active) return;
    this.find(active)?.focus({ preventScroll: true });
    if (caret) this.find(active)?.setSelectionRange(...caret);
  }

  // ── acts: asked, confirmed, done by Python ──

  allowed(verb) { return !this.may || this.may.includes(verb); } // shown only: who answers checks it

  act(verb, name) {
    const key = `${verb} ${name}`, state = this.acts.get(key), disabled = !this.allowed(verb);
    if (!state) return h("button", { type: "button", "data-focus": key, disabled, onclick: () => this.begin(verb, name) }, ASK[verb]);
    if (state.phase === "asked") return h("span", { class: "soft" }, `${ASK[verb]} ${name}: asked …`);
    const button = (focus, text, onclick, kind = "") => h("button", { type: "button", class: kind, "data-focus": focus, onclick }, text);
    const yes = button(`sure ${key}`, `Yes, ${ASK[verb].toLowerCase()} ${name}`, () => this.confirm(verb, name), "sure");
    const fields = (FIELDS[verb] || []).map(([field, hint]) => {
      const typed = (event) => { state[field] = event.target.value; }, enter = (event) => { if (event.key === "Enter") this.confirm(verb, name); };
      const props = { "data-focus": `${field} ${key}`, placeholder: hint, "aria-label": `${ASK[verb]}: ${hint}`, maxlength: "200" };
      const node = h("input", { ...props, type: "text", spellcheck: "false", oninput: typed, onkeydown: enter });
      node.value = state[field] || "";
      return node;
    });
    return word("sure", fields, yes, button(`no ${key}`, "No", () => this.forget(key)), word("soft", ` ${MEANS[verb]}`));
  }

  redraw(key) {
    const name = key.slice(key.indexOf(" ") + 1);
    if (key.startsWith("rerun ")) this.drawPanel();
    else this.drawRow(name);
  }

  begin(verb, name) {
    const key = `${verb} ${name}`;
    const late = () => this.later(() => this.acts.get(key)?.phase === "confirm" && this.forget(key)), first = FIELDS[verb] ? FIELDS[verb][0][0] : "sure";
    this.acts.set(key, { phase: "confirm", timer: setTimeout(late, FIELDS[verb] ? FILL_MS : CONFIRM_MS) });
    this.redraw(key);
    this.find(`${first} ${key}`)?.focus();
  }

  confirm(verb, name) {
    const key = `${verb} ${name}`, nonce = `${this.id}-${Date.now()}-${Math.random().toString(36).slice(2)}`;
    const state = this.acts.get(key) || {}, given = Object.fromEntries((FIELDS[verb] || []).map(([field]) => [field, state[field] || ""]));
    clearTimeout(state.timer);
    const answer = { nonce, verb, name, ok: false, text: `nobody has answered: ${this.source} may be busy or gone` };
    const late = () => this.later(() => this.acts.get(key)?.nonce === nonce && this.result(answer));
    this.acts.set(key, { phase: "asked", nonce });
    setTimeout(late, ANSWER_MS);
    this.say({ kind: "act", verb, name, nonce, confirmed: true, ...given });
    this.redraw(key);
    this.focusRow(name);
  }

  forget(key) {
    clearTimeout(this.acts.get(key)?.timer);
    this.acts.delete(key);
    this.redraw(key);
    if (document.activeElement === document.body) this.find(key)?.focus({ preventScroll: true });
  }

  result(message) {
    const who = message.actor ? ` (asked by ${message.actor})` : "", what = `${ASK[message.verb] || ""} ${message.name}: ${message.text}`;
    const words = `${message.ok ? "✔" : "✖"} ${what}${who}`;
    put(this.parts.result, words);
    put(this.parts.spoken, words);
    this.parts.result.hidden = false;
    this.parts.result.dataset.ok = String(message.ok);
    this.acts.delete(`${message.verb} ${message.name}`);
    this.redraw(`${message.verb} ${message.name}`);
  }

  // ── keyboard ──

  stops() { return [...this.parts.list.querySelectorAll(".stop")]; }

  rove() { // one stop of the list is in the order of Tab: the last that had focus
    const stops = this.stops(), mine = stops.find((one) => one.dataset.stop === this.current) || stops[0];
    for (const one of stops) one.tabIndex = one === mine ? 0 : -1;
  }

  go(node) {
    if (!node) return;
    this.current = node.dataset.stop;
    this.rove();
    node.focus();
  }

  focusRow(name) { this.go(this.stops().find((one) => one.dataset.stop === `row ${name}`)); }

  toggle(name) {
    if (!this.opened.delete(name)) this.opened.add(name);
    this.current = `row ${name}`;
    this.drawList();
    this.pass();
  }

  choose(key, focus = false) {
    this.panel = key;
    if (key === "audit") this.askAudit();
    this.drawTabs();
    this.drawPanel();
    if (focus) this.parts[`tab-${key}`].focus();
  }

  key(event) {
    event.stopPropagation(); // the notebook's own shortcuts (j, k, dd, Enter) would fire otherwise
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const stops = this.stops(), target = event.target, at = stops.indexOf(target), done = () => event.preventDefault();
    const name = at >= 0 && target.dataset.stop.startsWith("row ") ? target.dataset.stop.slice(4) : "";
    if (target === this.parts.filter) {
      if (event.key === "Escape") { done(); target.value = ""; this.drawList(); this.go(this.stops()[0]); }
      if (event.key === "ArrowDown" || event.key === "Enter") { done(); this.go(this.stops()[0]); }
    } else if (target.getAttribute("role") === "tab" && ["ArrowLeft", "ArrowRight"].includes(event.key)) {
      const keys = PANELS.map(([key]) => key).filter((key) => key !== "audit" || this.allowed("audit"));
      const next = keys.indexOf(this.panel) + (event.key === "ArrowRight" ? 1 : keys.length - 1);
      done(); this.choose(keys[next % keys.length], true);
    } else if (event.key === "/") { done(); this.parts.filter.focus();
    } else if (event.key === "Escape") { done(); this.back(target);
    } else if (at < 0) { return; // a button or a link: it knows its own keys
    } else if (event.key === "j" || event.key === "ArrowDown") { done(); this.go(stops[Math.min(at + 1, stops.length - 1)]);
    } else if (event.key === "k" || event.key === "ArrowUp") { done(); this.go(stops[Math.max(at - 1, 0)]);
    } else if (event.key === "Home" || event.key === "End") { done(); this.go(stops[event.key === "Home" ? 0 : stops.length - 1]);
    } else if (name && (event.key === "Enter" || event.key === " ")) { done(); this.toggle(name);
    } else if (name && KEYS[event.key] && this.tables.runners.get(name).can.includes(KEYS[event.key]) && this.allowed(KEYS[event.key])) {
      done();
      if (!this.opened.has(name)) this.toggle(name);
      this.begin(KEYS[event.key], name);
    }
  }

  back(target) {
    const sure = [...this.acts].find(([, state]) => state.phase === "confirm"), below = target.nextElementSibling;
    const more = target.closest(".more") || (below?.matches(".more") && below);
    if (sure) { this.forget(sure[0]); this.focusRow(sure[0].slice(sure[0].indexOf(" ") + 1)); return; }
    const name = more ? more.previousElementSibling.dataset.stop.slice(4) : "";
    if (name && this.opened.has(name)) { this.toggle(name); this.focusRow(name); return; }
    if (this.parts.filter.value) { this.parts.filter.value = ""; this.drawList(); }
    if (!target.matches(".stop")) this.go(this.stops()[0]);
  }
}

export default {
  render({ model, el }) {
    const board = new Board(model, el);
    return () => board.close();
  },
};
