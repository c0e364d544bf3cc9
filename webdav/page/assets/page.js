// The page works without this script. It adds what HTML alone cannot: dropping files and folders, progress, going on with
// an upload, links on the clipboard, and rows that come as one scrolls.
"use strict";

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const token = () => $('meta[name="gateway-token"]')?.content ?? "";

// improve readies what is new on the page: the first time all of it, later rows that came.
function improve(root) {
  for (const e of $$(".script", root)) e.hidden = false;
  for (const t of $$("time", root)) {
    const at = new Date(t.dateTime);
    const pad = (n) => String(n).padStart(2, "0");
    t.textContent = `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())} ${pad(at.getHours())}:${pad(at.getMinutes())}`;
    t.title = at.toLocaleString();
  }
}

function copyLinks(event) {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const label = $("span", button), before = label.innerHTML;
  const say = (text) => {
    label.textContent = text;
    setTimeout(() => { label.innerHTML = before; }, 2500);
  };
  navigator.clipboard.writeText(new URL(button.dataset.copy, location).href)
    .then(() => say("Copied"), () => say("The browser does not allow it"));
}

// moreRows gets the next rows when the end of the list comes near.
function moreRows() {
  const next = $("#next");
  if (!next) return;
  let busy = false;
  const get = async () => {
    if (busy) return;
    busy = true;
    try {
      const answer = await fetch($("a", next).href, { headers: { Accept: "text/html" } });
      if (!answer.ok || answer.redirected) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const rows = $$("#list tbody", page);
      const link = $("#next a", page);
      for (const lot of rows) improve(lot);
      $("#list").append(...rows);
      if ($("#list.judged", page)) $("#list").classList.add("judged");
      if (link) {
        $("a", next).href = link.getAttribute("href");
      } else {
        watch.disconnect();
        next.remove();
      }
    } catch { /* the link is still there to be followed */ } finally {
      busy = false;
    }
    if (next.isConnected) { // its end may still be in sight
      watch.unobserve(next);
      watch.observe(next);
    }
  };
  const watch = new IntersectionObserver((seen) => { if (seen.some((s) => s.isIntersecting)) get(); }, { rootMargin: "1500px" });
  watch.observe(next);
}

// Uploads: tus 1.0.0. One file is under way at a time, or three small ones.
const base = "/.gateway/tus/";
const small = 4 << 20;
const retryAfter = [1, 2, 4, 8, 15, 30];

const encode = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));
const human = (n) => {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let u = 0;
  while (n >= 1024 && u < units.length - 1) { n /= 1024; u++; }
  return `${u && n < 10 ? n.toFixed(1) : Math.round(n)} ${units[u]}`;
};

// begun are uploads that are not whole, by what tells a file from others: whoever drops it again, after the page was closed,
// goes on with it. The browser keeps the newest 50.
const begun = {
  all() {
    try { return JSON.parse(localStorage.getItem("gateway-begun")) ?? []; } catch { return []; }
  },
  keep(list) {
    try { localStorage.setItem("gateway-begun", JSON.stringify(list.slice(-50))); } catch { /* then it begins anew */ }
  },
  get(key) { return this.all().find(([k]) => k === key)?.[1] ?? ""; },
  set(key, url) { this.keep([...this.all().filter(([k]) => k !== key), [key, url]]); },
  end(key) { this.keep(this.all().filter(([k]) => k !== key)); },
};

// Refused is an answer of the server that trying again does not change.
class Refused extends Error {
  constructor(status, text) { super(text); this.status = status; }
}

class Upload {
  constructor(queue, file, path) {
    Object.assign(this, { queue, file, path, state: "waiting", offset: 0, url: "", replace: false, tries: 0 });
    this.key = JSON.stringify([queue.user, queue.folder, path, file.size, file.lastModified]);
    this.row = document.createElement("li");
    this.row.innerHTML = '<span></span><progress max="1" value="0"></progress><span class="state"></span><span class="do"></span>';
    $("span", this.row).textContent = path;
    $("span", this.row).title = path;
    $("progress", this.row).setAttribute("aria-label", path);
    queue.list.append(this.row);
    this.show();
  }

  show(text) {
    const bar = $("progress", this.row), actions = $(".do", this.row);
    this.row.className = this.state;
    bar.value = this.file.size ? this.offset / this.file.size : Number(this.state === "done");
    bar.hidden = this.state === "done";
    $(".state", this.row).textContent = text ?? {
      waiting: `${human(this.file.size)}, waiting`,
      sending: `${human(this.offset)} of ${human(this.file.size)}`,
      paused: `Paused at ${human(this.offset)} of ${human(this.file.size)}`,
      done: `Complete, ${human(this.file.size)}`,
    }[this.state] ?? "";
    const wanted = { waiting: ["Pause", "Cancel"], sending: ["Pause", "Cancel"], paused: ["Resume", "Cancel"], exists: ["Replace", "Skip"], failed: ["Try again", "Cancel"] }[this.state] ?? [];
    if (actions.dataset.for !== wanted.join()) {
      const focused = actions.contains(document.activeElement);
      actions.dataset.for = wanted.join();
      actions.replaceChildren(...wanted.map((label) => {
        const b = document.createElement("button");
        b.type = "button";
        b.textContent = label;
        b.setAttribute("aria-label", `${label}: ${this.path}`);
        b.addEventListener("click", () => this.act(label));
        return b;
      }));
      if (focused) actions.firstElementChild?.focus();
    }
    this.queue.sum();
  }

  set(state, text) {
    this.state = state;
    this.show(text);
  }

  act(label) {
    switch (label) {
      case "Pause":
        this.set("paused");
        this.request?.abort();
        this.wake?.();
        break;
      case "Replace":
        this.replace = true; // falls through
      case "Resume": case "Try again":
        this.tries = 0;
        this.set("waiting");
        this.queue.work();
        break;
      case "Cancel": case "Skip":
        this.set("gone");
        this.request?.abort();
        this.wake?.();
        begun.end(this.key);
        if (this.url) this.send("DELETE", this.url, {}).catch(() => { /* it expires */ });
        this.row.remove();
        this.queue.drop(this);
    }
  }

  // run sends the file until it is whole, paused or refused.
  async run() {
    this.set("sending");
    while (this.state === "sending") {
      try {
        this.url ||= begun.get(this.key);
        if (!this.url) await this.create(); else await this.goOn();
        if (this.complete) begun.end(this.key);
        if (this.state === "sending" && this.complete) this.set("done");
      } catch (err) {
        await this.failed(err);
      }
    }
  }

  async failed(err) {
    if (this.state !== "sending") return;
    if (err instanceof Refused) {
      if (err.status === 404 && this.url) { // expired: from the beginning
        begun.end(this.key);
        Object.assign(this, { url: "", offset: 0 });
        return;
      }
      if (err.status === 409 && !this.replace && err.message.includes("with this name")) {
        this.set("exists", "There is a file with this name already.");
        return;
      }
      if (err.status === 409 && err.message.includes("Upload-Offset")) return; // asks for it again
      if (err.status < 500 && err.status !== 429) {
        this.set("failed", err.message);
        return;
      }
    }
    const wait = retryAfter[Math.min(this.tries++, retryAfter.length - 1)];
    for (let left = wait; left > 0 && this.state === "sending"; left--) {
      this.show(`The connection is broken at ${human(this.offset)} of ${human(this.file.size)}. It is tried again in ${left} s.`);
      await new Promise((go) => { this.wake = go; setTimeout(go, 1000); });
    }
  }

  async create() {
    const meta = { folder: this.queue.folder, name: this.path, mtime: String(this.file.lastModified), replace: this.replace ? "1" : "0" };
    const headers = {
      "Upload-Length": String(this.file.size),
      "Upload-Metadata": Object.entries(meta).map(([k, v]) => `${k} ${encode(v)}`).join(","),
    };
    const whole = this.file.size > 0 && this.file.size <= small;
    if (whole) headers["Content-Type"] = "application/offset+octet-stream";
    try {
      const answer = await this.send("POST", base, headers, whole ? this.file : null);
      this.offset = Number(answer.getResponseHeader("Upload-Offset"));
      this.complete = this.offset === this.file.size;
      if (!this.complete) {
        this.url = answer.getResponseHeader("Location");
        begun.set(this.key, this.url);
      }
    } catch (err) {
      if (err.status !== 501 || whole) throw err;
      await this.once(); // this storage keeps nothing to go on with
    }
  }

  async once() {
    const form = new FormData();
    form.append("files", this.file, this.path.split("/").pop());
    const folder = [this.queue.folder, ...this.path.split("/").slice(0, -1)].join("/");
    await this.send("POST", "/.gateway/upload/" + folder.split("/").filter(Boolean).map(encodeURIComponent).join("/"), {}, form);
    this.offset = this.file.size;
    this.complete = true;
  }

  async goOn() {
    const at = await this.send("HEAD", this.url, {});
    this.offset = Number(at.getResponseHeader("Upload-Offset"));
    if (this.state !== "sending") return;
    this.show();
    const before = this.offset;
    const headers = { "Upload-Offset": String(before), "Content-Type": "application/offset+octet-stream" };
    if (this.replace) headers["X-Gateway-Replace"] = "1";
    const answer = await this.send("PATCH", this.url, headers, this.file.slice(before), before);
    this.offset = Number(answer.getResponseHeader("Upload-Offset"));
    this.complete = this.offset === this.file.size;
  }

  send(method, url, headers, body = null, from = 0) {
    return new Promise((done, fail) => {
      const r = new XMLHttpRequest();
      this.request = r;
      r.open(method, url);
      r.setRequestHeader("Tus-Resumable", "1.0.0");
      r.setRequestHeader("X-Gateway-Token", token());
      for (const [k, v] of Object.entries(headers)) r.setRequestHeader(k, v);
      if (body) {
        r.upload.onprogress = (e) => {
          if (this.state !== "sending") return;
          if (e.loaded > 0) this.tries = 0;
          this.offset = Math.min(from + e.loaded, this.file.size);
          this.show();
        };
      }
      r.onload = () => {
        if (r.status >= 200 && r.status < 300) return done(r);
        if (r.status === 401) return fail(new Refused(401, "You are logged out. Log in again in another tab, then try again."));
        fail(new Refused(r.status, r.responseText.trim().slice(0, 300) || `The server answered ${r.status}.`));
      };
      r.onerror = r.onabort = r.ontimeout = () => fail(new Error("broken"));
      r.send(body);
    });
  }
}

class Queue {
  constructor(box) {
    this.box = box;
    this.list = $("ul", box);
    this.folder = box.dataset.folder;
    this.user = box.dataset.user;
    this.all = [];
    this.running = 0;
    this.sent = 0;
    $("#clear").addEventListener("click", () => {
      for (const row of $$("li.failed:not(:has(button))", this.list)) row.remove();
      for (const u of this.all.filter((u) => u.state === "done")) { u.row.remove(); this.drop(u); }
      this.box.hidden = !this.list.childElementCount;
    });
    addEventListener("beforeunload", (e) => { if (this.all.some((u) => ["sending", "waiting"].includes(u.state))) e.preventDefault(); });
  }

  add(file, path) {
    this.box.hidden = false;
    this.all.push(new Upload(this, file, path));
  }

  // unreadable says that something that was dropped cannot be sent.
  unreadable(path) {
    this.box.hidden = false;
    const row = document.createElement("li");
    row.className = "failed";
    row.innerHTML = '<span></span><span class="state" role="alert">The browser could not read it; it is not uploaded.</span>';
    $("span", row).textContent = path;
    this.list.append(row);
  }

  drop(upload) {
    this.all = this.all.filter((u) => u !== upload);
    this.sum();
    if (!this.list.childElementCount) this.box.hidden = true;
  }

  sum() {
    const left = this.all.filter((u) => u.state !== "done").length;
    const text = left ? `${this.all.length - left} of ${this.all.length} complete` : "All complete";
    if ($("#summary").textContent !== text) $("#summary").textContent = text;
  }

  work() {
    while (this.running < 3) {
      const next = this.all.find((u) => u.state === "waiting");
      if (!next || this.running > 0 && next.file.size > small) return;
      this.running++;
      next.run().finally(() => {
        this.running--;
        if (next.state === "done") this.sent++;
        this.work();
        if (!this.running && this.sent && !this.all.some((u) => u.state !== "done")) this.refresh();
      });
    }
  }

  // refresh shows the files that came, without leaving the page.
  async refresh() {
    this.sent = 0;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const now = $("#list", page), old = $("#list");
      if (!now) return;
      improve(now);
      if (old) old.replaceWith(now); else $(".empty")?.replaceWith(now);
      const sum = $(".sum", page);
      if (sum) $(".sum")?.replaceWith(sum);
      const next = $("#next", page);
      $("#next")?.remove();
      if (next) { now.after(next); moreRows(); }
    } catch { /* they are seen when the page is loaded again */ }
  }
}

// walk finds the files in what was dropped, with their paths. A browser hands a folder out in lots of a hundred.
async function walk(entry, path, found, unreadable) {
  try {
    if (entry.isFile) {
      found.push([await new Promise((done, fail) => entry.file(done, fail)), path + entry.name]);
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      const lot = await new Promise((done, fail) => reader.readEntries(done, fail));
      if (!lot.length) return;
      for (const inner of lot) await walk(inner, `${path}${entry.name}/`, found, unreadable);
    }
  } catch {
    unreadable(path + entry.name);
  }
}

function uploads() {
  const box = $("#transfers");
  if (box?.dataset.create !== "true") return;
  const queue = new Queue(box);
  const take = (pairs) => {
    for (const [file, path] of pairs) queue.add(file, path);
    if (pairs.length) box.scrollIntoView({ block: "nearest" });
    queue.work();
  };
  for (const input of $$("#files, #tree")) {
    input.addEventListener("change", () => {
      take([...input.files].map((f) => [f, f.webkitRelativePath || f.name]));
      input.value = "";
      $("#upload").open = false;
      $("#upload summary").focus();
    });
  }
  $("#files").closest("form").addEventListener("submit", (e) => e.preventDefault());
  $("#upload form > button").hidden = true;
  let over = 0;
  const files = (e) => e.dataTransfer?.types.includes("Files");
  const mark = (n) => { over = Math.max(0, n); document.body.classList.toggle("drop", over > 0); };
  addEventListener("dragenter", (e) => { if (files(e)) { e.preventDefault(); mark(over + 1); } });
  addEventListener("dragleave", (e) => { if (files(e)) mark(over - 1); });
  addEventListener("dragover", (e) => { if (files(e)) e.preventDefault(); });
  addEventListener("drop", async (e) => {
    if (!files(e)) return;
    e.preventDefault();
    mark(0);
    const entries = [...e.dataTransfer.items].map((i) => i.webkitGetAsEntry?.()).filter(Boolean);
    const plain = [...e.dataTransfer.files].map((f) => [f, f.name]);
    if (!entries.length) return take(plain);
    const found = [];
    for (const entry of entries) {
      await walk(entry, "", found, (path) => queue.unreadable(path));
    }
    take(found);
  });
}

improve(document);
document.addEventListener("click", copyLinks);
document.addEventListener("keydown", (e) => {
  if (e.key === "Escape") for (const d of $$("details.pop[open]")) { d.open = false; $("summary", d).focus(); }
});
document.addEventListener("click", (e) => { for (const d of $$("details.pop[open]")) if (!d.contains(e.target)) d.open = false; });
moreRows();
uploads();
