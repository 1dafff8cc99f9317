// The page: what is dropped is sent to be read, and shown beside its text while that is written.

import { typeset } from "./maths.js";

const $ = (id) => document.getElementById(id);

const PROMPTS = {
  document: "document with layout",
  ocr: "words with boxes",
  free: "plain text",
  figure: "figure or chart",
  describe: "picture to describe",
  locate: "find something…",
};
const OWN_WORDS = "own";
const ASKED = { locate: "Find", [OWN_WORDS]: "Ask" };
const ENDINGS = {
  ok: "",
  blank: "there is nothing on this page",
  truncated: "cut short",
  looped: "repeated itself",
  failed: "could not be read",
  skipped: "skipped",
};
const HUES = { title: 345, text: 215, image: 130, table: 30, equation: 275, sub_title: 345, image_caption: 100, table_caption: 50 };
const LONGEST_COPY = 5_000_000;

const pages = new Map(); // by number
const partners = new WeakMap(); // a block's boxes, and a box's block
let file = null; // what was chosen last
let paper = null; // the document that is shown: its id and its name
let reading = null; // what would stop it
let count = 1; // how many pages are read
let lit = null;
let gone = null; // the block that somebody has gone to

// --- What can be asked

start();

async function start() {
  try {
    const about = await (await fetch("api/about")).json();
    $("model").textContent = about.model;
    fill($("prompt"), [...about.prompts, OWN_WORDS], about.prompt, (name) => (name === OWN_WORDS ? "my own words…" : PROMPTS[name] ?? name));
    fill($("mode"), about.modes.map((mode) => mode.name), about.mode, (name) => describeMode(about.modes.find((mode) => mode.name === name)));
    $("key-field").hidden = !about.needs_key;
    $("key").value = sessionStorage.getItem("dsocr-key") ?? "";
  } catch {
    complain("The server does not answer. Is it still running?");
  }
}

function fill(select, names, chosen, describe) {
  select.replaceChildren(...names.map((name) => new Option(describe(name), name, name === chosen, name === chosen)));
}

function describeMode(mode) {
  const views = mode.max_tiles ? ` + ${mode.max_tiles} × ${mode.tile_px}` : "";
  return `${mode.name} (${mode.overview_px}${views} px)`;
}

$("prompt").addEventListener("change", () => {
  const name = ASKED[$("prompt").value];
  $("words-field").hidden = !name;
  if (name) {
    $("words-name").textContent = name;
    $("words").focus();
  }
});

$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  if (file) read(file);
  else $("file").click();
});

$("file").addEventListener("change", () => {
  if ($("file").files.length) read($("file").files[0]);
  $("file").value = ""; // so that the same file can be chosen again
});

document.addEventListener("paste", (event) => take(event, event.clipboardData));
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.toggle("dragging", event.dataTransfer.types.includes("Files"));
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dragging");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dragging");
  take(event, event.dataTransfer);
});

function take(event, transfer) {
  const [first, ...others] = transfer?.files ?? [];
  if (!first) return;
  event.preventDefault();
  read(first);
  if (others.length) complain(`One document at a time: ${first.name} is read, ${others.length} more left aside.`);
}

// --- Reading

async function read(chosen) {
  reading?.abort();
  const mine = (reading = new AbortController());
  file = chosen;
  begin(chosen.name || "pasted picture");
  try {
    const response = await ask("api/read", { method: "POST", body: wishes(chosen), signal: mine.signal });
    for await (const [kind, event] of events(response)) {
      if (reading !== mine) return;
      HANDLERS[kind]?.(event);
    }
    if (reading === mine && paper) end();
  } catch (error) {
    if (reading !== mine) return;
    stopped(error);
  } finally {
    if (reading === mine) reading = null;
  }
}

function wishes(chosen) {
  const body = new FormData();
  const prompt = $("prompt").value;
  const words = $("words").value.trim();
  body.append("prompt", prompt === OWN_WORDS ? words : prompt === "locate" ? `locate:${words}` : prompt);
  body.append("mode", $("mode").value);
  if ($("range").value.trim()) body.append("pages", $("range").value.trim());
  body.append("file", chosen, chosen.name || "pasted.png");
  return body;
}

/** What the server answers; an Error in words where that is a refusal. */
async function ask(url, options = {}) {
  const key = $("key").value.trim();
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  let response;
  try {
    response = await fetch(url, { ...options, headers });
  } catch (error) {
    throw error.name === "AbortError" ? error : new Error("The server does not answer. Is it still running?");
  }
  if (response.ok) {
    if (key) sessionStorage.setItem("dsocr-key", key);
    return response;
  }
  if (response.status === 401) {
    $("key-field").hidden = false;
    $("key").focus();
    throw new Error(key ? "The server does not know this API key." : "The server wants an API key: write it above, then press “Read again”.");
  }
  throw new Error(await words(response));
}

/** The reason in a refusal, whatever its shape. */
async function words(response) {
  const said = await response.json().catch(() => null);
  const reason = said?.error?.message ?? said?.error ?? said?.detail ?? said?.message;
  return typeof reason === "string" ? reason : `The server answers ${response.status} ${response.statusText}`.trim();
}

/** [name, data] of each event as it comes. */
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const whole = (rest + value).split("\n\n");
    rest = whole.pop();
    for (const event of whole) {
      const lines = Object.fromEntries(event.split("\n").map((line) => line.split(/: (.*)/s, 2)));
      if (lines.data) yield [lines.event, JSON.parse(lines.data)];
    }
  }
}

const HANDLERS = {
  document: (event) => {
    paper = event;
    $("name").textContent = event.name;
    say("waiting for its first page…");
  },
  page: (event) => {
    if (!pages.has(event.page)) addPage(event);
    count = event.of;
    tell();
  },
  block: (event) => pages.get(event.page)?.begin(event),
  text: (event) => pages.get(event.page)?.write(event.delta),
  block_end: (event) => pages.get(event.page)?.finish(event),
  page_end: (event) => {
    (pages.get(event.page) ?? addPage(event)).end(event);
    $("take").hidden = false;
    tell();
  },
  end: () => end(),
  error: (event) => {
    throw new Error(event.message);
  },
};

function begin(name) {
  document.body.className = "full";
  complain("");
  for (const page of pages.values()) page.leave();
  pages.clear();
  $("pages").replaceChildren();
  [paper, lit] = [null, null];
  $("name").textContent = name;
  $("take").hidden = true;
  $("stop").hidden = false;
  $("state").className = "busy";
  say("sending…");
}

function end() {
  $("stop").hidden = true;
  $("state").className = "";
  const all = pages.size === 1 ? "1 page" : `${pages.size} pages`;
  const bad = [...pages.values()].filter((page) => page.bad).map((page) => page.number);
  say(bad.length ? `${all}, not all well: ` : all, ...listed(bad.sort((one, other) => one - other)));
}

/** Which pages are being read, several at once, and of how many. */
function tell() {
  const open = [...pages.values()].filter((page) => !page.over).map((page) => page.number).sort((one, other) => one - other);
  if (open.length) say("reading ", ...listed(open), count > 1 ? ` of ${count}` : "");
}

function listed(numbers) {
  return numbers.slice(0, 8).flatMap((number, place) => [place ? ", " : "", linkTo(number)]);
}

function stopped(error) {
  for (const page of pages.values()) page.breakOff();
  const wanted = error.name === "AbortError";
  if (paper && pages.size) end();
  $("stop").hidden = true;
  $("state").className = "";
  if (wanted) say("stopped");
  else if (!pages.size) say("");
  if (!wanted) complain(error.message);
}

$("stop").addEventListener("click", () => reading?.abort());

function say(...parts) {
  $("state").replaceChildren(...parts);
}

function complain(text) {
  $("trouble").textContent = text;
  $("trouble").hidden = !text;
}

function linkTo(number) {
  const link = make("a", { href: `#page-${number}` }, `page ${number}`);
  return link;
}

// --- A page: its picture with boxes, and its text in blocks

class Page {
  constructor({ page, width, height, image }) {
    [this.number, this.bad, this.over] = [page, false, false];
    this.boxes = make("div", { class: "boxes" });
    this.img = make("img", { alt: `Page ${page} as it is` });
    this.ending = make("span", { class: "ending" });
    this.text = make("div", { class: "blocks" });
    const head = make("header", {}, make("h2", {}, `Page ${page}`), this.ending);
    const frame = make("div", { class: "frame" }, this.img, this.boxes);
    const picture = make("div", { class: "picture" }, ...(image ? [frame] : []));
    this.element = make("article", { class: "page", id: `page-${page}`, "aria-label": `Page ${page}` }, picture, make("div", { class: "text" }, head, this.text));
    if (image) this.show(image, frame, width, height);
    this.block = null;
  }

  show(image, frame, width, height) {
    frame.style.aspectRatio = `${width} / ${height}`;
    frame.style.setProperty("--ratio", width / height);
    this.url = image.replace(/^\//, ""); // as seen from this page, wherever a proxy has put it
    NEAR.observe(this.element);
  }

  /** The picture, when the page comes near what is seen. */
  async load() {
    if (!this.url || this.img.src) return;
    const url = this.url;
    this.url = null;
    try {
      this.img.src = URL.createObjectURL(await (await ask(url)).blob());
      await this.img.decode();
      for (const [canvas, box] of this.figures ?? []) crop(this.img, canvas, box);
    } catch (error) {
      this.img.alt = `Page ${this.number}: its picture is not to be had. ${error.message}`;
    }
  }

  leave() {
    NEAR.unobserve(this.element);
    if (this.img.src) URL.revokeObjectURL(this.img.src);
  }

  begin({ label, boxes }) {
    this.block?.classList.remove("writing");
    this.block = this.add(label, boxes);
    this.block.classList.add("raw", "writing");
  }

  write(delta) {
    if (!this.block && !delta.trim()) return;
    if (!this.block) this.begin({ label: "", boxes: [] });
    if (this.block.firstChild) this.block.firstChild.appendData(delta);
    else this.block.append(delta.trimStart());
  }

  /** The text of a block is whole: it is shown as what it means. */
  finish({ html }) {
    if (!this.block) return;
    this.block.classList.remove("raw", "writing");
    this.block.replaceChildren(fromServer(html));
    this.block = null;
  }

  end({ status, reason, blocks }) {
    const place = [...this.text.children].indexOf(document.activeElement);
    this.breakOff();
    this.over = true;
    this.text.replaceChildren();
    this.boxes.replaceChildren();
    this.figures = [];
    for (const block of blocks) {
      const element = this.add(block.label, block.boxes);
      if (block.label === "image") element.append(...block.boxes.map((box) => this.figure(box)));
      element.append(fromServer(block.html));
    }
    if (!blocks.length) this.text.append(make("p", { class: "nothing" }, ENDINGS[status] || "nothing was found to write down"));
    this.bad = !["ok", "blank"].includes(status);
    this.ending.textContent = reason ?? ENDINGS[status] ?? status;
    this.ending.classList.toggle("bad", this.bad);
    if (place >= 0) go(this.text.children[place], false);
  }

  breakOff() {
    this.block?.classList.remove("writing");
    if (!this.over) this.ending.textContent = "broken off";
  }

  add(label, boxes) {
    const hue = hueOf(label);
    const block = make("div", { class: "block", "data-label": label, dir: "auto", tabindex: "-1" });
    block.style.setProperty("--hue", hue);
    const drawn = boxes.map((box) => make("div", { class: "box", title: label }));
    drawn.forEach((element, place) => {
      const [left, top, right, bottom] = boxes[place];
      Object.assign(element.style, { left: share(left), top: share(top), width: share(right - left), height: share(bottom - top) });
      element.style.setProperty("--hue", hue);
      partners.set(element, [block]);
    });
    partners.set(block, drawn);
    this.text.append(block);
    this.boxes.append(...drawn);
    tabStop();
    return block;
  }

  figure(box) {
    const canvas = make("canvas", { width: 0, height: 0, role: "img", "aria-label": "a figure of the page" });
    this.figures.push([canvas, box]);
    if (this.img.complete && this.img.naturalWidth) crop(this.img, canvas, box);
    return make("figure", {}, canvas);
  }
}

const NEAR = new IntersectionObserver(
  (entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => pages.get(Number(entry.target.id.slice(5)))?.load()),
  { rootMargin: "1500px 0px" },
);

function addPage(event) {
  const page = new Page(event);
  pages.set(event.page, page);
  // Pages are opened side by side, and the first to come need not be the first of the document.
  const next = [...$("pages").children].find((other) => Number(other.id.slice(5)) > event.page);
  $("pages").insertBefore(page.element, next ?? null);
  return page;
}

function crop(img, canvas, [left, top, right, bottom]) {
  const [x, y] = [(left / 999) * img.naturalWidth, (top / 999) * img.naturalHeight];
  const [width, height] = [((right - left) / 999) * img.naturalWidth, ((bottom - top) / 999) * img.naturalHeight];
  if (width < 1 || height < 1) return;
  Object.assign(canvas, { width, height });
  canvas.getContext("2d").drawImage(img, x, y, width, height, 0, 0, width, height);
}

/** HTML that the server has made safe; the only place where text becomes markup. */
function fromServer(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  for (const formula of template.content.querySelectorAll(".math")) {
    const math = typeset(formula.textContent, formula.classList.contains("display"));
    formula.title = formula.textContent;
    if (math) formula.replaceChildren(math);
    else formula.classList.add("code");
  }
  return template.content;
}

function hueOf(label) {
  return HUES[label] ?? [...label].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 360, 7);
}

function share(value) {
  return `${(value / 999) * 100}%`;
}

function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

// --- A block and its boxes light up together

const partOf = (target) => target?.closest?.(".block, .box") ?? null;

$("pages").addEventListener("pointerover", (event) => light(partOf(event.target)));
$("pages").addEventListener("pointerleave", () => light(partOf(document.activeElement)));
$("pages").addEventListener("focusin", (event) => light(partOf(event.target), true));
$("pages").addEventListener("focusout", () => light(null));
$("pages").addEventListener("click", (event) => {
  const part = partOf(event.target);
  if (part?.classList.contains("box")) go(partners.get(part)[0]);
  else if (part && !String(getSelection())) go(part, false);
});

function light(part) {
  if (part === lit) return;
  for (const element of together(lit)) element.classList.remove("lit");
  lit = part;
  for (const element of together(lit)) element.classList.add("lit");
}

function together(part) {
  if (!part) return [];
  const block = part.classList.contains("box") ? partners.get(part)[0] : part;
  return [block, ...(partners.get(block) ?? [])];
}

/** The tab key stops at one block: where somebody has gone, else at the first of the document. */
function tabStop() {
  const stop = gone?.isConnected ? gone : document.querySelector(".block");
  for (const other of document.querySelectorAll('.block[tabindex="0"]')) if (other !== stop) other.tabIndex = -1;
  if (stop) stop.tabIndex = 0;
}

/** To a block; arrows lead from one to the next. */
function go(block, scroll = true) {
  if (!block) return;
  gone = block;
  tabStop();
  block.focus({ preventScroll: true });
  if (scroll) block.scrollIntoView({ block: "nearest", behavior: "smooth" });
}

$("pages").addEventListener("keydown", (event) => {
  const blocks = [...document.querySelectorAll(".block")];
  const place = blocks.indexOf(document.activeElement);
  if (place < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
  const next = { ArrowDown: place + 1, ArrowUp: place - 1, Home: 0, End: blocks.length - 1 }[event.key];
  if (next === undefined) return;
  event.preventDefault();
  go(blocks[Math.max(0, Math.min(next, blocks.length - 1))]);
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !event.target.closest?.("select, input")) reading?.abort();
});

// --- Taking the text along

$("form").addEventListener("change", () => ($("copy").hidden = $("form").value === "pdf"));

$("copy").addEventListener("click", () =>
  busily($("copy"), "Copied", async () => {
    const text = await (await fetchForm()).text();
    if (text.length > LONGEST_COPY) throw new Error("This is too long to copy; download it instead.");
    await copy(text);
  }),
);

$("download").addEventListener("click", () =>
  busily($("download"), "Saved", async () => {
    const url = URL.createObjectURL(await (await fetchForm()).blob());
    const link = make("a", { href: url, download: fileName() });
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  }),
);

function fileName() {
  const stem = paper.name.replace(/\.[a-z0-9]{1,5}$/i, "").replace(/[\\/:*?"<>|\p{Cc}]/gu, "_") || "document";
  return `${stem}.${$("form").value}`;
}

function fetchForm() {
  return ask(`api/documents/${paper.id}/${encodeURIComponent(fileName())}`);
}

async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Without https there is no clipboard, but there is still the old way.
  const field = make("textarea", { class: "unseen" });
  field.value = text;
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  if (!done) throw new Error("This browser does not let the page copy; download it instead.");
}

/** Does something and says on the button that it is done. */
async function busily(button, done, action) {
  button.dataset.name ??= button.textContent;
  button.disabled = true;
  complain("");
  try {
    await action();
    button.textContent = done;
  } catch (error) {
    complain(error.message);
  }
  button.disabled = false;
  setTimeout(() => (button.textContent = button.dataset.name), 1500);
}
