// The served page: gives the board what a notebook would (a model with `get`, `on`, `off`, `send`), over server-sent events and plain requests.
// Nothing is decided here: who may do what is checked by the server, which this page only shows.

import board from "./board.js";

const root = document.getElementById("board"), { actor, csrf, may } = root.dataset;
const WAIT_MS = [1000, 2000, 5000, 10000], RESYNC_MS = 2000;
const GONE = "you were signed out; open a new link (qcity serve link prints one)";

function numbers(text) { // what travels as bytes beside a tick
  const raw = atob(text), bytes = new Uint8Array(raw.length);
  for (let at = 0; at < raw.length; at += 1) bytes[at] = raw.charCodeAt(at);
  return new DataView(bytes.buffer);
}

class Model {
  constructor() {
    this.heard = {};
    this.tries = 0;
    this.opened = -Infinity;
    this.open();
  }

  get(name) { return name === "snapshot" ? this.snapshot : undefined; }

  on(name, call) { (this.heard[name] ||= new Set()).add(call); }

  off(name, call) { this.heard[name]?.delete(call); }

  tell(name, ...what) { for (const call of this.heard[name] || []) call(...what); }

  open() {
    this.source?.close();
    this.opened = performance.now();
    this.source = new EventSource("events");
    this.source.addEventListener("snapshot", (event) => {
      this.tries = 0;
      this.snapshot = { ...JSON.parse(event.data), actor, may: may.split(" "), source: "the server" };
      this.tell("change:snapshot");
    });
    this.source.addEventListener("tick", (event) => {
      const { buffers = [], ...message } = JSON.parse(event.data);
      this.tries = 0;
      this.tell("msg:custom", message, buffers.map(numbers));
    });
    this.source.onerror = () => { if (this.source.readyState === EventSource.CLOSED) this.again(); };
  }

  async again() { // the browser itself comes back after a cut; not after a refusal
    const answer = await fetch("session").catch(() => null);
    if (answer?.status === 401) {
      document.querySelector(".who").hidden = true;
      return this.tell("msg:custom", { kind: "closed", text: GONE }, []);
    }
    setTimeout(() => this.open(), WAIT_MS[Math.min(this.tries++, WAIT_MS.length - 1)]);
  }

  send(message) {
    if (message.kind === "act") this.act(message);
    else if (message.kind === "log") this.log(message.name);
    else if (message.kind === "audit") this.audit();
    else if (message.kind === "resync" && performance.now() - this.opened > RESYNC_MS && this.source.readyState === EventSource.OPEN) this.open();
  }

  async ask(path, how) {
    try {
      const answer = await fetch(path, { headers: { "content-type": "application/json", "x-qcity-csrf": csrf }, ...how });
      const said = await answer.json();
      return answer.ok ? said : { ok: false, text: said.error };
    } catch {
      return { ok: false, text: "the server did not answer; nobody knows whether it was done" };
    }
  }

  async act(message) {
    const { verb, name, nonce } = message;
    this.tell("msg:custom", { kind: "result", verb, name, nonce, actor, ...(await this.ask("act", { method: "POST", body: JSON.stringify(message) })) }, []);
  }

  async audit() {
    this.tell("msg:custom", { kind: "audit", rows: [], ...(await this.ask("audit")) }, []);
  }

  async log(name) {
    this.tell("msg:custom", { kind: "log", name, ...(await this.ask(`log?name=${encodeURIComponent(name)}`)) }, []);
  }
}

board.render({ model: new Model(), el: root });
